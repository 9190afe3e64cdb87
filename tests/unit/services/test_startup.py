"""What a process is told to be, checked before anything starts."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from services import startup
from services.lifecycle import ROLES
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
