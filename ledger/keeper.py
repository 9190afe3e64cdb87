"""Keeps partitions made ahead of time, for as long as the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from ledger.partitions import DAY_SECONDS
from ledger.store import Store

INTERVAL_SECONDS = 3600.0
# While PostgreSQL is away: soon at first, since it may be starting beside us.
FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 5.0


class PartitionKeeper:
    """Runs between `start` and `stop`. `ready` is set once partitions are there; nothing may be written before."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self.ready = asyncio.Event()
        self._store = store
        self._clock = clock
        self._log = log
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
                made = await self._store.ensure_partitions(int(self._clock() // DAY_SECONDS))
            except Exception:
                # Whatever it is, entries go on: to the partitions made ahead, then to `late`.
                self._log.exception("partitions_not_made", retry_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(LAST_PAUSE_SECONDS, pause * 2)
                continue
            if made:
                self._log.info("partitions_made", names=[partition.name for partition in made])
            self.ready.set()
            pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(self._interval_seconds)
