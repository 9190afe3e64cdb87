"""What config.yaml lets those do and spend who have no terms of their own: the gateway, keys, teams, customers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.durations import parse
from services.money import MAX_BUDGET_NANO_USD, NANO_USD, nano_from_usd
from services.section import Section
from services.yamltext import ConfigError

# As high as the counters can count.
MAX_COUNT = 1_000_000_000_000

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class DefaultTerms:
    """A budget with its period, limits of a minute, and calls at once. None: none."""

    max_budget_nano_usd: int | None = None
    budget_duration: str = ""
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    max_parallel_requests: int | None = None
    budget_id: str = ""


@dataclass(frozen=True, slots=True)
class OwnerSettings:
    """gateway: of all calls together; key, team, customer: of each.

    user_pays_for_team_keys: a user's budget is for calls with keys of teams too. strict_budgets: calls that nothing
    bounds are refused under a budget. timezone: in which budgets' days, weeks and months begin.
    """

    gateway: DefaultTerms = DefaultTerms()
    key: DefaultTerms = DefaultTerms()
    team: DefaultTerms = DefaultTerms()
    customer: DefaultTerms = DefaultTerms()
    user_pays_for_team_keys: bool = False
    strict_budgets: bool = False
    timezone: tzinfo = UTC


def read_owner_settings(litellm: Section, general: Section) -> OwnerSettings:
    """Of `litellm_settings` and `general_settings`. ConfigError names what cannot be used."""
    team = general.section("default_team_settings")
    return OwnerSettings(
        gateway=DefaultTerms(
            # 0 switches it off, as in LiteLLM.
            max_budget_nano_usd=_budget(litellm, "max_budget") or None,
            budget_duration=_duration(litellm, "budget_duration"),
            max_parallel_requests=_count(general, "global_max_parallel_requests"),
        ),
        key=DefaultTerms(max_parallel_requests=_count(general, "max_parallel_requests")),
        team=DefaultTerms(
            max_budget_nano_usd=_budget(team, "max_budget"),
            budget_duration=_duration(team, "budget_duration"),
            rpm_limit=_count(team, "rpm_limit"),
            tpm_limit=_count(team, "tpm_limit"),
            max_parallel_requests=_count(team, "max_parallel_requests"),
        ),
        customer=DefaultTerms(
            max_budget_nano_usd=_budget(litellm, "max_end_user_budget"),
            budget_id=litellm.text("max_end_user_budget_id") or "",
        ),
        user_pays_for_team_keys=general.boolean("apply_user_budget_to_team_keys") or False,
        strict_budgets=general.boolean("strict_budgets") or False,
        timezone=_checked(litellm, "timezone", ZoneInfo, "is no time zone, such as Europe/Berlin") or UTC,
    )


def _budget(section: Section, name: str) -> int | None:
    usd = section.number(name, lowest=0, highest=MAX_BUDGET_NANO_USD // NANO_USD)
    return None if usd is None else nano_from_usd(usd)


def _count(section: Section, name: str) -> int | None:
    return section.integer(name, lowest=0, highest=MAX_COUNT)


def _duration(section: Section, name: str) -> str:
    _checked(section, name, parse, "is no duration, such as 30d")
    return section.text(name) or ""


def _checked(section: Section, name: str, read: Callable[[str], _Read], problem: str) -> _Read | None:
    text = section.text(name)
    if not text:
        return None
    try:
        return read(text)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # a zone's name may not be a path at all
        raise ConfigError(section.place_of(name), problem) from None
