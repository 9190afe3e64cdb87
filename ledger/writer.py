"""Writes batches until they are kept, whatever PostgreSQL does meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from structlog.typing import FilteringBoundLogger

from ledger.metrics import LedgerMetrics
from ledger.rows import Entry, clean, is_well_formed
from ledger.store import Refused, Store
from services.errors import GatewayError

# Restarts take a second; a server that is down longer is not to be hammered by every link.
FIRST_PAUSE_SECONDS = 0.05
LAST_PAUSE_SECONDS = 2.0


class Writer:
    """Shared by all links. `ready`: set once there are partitions."""

    def __init__(self, store: Store, ready: asyncio.Event, metrics: LedgerMetrics, log: FilteringBoundLogger) -> None:
        self._store = store
        self._ready = ready
        self._metrics = metrics
        self._log = log

    async def write(self, entries: Sequence[Entry], is_over: Callable[[], bool]) -> bool:
        """Whether every entry is kept now. It tries until it is so, or `is_over` says that nobody waits any more.

        To be tried again is harmless even after a commit whose answer was lost: what is kept is not kept twice.
        """
        pause = FIRST_PAUSE_SECONDS
        while not await self._try(entries):
            if is_over():
                return False
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (spreads links, guards nothing)
            pause = min(LAST_PAUSE_SECONDS, pause * 2)
        return True

    async def _try(self, entries: Sequence[Entry]) -> bool:
        if not self._ready.is_set():
            return False
        try:
            await self._write_once(entries)
        except GatewayError:
            self._metrics.retries.inc()
            self._log.warning("write_failed", entries=len(entries), exc_info=True)
            return False
        return True

    async def _write_once(self, entries: Sequence[Entry]) -> None:
        good = [entry for entry in entries if is_well_formed(entry)]
        if good:
            await self._write_good(good)
        if len(good) < len(entries):
            for entry in entries:
                if not is_well_formed(entry):
                    await self._reject(entry, f"a dispatch id has 16 bytes, not {len(entry.dispatch_id)}")

    async def _write_good(self, entries: Sequence[Entry]) -> None:
        """Write them all, or find by halving those that PostgreSQL refuses: one must not stop the others."""
        started = time.monotonic()
        try:
            written = await self._store.write(entries)
        except Refused as refused:
            if len(entries) == 1:
                await self._reject(entries[0], clean(str(refused)))
                return
            middle = len(entries) // 2
            await self._write_good(entries[:middle])
            await self._write_good(entries[middle:])
            return
        self._metrics.write_seconds.observe(time.monotonic() - started)
        self._metrics.stored.inc(written.stored)
        self._metrics.late.inc(written.late)
        self._metrics.duplicate.inc(len(entries) - written.stored - written.late)

    async def _reject(self, entry: Entry, reason: str) -> None:
        await self._store.reject(entry, reason)
        self._metrics.rejected.inc()
        self._log.error(
            "entry_rejected",
            dispatch_id=entry.dispatch_id.hex(),
            call_id=entry.call_id,
            cost_nano_usd=entry.cost_nano_usd,
            reason=reason,
        )
