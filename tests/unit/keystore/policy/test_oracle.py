"""The model itself, where its numbers can be seen."""

from __future__ import annotations

from keystore.policy.operations import Admit, Balance, Budget, Exceeded, Held, Read, Renew, Seed, Settle, Settled
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
