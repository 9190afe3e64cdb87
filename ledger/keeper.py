"""Keeps partitions made ahead of time and drops those past retention, for as long as the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from ledger.partitions import DAY_SECONDS
from ledger.store import Store
from services.errors import GatewayError

INTERVAL_SECONDS = 3600.0
# While PostgreSQL is away: soon at first, since it may be starting beside us.
FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 5.0


class PartitionKeeper:
    """Runs between `start` and `stop`. `ready` is set once partitions are there; nothing may be written before.

    kept_seconds: how long entries are kept; None: for ever.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        kept_seconds: float | None = None,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self.ready = asyncio.Event()
        self._store = store
        self._clock = clock
        self._log = log
        self._kept_seconds = kept_seconds
        self._interval_seconds = interval_seconds
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
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._keep()
            except Exception:
                # Whatever it is, entries go on: to the partitions made ahead, then to `late`.
                self._log.exception("partitions_not_kept", retry_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(LAST_PAUSE_SECONDS, pause * 2)
                continue
            pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(self._interval_seconds)

    async def _keep(self) -> None:
        made = await self._store.ensure_partitions(int(self._clock() // DAY_SECONDS))
        if made:
            self._log.info("partitions_made", names=[partition.name for partition in made])
        self.ready.set()
        if self._kept_seconds is not None:
            await self._drop(self._kept_seconds)

    async def _drop(self, kept_seconds: float) -> None:
        try:
            dropped = await self._store.drop_expired(kept_seconds)
        except GatewayError:
            # A long question may hold a partition: there is time until the next round.
            self._log.warning("expired_entries_not_dropped", exc_info=True)
            return
        if dropped.partitions or dropped.late:
            self._log.info("expired_entries_dropped", partitions=dropped.partitions, late_rows=dropped.late)
