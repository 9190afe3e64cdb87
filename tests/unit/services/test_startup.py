"""What a process is told to be, checked before anything starts."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from services import startup
from services.config import ConfigError
from services.lifecycle import ROLES
from services.process import StartError
from services.settings import Settings, SettingsError

GIVEN = {
    "DATABASE_URL": "postgresql://environment",
    "REDIS_URL": "redis://environment",
    "TOLLHOUSE_PEPPER": "pepper",
    "TOLLHOUSE_INTERNAL_TOKEN": "token",
    "LITELLM_MASTER_KEY": "sk-environment",
}


def test_the_order_of_roles_is_that_of_their_lifecycle() -> None:
    assert tuple(startup.NEEDS) == ROLES


def test_needs_name_fields_of_the_settings() -> None:
    names = {field.name for field in fields(Settings)}
    assert {field for needs in startup.NEEDS.values() for field, _ in needs} <= names


@pytest.mark.parametrize(
    ("text", "roles"),
    [("all", list(ROLES)), ("edge", ["edge"]), ("router, edge", ["router", "edge"]), ("edge,all", list(ROLES))],
)
def test_roles_are_read(text: str, roles: list[str]) -> None:
    assert startup.parse_roles(text) == roles


@pytest.mark.parametrize("text", ["", "edge,", "egde", "edge router"])
def test_a_word_that_is_no_role_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="is no role; roles are ledger, keystore, router, edge, or all"):
        startup.parse_roles(text)


@pytest.mark.parametrize("role", ROLES)
def test_each_variable_that_a_role_needs_is_demanded_by_its_name(role: str) -> None:
    startup.demand([role], startup.read(None, GIVEN)[1])
    for _, variable in startup.NEEDS[role]:
        without = {name: value for name, value in GIVEN.items() if name != variable}
        with pytest.raises(SettingsError, match=f"{variable} is not set; the {role} needs it"):
            startup.demand([role], startup.read(None, without)[1])


def test_the_configuration_wins_over_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("general_settings: {master_key: sk-file, database_url: 'postgresql://file'}")
    _, settings = startup.read(file, GIVEN)
    assert (settings.master_key, settings.database_url) == ("sk-file", "postgresql://file")
    file.write_text("general_settings: {}")
    _, settings = startup.read(file, GIVEN)
    assert (settings.master_key, settings.database_url) == ("sk-environment", "postgresql://environment")


def test_the_environment_variables_of_the_configuration_are_settings_too(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("environment_variables: {REDIS_URL: 'redis://file', PORT: 81}")
    _, settings = startup.read(file, GIVEN)
    assert (settings.redis_url, settings.http_port) == ("redis://file", 81)


def test_a_database_of_the_configuration_needs_no_parts_of_the_environments(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("general_settings: {database_url: 'postgresql://file'}")
    assert startup.read(file, {"DATABASE_HOST": "db"})[1].database_url == "postgresql://file"


class TestQuickModel:
    """`--model M`, in place of a file."""

    def test_it_is_a_deployment_called_like_its_model(self) -> None:
        config, _ = startup.read(startup.QuickModel("hosted_vllm/Qwen/Qwen3-8B", "http://gpu:8000/v1"), {})
        (entry,) = config.model_list
        assert (entry.model_name, entry.params.model) == ("hosted_vllm/Qwen/Qwen3-8B", "hosted_vllm/Qwen/Qwen3-8B")
        assert entry.params.api_base == "http://gpu:8000/v1"
        assert config.ignored == ()

    @pytest.mark.parametrize("model", ["gpt-4o", "yes", "7", "a: b # c", 'it\'s "德"', "🦙\\n"])
    def test_its_name_is_taken_as_it_is(self, model: str) -> None:
        (entry,) = startup.read(startup.QuickModel(model), {})[0].model_list
        assert (entry.model_name, entry.params.api_base) == (model, None)

    def test_no_name_is_an_error(self) -> None:
        with pytest.raises(ConfigError, match=r"^--model:1: model_list\[0\]\.model_name: is missing"):
            startup.read(startup.QuickModel(""), {})


def test_what_has_no_effect_is_told(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("litellm_settings: {cache: true}\ngeneral_settings: {allowed_ips: []}\nmystery: 1\n")
    assert startup.without_effect(*startup.read(file, {"STORE_MODEL_IN_DB": "true"})) == [
        f"{file}:3: mystery: is unknown, perhaps a typo",
        "not acted on yet: litellm_settings.cache, general_settings.allowed_ips",
        "STORE_MODEL_IN_DB is not acted on yet: models are those of the configuration",
    ]
    assert startup.without_effect(*startup.read(None, {"STORE_MODEL_IN_DB": "false"})) == []


class TestMasterKey:
    """One that everybody knows opens nothing to others."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost"])
    def test_a_well_known_one_is_warned_about_where_nobody_else_reaches_it(self, host: str) -> None:
        warning = startup.check_master_key(Settings(master_key="sk-1234"), host)
        assert warning is not None
        assert warning.startswith("WARNING")
        assert "sk-1234" not in warning

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "gateway.example", "127.0.0.1.example"])
    @pytest.mark.parametrize("key", ["sk-1234", "SK-1234", " sk-1234 ", "sk-master-key", "changeme"])
    def test_elsewhere_it_is_refused(self, host: str, key: str) -> None:
        with pytest.raises(StartError, match="dangerously_permit_weak_or_unset_master_key") as refused:
            startup.check_master_key(Settings(master_key=key), host)
        assert key not in str(refused.value)

    def test_unless_that_is_permitted_by_the_configuration_or_the_environment(self, tmp_path: Path) -> None:
        file = tmp_path / "config.yaml"
        permitted = "{master_key: sk-1234, dangerously_permit_weak_or_unset_master_key: true}"
        file.write_text(f"general_settings: {permitted}")
        assert startup.check_master_key(startup.read(file, {})[1], "0.0.0.0")
        file.write_text("general_settings: {master_key: sk-1234}")
        environ = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
        assert startup.check_master_key(startup.read(file, environ)[1], "0.0.0.0")
        with pytest.raises(StartError):
            startup.check_master_key(startup.read(file, {})[1], "0.0.0.0")

    @pytest.mark.parametrize("key", ["", "sk-12345678901234567890", "sk-of-my-own"])
    def test_any_other_is_nobody_s_business(self, key: str) -> None:
        assert startup.check_master_key(Settings(master_key=key), "0.0.0.0") is None
