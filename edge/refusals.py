"""Entries of calls that reached no router: refused ones, and those for which there was none.

A router accounts for what it was given. What a keystore refuses costs nothing and goes no further, so the edge itself
tells the ledger, and nobody waits for it. There is no outbox here: what is not delivered when the process dies is lost,
and no money with it.
"""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.v1 import common_pb2, keystore_pb2, ledger_pb2
from structlog.typing import FilteringBoundLogger

from edge.metrics import EdgeMetrics
from services.errors import GatewayError
from services.link import Link
from services.methods import RECORD
from services.reconnect import keep_open
from services.transport import Channel

# Some seconds of refusals as fast as one edge can make them, and of the largest some hundred; while the ledger is away
# longer, the rest is only counted. A link breaks at four times as many bytes.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 8 * 1024 * 1024
# What is refused within this time travels together.
GATHER_SECONDS = 0.05

_Link = Link[ledger_pb2.RecordFrame, ledger_pb2.StoredFrame]


def refused_entry(
    admit: keystore_pb2.Admit, principal: common_pb2.Principal, call_id: str, error: GatewayError
) -> ledger_pb2.Entry:
    """The entry of a call that was asked for so and came to nothing. principal: whose it was."""
    entry = ledger_pb2.Entry(
        dispatch_id=admit.dispatch_id,
        call_id=call_id,
        status=ledger_pb2.ENTRY_STATUS_FAILURE,
        principal=principal,
        operation=admit.operation,
        model_group=admit.model,
        streamed=admit.stream,
        error_reason=error.reason,
    )
    entry.principal.end_user_id = admit.end_user_id
    entry.principal.ClearField("tags")
    entry.principal.tags.extend(admit.tags)
    return entry


class Refusals:
    """Keeps the link to the ledger for as long as the process lives."""

    def __init__(self, channel: Channel, metrics: EdgeMetrics, log: FilteringBoundLogger) -> None:
        self._channel = channel
        self._metrics = metrics
        self._log = log
        self._sequence = 0
        # What is not acknowledged, and the sequence of the last that this link has sent.
        self._waiting: deque[ledger_pb2.RecordFrame] = deque()
        self._waiting_bytes = 0
        self._sent = 0
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, in the background."""
        self._keeper = asyncio.create_task(keep_open(self._channel, RECORD, self._use, self._log))

    async def stop(self, timeout_seconds: float) -> None:
        """Deliver what waits, within the time, then end."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._waiting:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._log.warning("refusals_not_delivered", entries=len(self._waiting))
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    def note(self, entry: ledger_pb2.Entry) -> None:
        """Tell the ledger of it, soon."""
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            self._metrics.unrecorded += 1
            return
        self._sequence += 1
        frame = ledger_pb2.RecordFrame(sequence=self._sequence, entry=entry)
        self._waiting.append(frame)
        self._waiting_bytes += frame.ByteSize()
        self._changed.set()

    async def _use(self, link: _Link) -> None:
        # What an earlier link did not get acknowledged comes again; the ledger keeps it once.
        self._sent = 0
        sending = asyncio.create_task(self._send(link))
        try:
            while True:
                for stored in await link.receive():
                    while self._waiting and self._waiting[0].sequence <= stored.sequence:
                        self._waiting_bytes -= self._waiting.popleft().ByteSize()
                self._changed.set()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, link: _Link) -> None:
        while True:
            for frame in [frame for frame in self._waiting if frame.sequence > self._sent]:
                link.send(frame)
                self._sent = frame.sequence
            self._changed.clear()
            await self._changed.wait()
            await asyncio.sleep(GATHER_SECONDS)
