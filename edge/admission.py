"""The edge's side of admission: every call of this process on one link to the keystore."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.v1 import common_pb2, keystore_pb2
from structlog.typing import FilteringBoundLogger

from services.errors import GatewayError, unavailable
from services.link import Link, LinkClosed
from services.methods import ADMISSION
from services.reconnect import keep_open
from services.transport import Channel

# The keystore answers in milliseconds, or refuses by itself when Redis does not answer it; this is for a keystore that
# hangs, or that a network has cut off: gRPC takes three times as long to notice.
ANSWER_TIMEOUT_SECONDS = 5.0
# How long a call waits for the first link of a process that has just started, or for the next after a break.
LINK_TIMEOUT_SECONDS = 2.0

_Link = Link[keystore_pb2.AdmissionFrame, keystore_pb2.AdmissionReplyFrame]


class Refused(GatewayError):
    """A keystore's refusal. principal: whose call it was; None when that is not known."""

    principal: common_pb2.Principal | None = None

    @classmethod
    def by(cls, reply: keystore_pb2.AdmissionReplyFrame) -> Refused:
        """The refusal in a reply that has one."""
        refused = cls.from_proto(reply.refused)
        refused.principal = reply.principal if reply.HasField("principal") else None
        return refused


class AdmissionClient:
    """Asks for leave, one frame a call; answers are told apart by their sequence.

    `open_calls` says how many calls this process has at routers: an admission is over soon, so that those under way
    say little of how much there is to do.
    """

    def __init__(self, channel: Channel, open_calls: Callable[[], int], log: FilteringBoundLogger) -> None:
        self._channel = channel
        self._open_calls = open_calls
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._link: _Link | None = None
        self._catalog: common_pb2.Catalog | None = None
        self._linked = asyncio.Event()
        # When the keystore last said anything.
        self._heard = 0.0
        self._sequence = 0
        self._waiting: dict[int, asyncio.Future[keystore_pb2.AdmissionReplyFrame]] = {}
        # Since all wait equally long, the oldest is the first to be given up; one look now and then does for all.
        self._deadlines: deque[tuple[float, int]] = deque()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to keep the link open."""
        self._tasks = [
            asyncio.create_task(keep_open(self._channel, ADMISSION, self._read, self._log)),
            asyncio.create_task(self._give_up_late_ones()),
        ]

    async def stop(self) -> None:
        """End the link."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell(self, catalog: common_pb2.Catalog) -> None:
        """What the routers serve: the keystore sizes holds by its prices, and may have no router of its own."""
        self._catalog = catalog
        if self._link is not None:
            self._send_catalog(self._link, catalog)

    @property
    def connected(self) -> bool:
        """Whether a keystore is there."""
        return self._link is not None

    async def admit(self, admit: keystore_pb2.Admit) -> keystore_pb2.AdmissionReplyFrame:
        """Leave for one call, or the refusal. GatewayError UNAVAILABLE: no keystore answers.

        A link that breaks before the answer is tried once more: a repeated dispatch id gets the hold it placed.
        """
        for last in (False, True):
            link = self._link or await self._next_link()
            try:
                return await self._ask(link, admit)
            except LinkClosed as closed:
                if last:
                    raise closed.as_error() from None
        raise AssertionError("the loop returns or raises")

    def release(self, dispatch_id: bytes, epoch: str) -> None:
        """Give a hold back unspent: the call never reached a router. A broken link leaves that to the lease."""
        if self._link is None:
            return
        self._sequence += 1
        settle = keystore_pb2.Settle(dispatch_id=dispatch_id, cost_nano_usd=0, epoch=epoch)
        try:
            self._link.send(keystore_pb2.AdmissionFrame(sequence=self._sequence, settle=settle))
        except LinkClosed:
            self._log.info("hold_left_to_its_lease")

    async def _next_link(self) -> _Link:
        try:
            async with asyncio.timeout(LINK_TIMEOUT_SECONDS):
                await self._linked.wait()
        except TimeoutError:
            pass
        if self._link is None:
            raise unavailable("The keystore is not reachable; try again.")
        return self._link

    async def _ask(self, link: _Link, admit: keystore_pb2.Admit) -> keystore_pb2.AdmissionReplyFrame:
        self._sequence += 1
        sequence = self._sequence
        answer: asyncio.Future[keystore_pb2.AdmissionReplyFrame] = self._loop.create_future()
        self._waiting[sequence] = answer
        self._deadlines.append((self._loop.time() + ANSWER_TIMEOUT_SECONDS, sequence))
        link.open_calls = len(self._waiting) + self._open_calls()
        try:
            link.send(keystore_pb2.AdmissionFrame(sequence=sequence, admit=admit))
            return await answer
        finally:
            self._waiting.pop(sequence, None)

    async def _give_up_late_ones(self) -> None:
        """A timer for each call would cost it as much as its frame."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(ANSWER_TIMEOUT_SECONDS / 10)
            now = loop.time()
            while self._deadlines and self._deadlines[0][0] < now:
                deadline, sequence = self._deadlines.popleft()
                answer = self._waiting.get(sequence)
                if answer is None or answer.done():
                    continue
                if self._link is not None and self._heard < deadline - ANSWER_TIMEOUT_SECONDS:
                    # It has said nothing at all since then: what waits is asked again, of another if there is one.
                    await self._link.close(unavailable("The keystore stands still."))
                    break
                answer.set_exception(unavailable("The keystore did not answer in time; try again."))

    def _send_catalog(self, link: _Link, catalog: common_pb2.Catalog) -> None:
        try:
            link.send(keystore_pb2.AdmissionFrame(catalog=catalog))
        except LinkClosed:
            self._log.info("catalog_not_told")  # the next link begins with it

    async def _read(self, link: _Link) -> None:
        if self._catalog is not None:
            self._send_catalog(link, self._catalog)
        self._link = link
        self._linked.set()
        try:
            while True:
                replies = await link.receive()
                self._heard = self._loop.time()
                for reply in replies:
                    answer = self._waiting.get(reply.sequence)
                    if answer is not None and not answer.done():
                        answer.set_result(reply)
        finally:
            self._link = None
            self._linked.clear()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(LinkClosed())
