"""Sends entries from the outbox to the ledger, and tells the outbox what has arrived.

Delivery is at least once: after a break everything that is not acknowledged is sent again.
"""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.v1 import ledger_pb2
from structlog.typing import FilteringBoundLogger

from router.outbox import Outbox
from services.link import Link, LinkClosed
from services.methods import RECORD
from services.reconnect import keep_open
from services.transport import Channel

CONSUMER = "ledger"
# Sent at once, and taken from the outbox at once.
TAKE_BYTES = 256 * 1024
# On their way at once: enough to keep the ledger's transactions full, small beside what it may gather.
MAX_UNACKNOWLEDGED = 10_000
MAX_UNACKNOWLEDGED_BYTES = 4 * 1024 * 1024
# Nobody waits for an entry, and every batch costs: what comes within this time travels together.
GATHER_SECONDS = 0.05
GATHER_ENTRIES = 500

_Link = Link[ledger_pb2.RecordFrame, ledger_pb2.StoredFrame]


class LedgerDelivery:
    """Keeps the link to the ledger for as long as the process lives."""

    def __init__(self, channel: Channel, outbox: Outbox, log: FilteringBoundLogger) -> None:
        self._channel = channel
        self._outbox = outbox
        self._log = log
        # (sequence, size) of each entry on its way
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self._unacknowledged_bytes = 0
        self._room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, in the background."""
        self._keeper = asyncio.create_task(keep_open(self._channel, RECORD, self._use, self._log))

    async def stop(self, timeout_seconds: float) -> None:
        """Deliver what is in the outbox, within the time, then end. What is left stays in the outbox."""
        self._stopping.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._outbox.delivered(CONSUMER)
        except TimeoutError:
            self._log.warning("entries_left_in_outbox")
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    async def _use(self, link: _Link) -> None:
        self._unacknowledged.clear()
        self._unacknowledged_bytes = 0
        self._outbox.rewind(CONSUMER)
        tasks = [asyncio.create_task(self._send(link)), asyncio.create_task(self._receive(link))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, LinkClosed):
                raise outcome
            if isinstance(outcome, Exception):
                self._log.error("delivery_failed", exc_info=outcome)

    async def _send(self, link: _Link) -> None:
        while True:
            while self._is_far_ahead():
                self._room.clear()
                await self._room.wait()
            taken = await self._outbox.take(CONSUMER, TAKE_BYTES)
            for sequence, entry in taken:
                frame = ledger_pb2.RecordFrame(sequence=sequence)
                frame.entry.CopyFrom(entry)
                size = frame.ByteSize()
                link.send(frame)
                self._unacknowledged.append((sequence, size))
                self._unacknowledged_bytes += size
            if len(taken) < GATHER_ENTRIES:
                await self._gather()

    async def _receive(self, link: _Link) -> None:
        while True:
            for stored in await link.receive():
                while self._unacknowledged and self._unacknowledged[0][0] <= stored.sequence:
                    self._unacknowledged_bytes -= self._unacknowledged.popleft()[1]
                self._outbox.ack(CONSUMER, stored.sequence)
            self._room.set()

    def _is_far_ahead(self) -> bool:
        return len(self._unacknowledged) >= MAX_UNACKNOWLEDGED or self._unacknowledged_bytes >= MAX_UNACKNOWLEDGED_BYTES

    async def _gather(self) -> None:
        """Let entries come together, unless the process is about to stop."""
        try:
            async with asyncio.timeout(GATHER_SECONDS):
                await self._stopping.wait()
        except TimeoutError:
            pass
