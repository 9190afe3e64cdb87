"""The end of the present period is that of the budget that holds: one's own, or the one that it is taken from."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from keystore.policy.owners import Directory, Key, Kind, Owner
from keystore.policy.terms import Terms
from keystore.resets import key_reset_ms, owner_reset_ms

NOW = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000)
TOMORROW = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp() * 1000)
NEXT_MONTH = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1000)
DAILY, MONTHLY = Terms(max_budget_nano_usd=0, budget_duration="1d"), Terms(max_budget_nano_usd=5, budget_duration="30d")


def _key(terms: Terms) -> Key:
    return Key("k", "t", "", terms=terms)


def test_a_budget_without_a_period_never_ends_and_a_period_without_a_budget_is_none() -> None:
    directory = Directory()
    for terms in (Terms(), Terms(max_budget_nano_usd=5), Terms(budget_duration="1d"), Terms(budget_id="gone")):
        assert key_reset_ms(_key(terms), directory, NOW, UTC) == 0
    assert key_reset_ms(_key(DAILY), directory, NOW, UTC) == TOMORROW
    assert key_reset_ms(_key(DAILY), directory, NOW, ZoneInfo("Asia/Tokyo")) == TOMORROW - 9 * 3_600_000


def test_who_refers_to_a_budget_has_its_period() -> None:
    directory = Directory()
    directory.put_owner(Owner(Kind.BUDGET, "b", terms=MONTHLY))
    assert key_reset_ms(_key(Terms(budget_id="b")), directory, NOW, UTC) == NEXT_MONTH
    assert owner_reset_ms(Owner(Kind.CUSTOMER, "c", terms=Terms(budget_id="b")), directory, NOW, UTC) == NEXT_MONTH
    assert owner_reset_ms(Owner(Kind.BUDGET, "b", terms=MONTHLY), directory, NOW, UTC) == NEXT_MONTH


def test_a_member_has_the_period_of_its_own_budget_or_of_that_of_all_members() -> None:
    directory = Directory()
    directory.put_owner(Owner(Kind.BUDGET, "b", terms=MONTHLY))
    directory.put_owner(Owner(Kind.TEAM, "t", terms=MONTHLY, member_terms=DAILY))
    directory.put_owner(Owner(Kind.TEAM, "s", member_terms=Terms(budget_id="b")))
    member = Owner(Kind.TEAM_MEMBER, "t/u", user_id="u", team_id="t")
    assert owner_reset_ms(member, directory, NOW, UTC) == TOMORROW
    of_own = Owner(Kind.TEAM_MEMBER, "t/u", user_id="u", team_id="t", terms=MONTHLY)
    assert owner_reset_ms(of_own, directory, NOW, UTC) == NEXT_MONTH
    other = Owner(Kind.TEAM_MEMBER, "s/u", user_id="u", team_id="s")
    assert owner_reset_ms(other, directory, NOW, UTC) == NEXT_MONTH
