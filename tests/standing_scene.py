"""Keys and owners in memory, and what applies to calls with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keystore.policy.defaults import Defaults
from keystore.policy.owners import Directory, Key, Kind, Owner, member_id
from keystore.policy.standing import Applied, Standings
from keystore.policy.terms import Terms

# 22 November 2026, 07:35 UTC.
NOW_MS = 1_795_332_900_000
HOUR_MS = 3_600_000
MONTH = (1_793_491_200_000, 1_796_083_200_000)
DAY = (1_795_305_600_000, 1_795_392_000_000)


class Scene:
    """A directory, and what applies to a call in it."""

    def __init__(self, *owners: Owner, defaults: Defaults | None = None) -> None:
        self.directory = Directory()
        for owner in owners:
            self.directory.put_owner(owner)
        self.standings = Standings(self.directory, defaults or Defaults())

    def key(self, **members: Any) -> Key:
        key = Key("k", "token", "sk-...abcd", **members)
        self.directory.put_key(key)
        return key

    def applied(
        self, key: Key | None, model: str = "m", end_user_id: str = "", tags: Iterable[str] = (), at_ms: int = NOW_MS
    ) -> Applied:
        return self.standings.applied(key, model, end_user_id, tags, at_ms)

    def budgets(self, key: Key | None, **asked: Any) -> dict[str, int]:
        return {budget.scope: budget.cap_nano_usd for budget in self.applied(key, **asked).budgets}

    def limits(self, key: Key | None, **asked: Any) -> list[str]:
        return [limit.scope for limit in self.applied(key, **asked).limits]


def team(**terms: Any) -> Owner:
    return Owner(Kind.TEAM, "t", Terms(**terms))


def user(**terms: Any) -> Owner:
    return Owner(Kind.USER, "u", Terms(**terms))


def member(**terms: Any) -> Owner:
    return Owner(Kind.TEAM_MEMBER, member_id("t", "u"), Terms(**terms), user_id="u", team_id="t")


def money(cap: int) -> Terms:
    return Terms(max_budget_nano_usd=cap, rpm_limit=cap)


EVERYBODY = (
    Owner(Kind.USER, "u", money(2)),
    Owner(Kind.TEAM, "t", money(3), organization_id="o"),
    Owner(Kind.TEAM_MEMBER, member_id("t", "u"), money(4), user_id="u", team_id="t"),
    Owner(Kind.ORGANIZATION, "o", money(5)),
    Owner(Kind.CUSTOMER, "c", money(6)),
    Owner(Kind.TAG, "x", money(7)),
    Owner(Kind.TAG, "y", money(8)),
    Owner(Kind.BUDGET, "b", money(9)),
    Owner(Kind.ACCESS_GROUP, "g", Terms(("m",))),
    Owner(Kind.ORGANIZATION_MEMBER, "o/u", money(10), user_id="u", organization_id="o"),
)
