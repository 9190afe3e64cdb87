"""Settles holds with the keystore, off the caller's path: entries from the outbox, renewals, extensions, reports.

Acknowledgements are cumulative and independent of the ledger's: a stopped ledger keeps no hold open.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from gateway.v1 import common_pb2, keystore_pb2, ledger_pb2
from structlog.typing import FilteringBoundLogger

from router.extensions import Extensions
from router.live import LiveHolds
from services.link import Link, LinkClosed
from services.methods import ADMISSION
from services.reconnect import keep_open
from services.transport import Channel

CONSUMER = "keystore"
# A batch of settlements in the making; entries are a few hundred bytes.
TAKE_BYTES = 256 * 1024
# Nobody waits for a settlement, but the money it gives back is wanted soon, and every message costs: what comes within
# this time travels together.
GATHER_SECONDS = 0.005
GATHER_ENTRIES = 64
# Settlements under way at once: more than a keystore settles in a round trip many times over.
MAX_UNACKNOWLEDGED = 4096
# Names in one `renew` or `report` frame, so that no frame grows beyond the link's limit.
CHUNK = 1000

_Link = Link[keystore_pb2.AdmissionFrame, keystore_pb2.AdmissionReplyFrame]


class Entries(Protocol):
    """The outbox, as far as deliveries see it."""

    async def take(self, consumer: str, max_bytes: int) -> list[tuple[int, ledger_pb2.Entry]]:
        """The next entries of this consumer in order; waits for one."""

    def rewind(self, consumer: str) -> None:
        """Take again from the first that is not acknowledged."""

    def ack(self, consumer: str, sequence: int) -> None:
        """Everything up to `sequence` is done with."""

    async def delivered(self, consumer: str) -> None:
        """Until this consumer has acknowledged everything that is in the outbox now."""


class Settlement:
    """Keeps the link to the keystore, and tells it what calls came to."""

    def __init__(
        self,
        *,
        channel: Channel,
        outbox: Entries,
        live: LiveHolds,
        extensions: Extensions,
        catalog: Callable[[], common_pb2.Catalog],
        router_id: str,
        lease_seconds: float,
        log: FilteringBoundLogger,
    ) -> None:
        self._channel = channel
        self._outbox = outbox
        self._live = live
        self._extensions = extensions
        self._catalog = catalog
        self._router_id = router_id
        # A quarter of the lease: three renewals may be lost.
        self._renew_seconds = lease_seconds / 4
        self._log = log
        self._sequence = 0
        # (sequence of the settle frame, sequence in the outbox)
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self._taken = 0
        self._stopping = False
        self._room = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._keeper = asyncio.create_task(keep_open(self._channel, ADMISSION, self._use, self._log))

    async def stop(self, timeout_seconds: float) -> None:
        """Settle what is in the outbox, within the time, then leave."""
        self._stopping = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._outbox.delivered(CONSUMER)
        except TimeoutError:
            self._log.warning("settlements_left_in_outbox")
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    async def _use(self, link: _Link) -> None:
        self._unacknowledged.clear()
        self._taken = 0
        self._room.set()
        self._outbox.rewind(CONSUMER)
        self._send(link, keystore_pb2.AdmissionFrame(hello=keystore_pb2.Hello(router_id=self._router_id)))
        self._send(link, keystore_pb2.AdmissionFrame(catalog=self._catalog()))
        self._extensions.linked(functools.partial(self._send, link))
        tasks = [asyncio.create_task(self._settle(link)), asyncio.create_task(self._renew(link))]
        try:
            while True:
                for reply in await link.receive():
                    if reply.HasField("settled"):
                        self._on_settled(reply.sequence)
                    elif reply.HasField("extended") or reply.HasField("refused"):
                        self._extensions.answered(reply)
                    elif reply.HasField("epoch"):
                        tasks.append(asyncio.create_task(self._report(link, reply.epoch.epoch)))
        finally:
            self._extensions.unlinked()
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, LinkClosed):
                    self._log.error("settlement_failed", exc_info=outcome)

    async def _settle(self, link: _Link) -> None:
        while True:
            taken = await self._outbox.take(CONSUMER, TAKE_BYTES)
            for sequence, entry in taken:
                if not (entry.epoch or entry.limited):
                    continue  # nothing was held, nothing counts
                frame = keystore_pb2.AdmissionFrame()
                settle = frame.settle
                settle.dispatch_id = entry.dispatch_id
                settle.cost_nano_usd = entry.cost_nano_usd
                settle.epoch = entry.epoch
                if entry.limited:
                    settle.tokens = entry.usage.input_tokens + entry.usage.output_tokens
                self._unacknowledged.append((self._send(link, frame), sequence))
            self._taken = taken[-1][0]
            if not self._unacknowledged:
                self._outbox.ack(CONSUMER, self._taken)
            while len(self._unacknowledged) > MAX_UNACKNOWLEDGED:
                self._room.clear()
                await self._room.wait()
            if len(taken) < GATHER_ENTRIES and not self._stopping:
                await asyncio.sleep(GATHER_SECONDS)

    def _on_settled(self, sequence: int) -> None:
        while self._unacknowledged and self._unacknowledged[0][0] <= sequence:
            self._outbox.ack(CONSUMER, self._unacknowledged.popleft()[1])
        if not self._unacknowledged:
            # With what follows the last settlement and held nothing.
            self._outbox.ack(CONSUMER, self._taken)
        self._room.set()

    async def _renew(self, link: _Link) -> None:
        while True:
            await asyncio.sleep(self._renew_seconds)
            # An empty one says that this router lives.
            for ids in _chunks(self._live.ids()):
                self._send(link, keystore_pb2.AdmissionFrame(renew=keystore_pb2.Renew(dispatch_ids=ids)))

    async def _report(self, link: _Link, epoch: str) -> None:
        """What was finished before this moment must be in the ledger before what is open is told."""
        holds = list(self._live.report())
        await self._outbox.delivered("ledger")
        chunks = list(_chunks(holds))
        for index, chunk in enumerate(chunks):
            report = keystore_pb2.Report(
                router_id=self._router_id, epoch=epoch, holds=chunk, more=index + 1 < len(chunks)
            )
            self._send(link, keystore_pb2.AdmissionFrame(report=report))

    def _send(self, link: _Link, frame: keystore_pb2.AdmissionFrame) -> int:
        self._sequence += 1
        frame.sequence = self._sequence
        link.send(frame)
        return self._sequence


T = TypeVar("T")


def _chunks(items: list[T]) -> Iterator[list[T]]:
    """The items in lists of at most CHUNK; one empty list when there are none."""
    for start in range(0, max(1, len(items)), CHUNK):
        yield items[start : start + CHUNK]
