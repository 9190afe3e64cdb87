"""Makes a spend report of every period that is over. Every ledger does; it is kept once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gateway.v1 import ledger_pb2
from gateway.v1.ledger_pb2 import Alert
from structlog.typing import FilteringBoundLogger

from ledger.alerts.report import GROUPS, MOST_ROWS, Sum, last_period, report_of
from ledger.filters import HOUR_MS, SpendQuestion
from ledger.store import Spend
from services.durations import Duration
from services.errors import GatewayError

LOOK_SECONDS = 60.0
# What is still on its way to the ledger when a period ends arrives within this.
SETTLE_MS = 300_000


class Reporter:
    """query: sums of entries. note: keeps an alert once. now: the wall clock, in seconds."""

    def __init__(
        self,
        query: Callable[[SpendQuestion], Awaitable[Sequence[Spend]]],
        note: Callable[[Alert], Awaitable[bool]],
        frequency: Duration,
        now: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self._query = query
        self._note = note
        self._frequency = frequency
        self._now = now
        self._log = log
        # The end of the last period that was seen to.
        self._done_ms = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except GatewayError:
                pass  # PostgreSQL is away
            except Exception:
                self._log.exception("spend_not_reported")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Report the last period that is over, if there was a call in it. UNAVAILABLE when PostgreSQL is away."""
        period = last_period(self._frequency, int(self._now() * 1000) - SETTLE_MS)
        if period.end_ms == self._done_ms:
            return
        hours = (period.start_ms // HOUR_MS, -(-period.end_ms // HOUR_MS))
        (whole, *_) = await self._query(SpendQuestion((), *hours, limit=1))
        if whole.entries:
            groups = {dimension: await self._by(dimension, hours) for dimension in GROUPS}
            await self._note(report_of(period, _sum(whole), groups))
        self._done_ms = period.end_ms

    async def _by(self, dimension: ledger_pb2.SpendDimension, hours: tuple[int, int]) -> list[Sum]:
        """The dearest of a group; one more than is shown, for what has no team or tag is a row, too."""
        return [_sum(row) for row in await self._query(SpendQuestion((dimension,), *hours, limit=MOST_ROWS))]


def _sum(spend: Spend) -> Sum:
    return Sum(spend.keys[0] if spend.keys else "", spend.cost_nano_usd, spend.entries)
