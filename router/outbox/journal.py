"""The writing side of the outbox: records gather for a tick, go to the current segment in one `write()`, and are
committed then. It survives a kill of the process; nothing on the call path waits for the disk."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gateway.v1 import ledger_pb2, router_pb2
from structlog.typing import FilteringBoundLogger

from router.metrics import OutboxMetrics
from router.outbox.folder import create
from router.outbox.record import encode
from router.outbox.segment import Segment, SegmentWriter
from services.errors import unavailable
from services.link import FEW_CALLS, TICK_SECONDS

# A segment is the unit of deleting: small beside the limit, large beside a record.
SEGMENT_BYTES = 8 * 1024 * 1024
SEGMENT_SECONDS = 60.0
# About a million calls: a quarter of an hour of a stopped ledger at 1,000 calls a second.
LIMIT_BYTES = 1024 * 1024 * 1024
# A disk that refuses a write is asked again so often.
RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """When segments end, and when there are too many. Tests make them small."""

    bytes: int = LIMIT_BYTES
    segment_bytes: int = SEGMENT_BYTES
    segment_seconds: float = SEGMENT_SECONDS


class Record(NamedTuple):
    """A record on its way to the disk. entry None: an `opened`. size: on disk."""

    sequence: int
    dispatch_id: bytes
    entry: ledger_pb2.Entry | None
    size: int


class Journal:
    """The folder of this process, and its segments. on_written: is given what a write has committed."""

    def __init__(
        self,
        root: Path,
        *,
        limits: Limits,
        on_written: Callable[[Sequence[Record]], None],
        metrics: OutboxMetrics,
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = create(root)
        self._limits = limits
        self._on_written = on_written
        self._metrics = metrics
        self._log = log
        self._clock = clock
        # Of the youngest record, and of the youngest that is written.
        self.sequence = 0
        self._committed = 0
        # Of all segments, and of what is about to be written.
        self.bytes = 0
        self._buffer = bytearray()
        self._pending: list[Record] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._flushing: asyncio.Handle | None = None
        self._failing = False
        self._closed = False
        # Dispatches with an `opened` and no entry; and, as far as they are written, the segment of the `opened`.
        self._open: set[bytes] = set()
        self._open_in: dict[bytes, Segment] = {}
        # Nobody needs entries up to here.
        self._floor = 0
        # The last one is written now.
        self.segments: list[Segment] = []
        self._begin_segment()

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def opened(self, entry: ledger_pb2.Entry) -> int:
        """Note that a provider request begins. See `Outbox.opened`."""
        dispatch_id = entry.dispatch_id
        self._refuse_when_full(dispatch_id)
        # Copied into the record: by the constructor it costs twice as much.
        record = router_pb2.OutboxRecord()
        record.opened.CopyFrom(entry)
        sequence = self._add(record, dispatch_id, None)
        self._open.add(dispatch_id)
        return sequence

    def append(self, entry: ledger_pb2.Entry) -> int:
        """Note that a dispatch has ended. See `Outbox.append`."""
        dispatch_id = entry.dispatch_id
        self._refuse_when_full(dispatch_id)
        record = router_pb2.OutboxRecord()
        record.entry.CopyFrom(entry)
        sequence = self._add(record, dispatch_id, entry)
        self._open.discard(dispatch_id)
        return sequence

    async def committed(self, sequence: int) -> None:
        """Until every record up to `sequence` is written. See `Outbox.committed`."""
        if sequence > self._committed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    async def sync(self, since: int) -> None:
        """Until every committed record from `since` on survives a loss of power, too. OSError when it does not."""
        paths = [segment.path for segment in self.segments if segment.last >= since]
        await asyncio.to_thread(_sync, [*paths, self.path, self.path.parent])

    def release(self, floor: int) -> None:
        """Entries up to `floor` have arrived everywhere."""
        self._floor = floor
        self._delete_segments()

    def close(self, last_entry: int) -> None:
        """Write what is pending. The folder goes away if nobody needs it, and else waits for who takes it over."""
        self._closed = True
        self._flush()
        if self._flushing is not None:
            self._flushing.cancel()
            self._log.error("outbox_not_written", records=len(self._pending))
        self._writer.close()
        if self._floor >= last_entry and not self._open:
            self._folder.remove()
        else:
            self._folder.release()

    def _refuse_when_full(self, dispatch_id: bytes) -> None:
        if self._closed:
            raise unavailable("The outbox is closed.")
        if dispatch_id in self._open:
            return
        if self._failing:
            raise unavailable("The disk of the outbox refuses writes; calls cannot be accounted for.")
        if self.bytes >= self._limits.bytes:
            raise unavailable("The outbox is full; calls cannot be accounted for until the ledger is back.")

    def _add(self, record: router_pb2.OutboxRecord, dispatch_id: bytes, entry: ledger_pb2.Entry | None) -> int:
        data = encode(record.SerializeToString())
        self.sequence += 1
        self._buffer += data
        self.bytes += len(data)
        self._pending.append(Record(self.sequence, dispatch_id, entry, len(data)))
        if self._flushing is None:
            loop = asyncio.get_running_loop()
            # With few calls each is written at once; with many, a write carries those of a tick.
            busy = len(self._open) > FEW_CALLS
            self._flushing = loop.call_later(TICK_SECONDS, self._flush) if busy else loop.call_soon(self._flush)
        return self.sequence

    def _flush(self) -> None:
        """Write what has gathered: the group commit."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not self._pending:
            return
        waiters, self._waiters = self._waiters, []
        try:
            self._writer.write(self._buffer)
        except OSError as error:
            self._on_refused(waiters, error)
            return
        if self._failing:
            self._failing = False
            self._log.info("outbox_writes_again")
        self._commit()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._rotate()
        self._delete_segments()

    def _on_refused(self, waiters: list[asyncio.Future[None]], error: OSError) -> None:
        self._metrics.write_errors.inc()
        if not self._failing:
            self._failing = True
            self._log.error("outbox_write_failed", path=str(self.path), error=str(error))
        self._flushing = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._flush)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(unavailable("The disk of the outbox refuses writes."))

    def _commit(self) -> None:
        """What was pending is written, all of it into the current segment."""
        records, self._pending = self._pending, []
        segment = self.segments[-1]
        for record in records:
            segment.size += record.size
            before = self._open_in.pop(record.dispatch_id, None)
            if before is not None:
                before.open -= 1
            if record.entry is None:
                self._open_in[record.dispatch_id] = segment
                segment.open += 1
            else:
                segment.last_entry = record.sequence
        self._committed = segment.last = records[-1].sequence
        self._on_written(records)

    def _rotate(self) -> None:
        segment = self.segments[-1]
        age_seconds = self._clock() - segment.created_seconds
        if segment.size >= self._limits.segment_bytes or age_seconds >= self._limits.segment_seconds:
            self._writer.close()
            self._begin_segment()

    def _begin_segment(self) -> None:
        first = self.sequence + 1
        segment = Segment(self._folder.segment_path(first), first, self._clock())
        self.segments.append(segment)
        self._writer = SegmentWriter(segment.path)

    def _delete_segments(self) -> None:
        """Delete those that are complete, and that neither a consumer nor a replay needs any more."""
        for segment in self.segments[:-1]:
            if not segment.open and segment.last_entry <= self._floor:
                segment.path.unlink(missing_ok=True)
                self.bytes -= segment.size
                self.segments.remove(segment)


def _sync(paths: list[Path]) -> None:
    for path in paths:
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # everything in it has arrived meanwhile
        try:
            os.fsync(file)
        finally:
            os.close(file)
