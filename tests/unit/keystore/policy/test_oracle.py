"""The model itself, where its numbers can be seen."""

from __future__ import annotations

from keystore.policy.operations import (
    Admit,
    Balance,
    Budget,
    Exceeded,
    Extend,
    Held,
    Read,
    Renew,
    Seed,
    Settle,
    Settled,
    Unknown,
)
from keystore.policy.oracle import Oracle

LEASE_MS = 60_000
CAP = Budget("key:a", 100)


def _admit(number: int, full: int = 60, smallest: int = 10, *budgets: Budget) -> Admit:
    return Admit(bytes([number]), full, smallest, budgets or (CAP,))


def _ready() -> Oracle:
    oracle = Oracle(LEASE_MS)
    oracle.decide([Seed("key:a", 0), Seed("gateway", 0)], 0)
    return oracle


def test_the_last_hold_is_what_is_left_and_no_less_than_the_smallest() -> None:
    oracle = _ready()
    assert oracle.decide([_admit(1), _admit(2), _admit(3)], 0) == [
        Held(60, spent_nano_usd=0),
        Held(40, spent_nano_usd=0),
        Exceeded(CAP, 0, 100),
    ]


def test_all_budgets_or_none() -> None:
    oracle, gateway = _ready(), Budget("gateway", 5)
    assert oracle.decide([_admit(1, 60, 10, CAP, gateway), Read("key:a")], 0) == [
        Exceeded(gateway, 0, 0),
        Balance(0, 0),
    ]


def test_a_call_that_costs_nothing_passes_an_overrun_budget() -> None:
    oracle = _ready()
    asked = [_admit(1), Settle(bytes([1]), 500), _admit(2, 0, 0), _admit(3)]
    assert oracle.decide(asked, 0)[2:] == [Held(0, spent_nano_usd=500), Exceeded(CAP, 500, 0)]


def test_leases_pause_for_one_lease_after_a_silence() -> None:
    """Nobody called for longer than half a lease, so nobody can have renewed."""
    oracle = _ready()
    oracle.decide([_admit(1)], 0)
    assert oracle.decide([Read("key:a")], 10 * LEASE_MS) == [Balance(0, 60)]
    for step in range(1, 5):
        oracle.decide([], 10 * LEASE_MS + step * LEASE_MS // 4)
    assert oracle.decide([Read("key:a"), Renew(bytes([1]))], 11 * LEASE_MS) == [Balance(0, 0), False]
    assert oracle.decide([Settle(bytes([1]), 7), Read("key:a")], 11 * LEASE_MS) == [Settled.EXPIRED, Balance(7, 0)]


def test_a_shadow_budget_holds_and_counts_and_says_that_it_would_have_refused() -> None:
    oracle, shadow = _ready(), Budget("gateway", 5, shadow=True)
    asked = [_admit(1, 60, 10, shadow, CAP), Read("gateway"), Settle(bytes([1]), 60), Read("gateway")]
    assert oracle.decide(asked, 0) == [
        Held(60, spent_nano_usd=0, would_refuse=shadow),
        Balance(0, 60),
        Settled.HELD,
        Balance(60, 0),
    ]


def test_what_is_not_known_is_not_known_of_a_shadow_either() -> None:
    oracle = _ready()
    assert oracle.decide([_admit(1, 60, 10, Budget("team:t", 5, shadow=True))], 0) == [Unknown("team:t")]


def test_a_scope_is_dropped_if_nothing_is_held_in_it_and_stays_unknown_until_it_is_summed() -> None:
    oracle = _ready()
    oracle.decide([_admit(1), _admit(2, 0, 0, Budget("gateway", 5))], 0)
    assert oracle.forget(["key:a", "gateway", "none"]) == 1
    assert oracle.decide([Settle(bytes([2]), 4), Read("gateway"), Read("key:a")], 0) == [
        Settled.HELD,
        Unknown("gateway"),
        Balance(0, 60),
    ]
    assert oracle.decide([Seed("gateway", 4), Read("gateway")], 0) == [True, Balance(4, 0)]


def test_a_hold_grows_under_shadows_as_it_likes_and_not_where_nothing_is_known_any_more() -> None:
    oracle, shadow = _ready(), Budget("gateway", 0, shadow=True)
    oracle.decide([_admit(1, 5, 5, shadow), _admit(2, 0, 0, CAP)], 0)
    assert oracle.decide([Extend(bytes([1]), 500, 400, (shadow,))], 0) == [Held(500)]
    oracle.forget(["key:a"])
    assert oracle.decide([Extend(bytes([2]), 5, 5, (CAP,))], 0) == [False]
