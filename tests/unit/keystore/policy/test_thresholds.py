"""What of a budget is told, whatever is spent of it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from keystore.policy.operations import Budget
from keystore.policy.scopes import Whose, in_period, scope_of
from keystore.policy.standing import Account
from keystore.policy.thresholds import PERCENTS, Crossed, alert_of, crossed

AMOUNTS = st.integers(0, 9_000_000_000_000_000)


def account(cap: int = 1_000, *, whose: Whose = Whose.TEAM, name: str = "t1", **members) -> Account:
    scope = in_period(scope_of(whose, name), 1_764_547_200_000, 1_767_225_600_000)
    return Account(whose, name, Budget(scope, cap), cap, end_ms=1_767_225_600_000, **members)


@given(AMOUNTS, AMOUNTS, st.none() | AMOUNTS)
def test_the_highest_part_that_is_spent_is_told(cap: int, spent: int, soft: int | None) -> None:
    found = crossed(account(cap, soft_nano_usd=soft), spent)
    parts = [each.percent for each in found if each.percent]
    assert parts == [each for each in PERCENTS if cap and spent >= cap * each / 100][:1]
    assert (Crossed(0, soft or 0) in found) == (bool(soft) and spent >= (soft or 0))


def test_a_budget_that_lets_no_call_pass_is_used_up_whatever_is_left() -> None:
    assert crossed(account(), 600, refuses=True) == [Crossed(100, 1_000)]


def test_of_a_soft_budget_alone_no_budget_is_told() -> None:
    found = crossed(account(soft_nano_usd=10, counts=False), 10**12)
    assert found == [Crossed(0, 10)]


@given(st.sampled_from(list(Whose)), st.text(max_size=300), st.sampled_from((*PERCENTS, 0)))
def test_every_owner_has_words_within_what_a_ledger_takes(whose: Whose, name: str, percent: int) -> None:
    alert = alert_of(account(whose=whose, name=name), Crossed(percent, 1_000), 900)
    assert len(alert.title) <= 300
    assert "\n" not in alert.title
    assert len(alert.text) <= 10_000
    assert json.loads(alert.event_json)["token"] is None


def test_one_threshold_of_one_budget_in_one_period_has_one_key() -> None:
    same = [alert_of(account(), Crossed(85, 1_000), spent).key for spent in (850, 860)]
    assert same[0] == same[1]
    others = {
        alert_of(account(), Crossed(95, 1_000), 950).key,
        alert_of(account(2_000), Crossed(85, 2_000), 1_700).key,
        alert_of(account(name="t2"), Crossed(85, 1_000), 850).key,
        alert_of(account(soft_nano_usd=1_000), Crossed(0, 1_000), 1_000).key,
    }
    assert len({*others, same[0]}) == 5


def test_a_key_is_named_as_it_is_shown_and_by_nothing_that_finds_it() -> None:
    scope = scope_of(Whose.KEY, "id-of-the-key")
    alert = alert_of(Account(Whose.KEY, "sk-...abcd", Budget(scope, 1_000), 1_000), Crossed(85, 1_000), 900)
    assert alert.title == "Key sk-...abcd: 85 % of the budget is spent"
    assert alert.text == "Spent $0.0000009 of a budget of $0.000001."
    assert "id-of-the-key" not in str(alert)
