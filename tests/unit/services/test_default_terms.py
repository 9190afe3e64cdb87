"""What config.yaml lets those do and spend who have no terms of their own."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from services.config import ConfigError, parse
from services.default_terms import MAX_COUNT, DefaultTerms, OwnerSettings
from services.money import MAX_BUDGET_NANO_USD, NANO_USD


def owners(text: str, **environ: str) -> OwnerSettings:
    return parse(text, name="config.yaml", environ=environ).owners


def test_a_file_that_says_nothing_limits_nobody() -> None:
    assert owners("") == OwnerSettings()
    assert owners("").timezone is UTC


def test_the_gateway_s_budget_is_exact_and_has_its_period() -> None:
    settings = owners("litellm_settings: {max_budget: 0.1, budget_duration: 30d}")
    assert settings.gateway == DefaultTerms(max_budget_nano_usd=100_000_000, budget_duration="30d")


def test_a_budget_of_0_of_the_gateway_is_none_as_in_litellm() -> None:
    assert owners("litellm_settings: {max_budget: 0}").gateway.max_budget_nano_usd is None


def test_a_budget_of_0_of_teams_and_customers_lets_them_spend_nothing() -> None:
    settings = owners(
        "litellm_settings: {max_end_user_budget: 0}\ngeneral_settings: {default_team_settings: {max_budget: 0}}"
    )
    assert settings.customer.max_budget_nano_usd == 0
    assert settings.team.max_budget_nano_usd == 0


def test_the_guide_s_team_limits_are_of_every_team() -> None:
    text = """
general_settings:
  default_team_settings:
    tpm_limit: 100000
    rpm_limit: 100
    max_parallel_requests: 7
    max_budget: 12.5
    budget_duration: 7d
"""
    assert owners(text).team == DefaultTerms(12_500_000_000, "7d", 100, 100_000, 7)


def test_calls_at_once_are_of_each_key_and_of_all() -> None:
    settings = owners("general_settings: {max_parallel_requests: 3, global_max_parallel_requests: 0}")
    assert settings.key == DefaultTerms(max_parallel_requests=3)
    assert settings.gateway == DefaultTerms(max_parallel_requests=0)


def test_customers_may_have_a_budget_by_its_id() -> None:
    settings = owners("litellm_settings: {max_end_user_budget: 5, max_end_user_budget_id: b1}")
    assert settings.customer == DefaultTerms(5 * NANO_USD, budget_id="b1")


def test_switches_are_off_until_they_are_put_on() -> None:
    settings = owners("general_settings: {apply_user_budget_to_team_keys: true, strict_budgets: 'true'}")
    assert settings.user_pays_for_team_keys
    assert settings.strict_budgets
    off = owners("general_settings: {apply_user_budget_to_team_keys: false}")
    assert (off.user_pays_for_team_keys, off.strict_budgets) == (False, False)


def test_a_zone_is_one_of_the_tz_database_and_may_be_a_variable_s() -> None:
    assert owners("litellm_settings: {timezone: Asia/Kolkata}").timezone == ZoneInfo("Asia/Kolkata")
    assert owners("litellm_settings: {timezone: os.environ/ZONE}", ZONE="Europe/Berlin").timezone == ZoneInfo(
        "Europe/Berlin"
    )
    assert owners("litellm_settings: {timezone: os.environ/ZONE}").timezone is UTC


def test_the_largest_that_can_be_counted_is_taken() -> None:
    settings = owners(
        f"litellm_settings: {{max_budget: 9000000}}\ngeneral_settings: {{max_parallel_requests: {MAX_COUNT}}}"
    )
    assert settings.gateway.max_budget_nano_usd == MAX_BUDGET_NANO_USD
    assert settings.key.max_parallel_requests == MAX_COUNT


@pytest.mark.parametrize("zone", ["Nope/Zone", "Europe", "../x", "/etc/passwd", '"a\\0b"', "x" * 5_000, "tzdata.zi"])
def test_what_is_no_zone_is_one_line_that_says_where(zone: str) -> None:
    with pytest.raises(ConfigError) as caught:
        owners(f"litellm_settings:\n  timezone: {zone}")
    assert str(caught.value) == ("config.yaml:2: litellm_settings.timezone: is no time zone, such as Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "litellm_settings: {budget_duration: monthly}",
            "litellm_settings.budget_duration: is no duration, such as 30d",
        ),
        (
            "litellm_settings: {budget_duration: 30}",
            "litellm_settings.budget_duration: expected a text in quotes, found 30",
        ),
        (
            "general_settings: {default_team_settings: {budget_duration: 0d}}",
            "general_settings.default_team_settings.budget_duration: is no duration, such as 30d",
        ),
        (
            "general_settings: {default_team_settings: [{team_id: t}]}",
            "general_settings.default_team_settings: expected a mapping, found a list",
        ),
        (
            "general_settings: {default_team_settings: {rpm_limit: -1}}",
            "general_settings.default_team_settings.rpm_limit: "
            f"expected a whole number between 0 and {MAX_COUNT}, found -1",
        ),
        (
            "litellm_settings: {max_end_user_budget: -0.01}",
            "litellm_settings.max_end_user_budget: expected a number between 0 and 9000000, found -0.01",
        ),
        (
            "general_settings: {strict_budgets: maybe}",
            "general_settings.strict_budgets: expected true or false, found 'maybe'",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_where(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        owners(text)
    assert str(caught.value) == f"config.yaml:1: {message}"


def test_everything_that_is_read_here_is_known() -> None:
    text = """
litellm_settings:
  {max_budget: 1, budget_duration: 1d, timezone: UTC, max_end_user_budget: 1, max_end_user_budget_id: b}
general_settings:
  global_max_parallel_requests: 1
  max_parallel_requests: 1
  default_team_settings: {max_budget: 1}
  apply_user_budget_to_team_keys: true
  strict_budgets: true
"""
    assert parse(text, name="config.yaml", environ={}).ignored == ()
