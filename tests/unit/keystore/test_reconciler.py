"""Rounds of the reconciler over scopes with periods: which are compared, and which are dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from prometheus_client import CollectorRegistry

from keystore.metrics import KeystoreMetrics
from keystore.policy.drift import Look
from keystore.policy.operations import Admit, Budget, Read, Seed, Settle, Unknown
from keystore.policy.oracle import Oracle
from keystore.policy.scopes import in_period
from keystore.reconciler import KEPT_MS, Reconciler

NOW_MS = 1_795_332_900_000
DAY_MS = 86_400_000


class Counted:
    """The model of the counters, in pages of two."""

    epoch = "e"

    def __init__(self, *scopes: str) -> None:
        self.oracle = Oracle(60_000)
        self.oracle.decide([Seed(scope, 0) for scope in ("gateway", *scopes)], NOW_MS)
        self.compared: set[str] = set()

    async def lead(self, seconds: float) -> bool:
        return True

    async def scopes(self, cursor: int) -> tuple[int, list[str]]:
        known = sorted(self.oracle._spent)
        following = cursor + 2
        return (following if following < len(known) else 0), known[cursor:following]

    async def look(self, epoch: str, scopes: Sequence[str]) -> Mapping[str, Look] | None:
        self.compared.update(scopes)
        return {scope: self.oracle.look(scope) for scope in scopes}

    async def correct(self, epoch: str, scope: str, amount_nano_usd: int) -> bool:
        self.oracle.correct(scope, amount_nano_usd)
        return True

    async def forget(self, epoch: str, scopes: Sequence[str]) -> int:
        return self.oracle.forget(scopes)

    def is_known(self, scope: str) -> bool:
        (answer,) = self.oracle.decide([Read(scope)], NOW_MS)
        return not isinstance(answer, Unknown)


def reconciler(counters: Counted, ledger_nano_usd: int = 0) -> Reconciler:
    async def sum_spent(scope: str, excluded: Sequence[bytes]) -> int:
        return ledger_nano_usd

    return Reconciler(
        counters=counters,
        sum_spent=sum_spent,
        metrics=KeystoreMetrics(CollectorRegistry()),
        log=structlog.get_logger(),
        now_ms=lambda: NOW_MS,
    )


ALL_TIME = "key:k"
RESET = in_period("key:k", NOW_MS - 5)
PRESENT = in_period("key:k", NOW_MS - 5, NOW_MS + 1)
JUST_ENDED = in_period("key:k", NOW_MS - DAY_MS, NOW_MS)
KEPT = in_period("team:t", NOW_MS - DAY_MS, NOW_MS - KEPT_MS)
LONG_ENDED = in_period("team:t", NOW_MS - 2 * DAY_MS, NOW_MS - KEPT_MS - 1)


async def test_of_periods_that_have_ended_the_scopes_are_dropped_after_a_while_and_no_others() -> None:
    counters = Counted(ALL_TIME, RESET, PRESENT, JUST_ENDED, KEPT, LONG_ENDED)
    for _ in range(3):
        await reconciler(counters).reconcile()
    kept = [scope for scope in (ALL_TIME, RESET, PRESENT, JUST_ENDED, KEPT, LONG_ENDED) if counters.is_known(scope)]
    assert kept == [ALL_TIME, RESET, PRESENT, JUST_ENDED, KEPT]


async def test_while_something_is_held_in_it_a_scope_stays_however_long_its_period_is_over() -> None:
    counters = Counted(LONG_ENDED)
    counters.oracle.decide([Admit(b"1", 5, 1, (Budget(LONG_ENDED, 100),))], NOW_MS)
    await reconciler(counters).reconcile()
    assert counters.is_known(LONG_ENDED)
    counters.oracle.decide([Settle(b"1", 5)], NOW_MS)
    await reconciler(counters).reconcile()
    assert not counters.is_known(LONG_ENDED)


async def test_a_period_that_is_over_is_not_compared_for_the_ledger_s_sum_goes_on_after_it() -> None:
    counters = Counted(ALL_TIME, RESET, PRESENT, JUST_ENDED, KEPT, LONG_ENDED)
    rounds = reconciler(counters, ledger_nano_usd=7)
    for _ in range(2):
        await rounds.reconcile()
    assert counters.compared == {"gateway", ALL_TIME, RESET, PRESENT}
    spent = {scope: counters.oracle.look(scope).spent_nano_usd for scope in (PRESENT, JUST_ENDED)}
    assert spent == {PRESENT: 7, JUST_ENDED: 0}
