"""Compares the counters with the ledger, again and again, and makes good what they are short by.

One keystore of several does it, by a lease in Redis that it keeps for as long as it lives. A scope is compared at most
once a round, and `policy/drift.py` says what a comparison proves. Then:

- What the counters are short by in two comparisons in a row is added to them: a hold that was lost with the counters,
  an entry that came out of the outbox of a router that was down, a call that was not held.
- What they are ahead by is shown and never taken off: what the ledger lacks may lie in an outbox that is delivered
  later, and whoever took it off would let it be spent twice. An operator who knows that all outboxes are empty deletes
  the counters, and they are rebuilt (`rebuild.py`).

Scopes of periods that have ended are not compared, and after a while dropped on the way (`policy/scopes.py`): nobody
asks for them any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NoReturn, Protocol

from structlog.typing import FilteringBoundLogger

from keystore.metrics import KeystoreMetrics
from keystore.policy.drift import Look, confirmed, drift
from keystore.policy.scopes import GATEWAY_SCOPE, parse
from services.errors import GatewayError

INTERVAL_SECONDS = 300.0
# The lease outlives a round and the pause before the next: what one comparison has found is kept for the second.
LEASE_INTERVALS = 3
# How long the scope of an ended period is kept for calls that began in it and still go on; what is held keeps it, too.
KEPT_MS = 3600 * 1000
# Compared in one round; the next goes on from there. Each is a question to the ledger, of about a millisecond.
MAX_SCOPES = 1_000


class Counted(Protocol):
    """The counters (`inspection.Inspection`)."""

    @property
    def epoch(self) -> str:
        """The epoch that they are in."""

    async def lead(self, seconds: float) -> bool:
        """Be the one who compares."""

    async def scopes(self, cursor: int) -> tuple[int, list[str]]:
        """A page of scopes, and where to go on."""

    async def look(self, epoch: str, scopes: Sequence[str]) -> Mapping[str, Look] | None:
        """Scopes at one moment."""

    async def correct(self, epoch: str, scope: str, amount_nano_usd: int) -> bool:
        """Add to what is spent."""

    async def forget(self, epoch: str, scopes: Sequence[str]) -> int:
        """Drop scopes in which nothing is held."""


class Reconciler:
    """`sum_spent(scope, left out)` asks the ledger. One round is `reconcile`; `run` makes one every interval."""

    def __init__(
        self,
        *,
        counters: Counted,
        sum_spent: Callable[[str, Sequence[bytes]], Awaitable[int]],
        metrics: KeystoreMetrics,
        log: FilteringBoundLogger,
        now_ms: Callable[[], int],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._counters = counters
        self._sum_spent = sum_spent
        self._metrics = metrics
        self._log = log
        self._now_ms = now_ms
        self._interval_seconds = interval_seconds
        self._epoch = ""
        self._cursor = 0
        # By scope, of the last comparison, where there was any.
        self._drifts: dict[str, int] = {}
        # By scope, what the last two agree on that was not corrected.
        self._ahead: dict[str, int] = {}

    async def run(self) -> NoReturn:
        """Round after round."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                await self.reconcile()
            except GatewayError as error:
                # Redis or the ledger is away: there will be another round.
                self._log.warning("not_reconciled", error=error.message)
            except Exception:
                # The rim of one round: whatever it was, there will be another.
                self._log.exception("not_reconciled")

    async def reconcile(self) -> None:
        """One round, if it is for this process to do. UNAVAILABLE when Redis or the ledger does not answer."""
        epoch = self._counters.epoch
        leads = bool(epoch) and await self._counters.lead(LEASE_INTERVALS * self._interval_seconds)
        if not leads or epoch != self._epoch:
            self._epoch = epoch if leads else ""
            self._drifts.clear()
            self._ahead.clear()
        try:
            if leads:
                await self._compare_scopes(epoch)
        finally:
            self._metrics.ahead.set(sum(self._ahead.values()))

    async def _compare_scopes(self, epoch: str) -> None:
        compared = {GATEWAY_SCOPE}
        await self._compare(epoch, [GATEWAY_SCOPE])
        while len(compared) < MAX_SCOPES:
            self._cursor, page = await self._counters.scopes(self._cursor)
            now_ms = self._now_ms()
            ends = {scope: end_ms for scope in page if (end_ms := parse(scope).end_ms)}
            ended = sorted(scope for scope, end_ms in ends.items() if end_ms < now_ms - KEPT_MS)
            if ended:
                await self._counters.forget(epoch, ended)
            # The ledger's sum goes on after the end of a period.
            scopes = sorted(scope for scope in set(page) - compared if ends.get(scope, now_ms + 1) > now_ms)
            compared.update(scopes)
            if scopes:
                await self._compare(epoch, scopes)
            if not self._cursor:
                break

    async def _compare(self, epoch: str, scopes: Sequence[str]) -> None:
        """Some scopes, between two looks at the counters."""
        before = await self._counters.look(epoch, scopes)
        if before is None:
            self._log.info("not_compared", epoch=epoch)
            return
        sums = {scope: await self._sum_spent(scope, list(look.unsettled)) for scope, look in before.items()}
        after = await self._counters.look(epoch, scopes) or {}
        for scope in before.keys() & after.keys():
            found = drift(before[scope], sums[scope], after[scope])
            if found is not None:
                await self._judge(epoch, scope, found)

    async def _judge(self, epoch: str, scope: str, found: int) -> None:
        sure = confirmed(self._drifts.pop(scope, 0), found)
        was_ahead = self._ahead.pop(scope, 0)
        if sure < 0 and await self._counters.correct(epoch, scope, -sure):
            self._metrics.corrected.inc(-sure)
            self._log.warning("counters_corrected", scope=scope, added_nano_usd=-sure)
            found -= sure
        elif sure > 0:
            self._ahead[scope] = sure
            if sure != was_ahead:
                self._log.info("ledger_behind_counters", scope=scope, nano_usd=sure)
        if found:
            self._drifts[scope] = found
