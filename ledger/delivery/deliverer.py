"""Delivers to one sink, for as long as the process lives: the oldest batches first, each again until it is taken.

Of several ledgers one delivers at a time: it holds the sink in PostgreSQL, for longer than a delivery can take, and
another goes on when that time is up. What was delivered and could not be forgotten any more, since the process was
killed in between, comes again: receivers know entries by their dispatch ids.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

from structlog.typing import FilteringBoundLogger

from ledger.delivery.sink import NotTaken, Sink
from ledger.delivery.store import Arrival, DeliveryStore, entries_of
from ledger.metrics import DeliveryMetrics
from services.errors import GatewayError
from services.sender import Later

# Between two looks for what has arrived.
IDLE_SECONDS = 1.0
# Longer than a delivery may take, with what is asked of PostgreSQL before and after it.
HOLD_SECONDS = 60.0
DELIVERY_SECONDS = 30.0
# Batches that travel together at most. While calls are few, a batch is of one entry.
MOST_BATCHES = 1_000
# Pauses after failures double from the first to the last; a receiver may ask for a longer one, up to the last.
FIRST_PAUSE_SECONDS = 1.0
LAST_PAUSE_SECONDS = 300.0
# A batch that its receiver refuses as such is set aside after so many times.
MAX_REFUSALS = 5
GIVE_UP_EVERY_SECONDS = 3600.0


class Deliverer:
    """Runs between `start` and `stop`. holder: names this process."""

    def __init__(
        self,
        sink: Sink,
        store: DeliveryStore,
        holder: uuid.UUID,
        metrics: DeliveryMetrics,
        log: FilteringBoundLogger,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        self._sink = sink
        self._store = store
        self._holder = holder
        self._metrics = metrics
        self._log = log.bind(sink=sink.name)
        self._first_pause_seconds = first_pause_seconds
        self._hold_seconds = hold_seconds
        self._failures = 0
        # After a refusal batches go one by one, until one is taken: which of several was meant nobody knows.
        self._one_by_one = False
        self._is_registered = False
        self._gave_up_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End; a delivery under way is broken off, and comes again from whoever is next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        try:
            async with asyncio.timeout(1.0):
                await self._store.let_go(self._sink.name, self._holder)
        except (GatewayError, TimeoutError):
            self._log.warning("sink_not_let_go", seconds=self._hold_seconds)
        await self._sink.close()

    async def _run(self) -> None:
        while True:
            try:
                pause = await self._step()
                self._failures = 0
            except (Later, NotTaken) as error:
                pause = self._after_failure(error)
            except GatewayError:
                # PostgreSQL is away; the entries are not lost.
                pause = self._pause_seconds()
            except Exception:
                self._log.exception("delivery_failed")
                pause = self._pause_seconds()
            await asyncio.sleep(pause)

    async def _step(self) -> float:
        """Deliver what is there, as far as one delivery goes; how long to wait for the next look."""
        name = self._sink.name
        if not self._is_registered:
            await self._store.register(name)
            self._is_registered = True
        if not await self._store.hold(name, self._holder, self._hold_seconds):
            self._metrics.lag_seconds(name, 0.0)
            return IDLE_SECONDS
        await self._give_up()
        waiting = await self._store.next(name, MOST_BATCHES, self._sink.most_entries)
        self._metrics.lag_seconds(name, waiting[0].waited_seconds if waiting else 0.0)
        batches = self._first_of(waiting)
        if not batches:
            return IDLE_SECONDS
        try:
            async with asyncio.timeout(DELIVERY_SECONDS):
                await self._deliver(batches)
        except TimeoutError:
            raise Later("it takes too long") from None
        except NotTaken as refusal:
            if len(batches) == 1 and await self._store.refused(name, batches[0].number, str(refusal), MAX_REFUSALS):
                entries = len(batches[0].dispatch_ids)
                self._metrics.set_aside(name, entries)
                self._log.error("delivery_set_aside", number=batches[0].number, entries=entries, reason=str(refusal))
                return 0.0
            self._one_by_one = True
            raise
        self._one_by_one = False
        await self._store.delivered(name, [batch.number for batch in batches])
        self._metrics.delivered(name, sum(len(batch.dispatch_ids) for batch in batches))
        return 0.0

    def _first_of(self, waiting: Sequence[Arrival]) -> Sequence[Arrival]:
        """What goes now: as many as one delivery has, once they have waited enough."""
        if self._one_by_one:
            return waiting[:1]
        batches: list[Arrival] = []
        entries = 0
        for batch in waiting:
            entries += len(batch.dispatch_ids)
            if batches and entries > self._sink.most_entries:
                return batches
            batches.append(batch)
        is_full = entries >= self._sink.most_entries or len(waiting) >= MOST_BATCHES
        return batches if batches and (is_full or batches[0].waited_seconds >= self._sink.wait_seconds) else ()

    async def _deliver(self, batches: Sequence[Arrival]) -> None:
        ids = [each for batch in batches for each in batch.dispatch_ids]
        entries = await asyncio.to_thread(entries_of, await self._store.records(ids))
        if gone := len(ids) - len(entries):
            # Retention has dropped them, before their receiver took them.
            self._metrics.given_up(self._sink.name, gone)
            self._log.error("deliveries_given_up", entries=gone)
        if entries:
            await self._sink.deliver(f"{batches[0].number}-{batches[-1].number}", entries)

    async def _give_up(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._gave_up_at and now - self._gave_up_at < GIVE_UP_EVERY_SECONDS:
            return
        self._gave_up_at = now
        if entries := await self._store.give_up(self._sink.name):
            self._metrics.given_up(self._sink.name, entries)
            self._log.error("deliveries_given_up", entries=entries)

    def _after_failure(self, error: Later | NotTaken) -> float:
        pause = self._pause_seconds(error.after_seconds if isinstance(error, Later) else 0.0)
        self._metrics.failed(self._sink.name)
        self._log.warning("delivery_not_taken", reason=str(error), pause_seconds=pause)
        return pause

    def _pause_seconds(self, asked_seconds: float = 0.0) -> float:
        doubled = self._first_pause_seconds * 2.0 ** min(self._failures, 16)
        self._failures += 1
        return min(LAST_PAUSE_SECONDS, max(doubled, asked_seconds))
