"""The outbox of this process: records in, entries out to each consumer, segments deleted when nobody needs them.

    outbox = Outbox(root, metrics=..., log=...)
    outbox.opened(entry); sequence = outbox.append(entry); await outbox.committed(sequence)
    taken = await outbox.take("ledger", max_bytes); outbox.ack("ledger", taken[-1][0])
    outbox.close()

Records have rising sequences. Consumers get entries once they are committed, and know them by their dispatch ids:
acknowledgements are not stored, and whoever takes the folder over delivers again what its segments hold.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.v1 import ledger_pb2
from structlog.typing import FilteringBoundLogger

from router.metrics import OutboxMetrics
from router.outbox.journal import Journal, Limits, Record
from router.outbox.segment import Chunk, Segment, read_chunk
from router.outbox.tail import MAX_TAIL_BYTES, Tail

# Who entries are delivered to, each at its own pace.
CONSUMERS = ("ledger", "keystore")


@dataclass(slots=True)
class _Cursor:
    """Where a consumer is. taken, acked: every entry up to there was given to it, was done with by it.

    segment, offset, next: where its reading of files stands; `next` is the sequence of the record at `offset`.
    """

    taken: int = 0
    acked: int = 0
    segment: Segment | None = None
    offset: int = 0
    next: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    # Those who wait until everything up to a sequence is acknowledged.
    waiters: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)


class Outbox:
    """See the module. One taker a consumer at a time. OSError when its folder cannot be made."""

    def __init__(
        self,
        root: Path,
        *,
        metrics: OutboxMetrics,
        log: FilteringBoundLogger,
        limits: Limits | None = None,
        tail_bytes: int = MAX_TAIL_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root
        self._metrics = metrics
        self._log = log
        self._journal = Journal(
            root, limits=limits or Limits(), on_written=self._on_written, metrics=metrics, log=log, clock=clock
        )
        self._tail = Tail(tail_bytes)
        self._last_entry = 0
        # Acknowledged by all.
        self._floor = 0
        self._cursors = {consumer: _Cursor() for consumer in CONSUMERS}
        metrics.observe_bytes(lambda: self._journal.bytes)
        for consumer in CONSUMERS:
            metrics.observe_waiting(consumer, self._waiting_of(consumer))

    @property
    def path(self) -> Path:
        """The folder."""
        return self._journal.path

    @property
    def last_sequence(self) -> int:
        """The sequence of the youngest record."""
        return self._journal.sequence

    def opened(self, entry: ledger_pb2.Entry) -> int:
        """A provider request begins: what the dispatch is if no entry follows. The last one of a dispatch counts.

        Raises GatewayError (UNAVAILABLE) when the outbox is full, unless the dispatch is open already.
        """
        return self._journal.opened(entry)

    def append(self, entry: ledger_pb2.Entry) -> int:
        """A dispatch has ended. Its sequence, for `committed`. The entry must not change any more.

        Raises GatewayError (UNAVAILABLE) when the outbox is full, unless the dispatch is open: what is running may
        end, and that is the reserve beyond the limit.
        """
        self._last_entry = self._journal.append(entry)
        return self._last_entry

    async def committed(self, sequence: int) -> None:
        """Until every record up to `sequence` survives a kill of this process.

        Raises GatewayError (UNAVAILABLE) when the disk refuses it; it is written as soon as the disk takes it.
        """
        await self._journal.committed(sequence)

    async def sync(self, since: int) -> None:
        """Until every committed record from `since` on survives a loss of power, too. OSError when it does not."""
        await self._journal.sync(since)

    async def take(self, consumer: str, max_bytes: int) -> list[tuple[int, ledger_pb2.Entry]]:
        """The next entries of a consumer with their sequences, in order, at least one; waits for it."""
        cursor = self._cursors[consumer]
        while True:
            cursor.news.clear()
            if cursor.taken < self._tail.after:
                taken = await self._take_from_files(cursor, max_bytes)
            else:
                taken = self._tail.read(cursor.taken, max_bytes)
                if not taken:
                    await cursor.news.wait()
            if taken:
                cursor.taken = taken[-1][0]
                return taken

    def rewind(self, consumer: str) -> None:
        """Take again from the first entry that is not acknowledged."""
        cursor = self._cursors[consumer]
        cursor.taken = cursor.acked
        cursor.segment = None

    def ack(self, consumer: str, sequence: int) -> None:
        """A consumer is done with every entry up to `sequence`, as far as it has taken them."""
        cursor = self._cursors[consumer]
        cursor.acked = max(cursor.acked, min(sequence, cursor.taken))
        waiters, cursor.waiters = cursor.waiters, []
        for target, waiter in waiters:
            if target > cursor.acked:
                cursor.waiters.append((target, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        floor = min(each.acked for each in self._cursors.values())
        if floor > self._floor:
            self._floor = floor
            self._tail.drop(floor)
            self._journal.release(floor)

    async def delivered(self, consumer: str) -> None:
        """Until a consumer has acknowledged every entry that is in the outbox now."""
        cursor = self._cursors[consumer]
        if self._last_entry > cursor.acked:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            cursor.waiters.append((self._last_entry, waiter))
            await waiter

    def waiting(self, consumer: str) -> tuple[int, int]:
        """The sequences of the youngest entry, and of the last one that a consumer has acknowledged."""
        return self._last_entry, min(self._last_entry, self._cursors[consumer].acked)

    def close(self) -> None:
        """Write what is pending. The folder goes away if all has arrived, and else waits for who takes it over."""
        self._journal.close(self._last_entry)

    def _on_written(self, records: Sequence[Record]) -> None:
        entries = 0
        for record in records:
            if record.entry is not None:
                self._tail.add(record.sequence, record.entry, record.size)
                entries += 1
        if entries:
            for cursor in self._cursors.values():
                cursor.news.set()

    def _waiting_of(self, consumer: str) -> Callable[[], float]:
        cursor = self._cursors[consumer]
        return lambda: max(0, self._last_entry - cursor.acked)

    async def _take_from_files(self, cursor: _Cursor, max_bytes: int) -> list[tuple[int, ledger_pb2.Entry]]:
        """Entries of the segment where the cursor is; none when there was none in what was read."""
        segment = next((each for each in self._journal.segments if each.last_entry > cursor.taken), None)
        if segment is None:
            # The rest of the last one was damaged.
            cursor.taken = self._tail.after
            return []
        if segment is not cursor.segment:
            cursor.segment, cursor.offset, cursor.next = segment, 0, segment.first
        last = segment.last
        chunk = await asyncio.to_thread(read_chunk, segment.path, cursor.offset, max_bytes, segment.size)
        taken = _entries_after(cursor.taken, cursor.next, chunk)
        cursor.offset = chunk.end
        cursor.next += len(chunk.records)
        if chunk.damaged and not taken:
            self._metrics.damaged.inc()
            self._log.error("outbox_segment_damaged", path=str(segment.path), offset=chunk.end, lost_through=last)
            cursor.taken = last
        return taken


def _entries_after(after: int, first: int, chunk: Chunk) -> list[tuple[int, ledger_pb2.Entry]]:
    return [
        (sequence, record.entry)
        for sequence, record in enumerate(chunk.records, first)
        if sequence > after and record.HasField("entry")
    ]
