"""Defaults and bounds of what admin paths make, as config.yaml writes them."""

from __future__ import annotations

import pytest

from services.admin_defaults import AdminDefaults, KeyMaking
from services.config import parse
from services.yamltext import ConfigError


def read(settings: str) -> AdminDefaults:
    return parse(f"litellm_settings: {{{settings}}}", name="f.yaml", environ={"TEAM": "t1"}).litellm_settings.admin


def test_what_is_not_written_changes_nothing() -> None:
    assert read("") == AdminDefaults()


def test_members_are_read_as_bodies_have_them() -> None:
    read_of = read(
        "default_key_generate_params: {max_budget: 1.5, models: [m], duration: 30d, team_id: os.environ/TEAM},"
        "upperbound_key_generate_params: {max_budget: '100', tpm_limit: 1000, budget_duration: 10d},"
        "default_internal_user_params: {user_role: internal_user, models: m},"
        "default_team_params: {rpm_limit: 7}"
    )
    assert read_of.key == {"max_budget": 1.5, "models": ["m"], "duration": "30d", "team_id": "t1"}
    assert read_of.upper == {"max_budget": 100.0, "tpm_limit": 1000, "budget_duration": "10d"}
    assert read_of.user == {"user_role": "internal_user", "models": ["m"]}
    assert read_of.team == {"rpm_limit": 7}
    assert read_of.ignored == ()


def test_internal_users_have_a_budget_of_their_own_key_unless_their_defaults_do() -> None:
    budget = "max_internal_user_budget: 5, internal_user_budget_duration: 1mo"
    assert read(budget).user == {"max_budget": 5.0, "budget_duration": "1mo"}
    assert read(f"{budget}, default_internal_user_params: {{max_budget: 7}}").user["max_budget"] == 7.0


def test_who_makes_keys() -> None:
    making = read(
        "key_generation_settings: {"
        "team_key_generation: {allowed_team_member_roles: [user, admin], required_params: [key_alias]},"
        "personal_key_generation: {allowed_user_roles: []}}"
    )
    assert making.team_keys == KeyMaking(("user", "admin"), ("key_alias",))
    assert making.personal_keys == KeyMaking((), ())


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("default_key_generate_params: {max_budget: many}", "default_key_generate_params.max_budget"),
        ("default_key_generate_params: {duration: soon}", "default_key_generate_params.duration"),
        ("upperbound_key_generate_params: {rpm_limit: -1}", "upperbound_key_generate_params.rpm_limit"),
        ("upperbound_key_generate_params: 5", "upperbound_key_generate_params"),
        ("internal_user_budget_duration: x", "internal_user_budget_duration"),
        ("key_generation_settings: {team_key_generation: []}", "key_generation_settings.team_key_generation"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(settings: str, key: str) -> None:
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        read(settings)


def test_members_that_nothing_acts_on_are_warned_about() -> None:
    found = read("default_key_generate_params: {max_budgt: 1}, key_generation_settings: {team_key_generation: {x: 1}}")
    near = {key.path.rpartition(".")[2]: key.near[:1] for key in found.ignored}
    assert near == {"max_budgt": ("max_budget",), "x": ()}
    config = parse("litellm_settings: {default_team_params: {y: 1}}", name="f.yaml", environ={})
    assert [key.path for key in config.ignored] == ["litellm_settings.default_team_params.y"]


@pytest.mark.parametrize("name", ["X Key", "a:b", "", "x" * 65])
def test_a_header_must_be_one(name: str) -> None:
    text = f"general_settings: {{litellm_key_header_name: '{name}'}}"
    if name:
        with pytest.raises(ConfigError, match="litellm_key_header_name"):
            parse(text, name="f.yaml", environ={})
    else:
        assert parse(text, name="f.yaml", environ={}).general_settings.litellm_key_header_name is None
