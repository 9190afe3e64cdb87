"""Asks the keystore for more of a hold, on the link that settles: a batch carries many of these frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.v1 import keystore_pb2, router_pb2

from router.live import LiveHolds
from services.errors import GatewayError, Reason, unavailable
from services.link import LinkClosed

# The keystore answers in milliseconds; this is for one that hangs.
ANSWER_SECONDS = 2.0
# For how long it is asked again when it is away, or its counters are being rebuilt; an answer that has used up its hold
# stands still meanwhile, and longer than this it should not.
WAIT_SECONDS = 5.0
PAUSE_SECONDS = 0.25

_UNAVAILABLE = Reason.ERROR_REASON_UNAVAILABLE


class Extensions:
    """Of one router process. Whoever keeps the link says when there is one, and hands over the answers."""

    def __init__(self, live: LiveHolds) -> None:
        self._live = live
        self._send: Callable[[keystore_pb2.AdmissionFrame], int] | None = None
        # By the sequence of the frame: whose hold, and who waits.
        self._waiting: dict[int, tuple[bytes, asyncio.Future[int]]] = {}

    def linked(self, send: Callable[[keystore_pb2.AdmissionFrame], int]) -> None:
        """There is a link; `send` answers with the sequence of the frame."""
        self._send = send

    def unlinked(self) -> None:
        """The link has ended: what was asked is asked again on the next."""
        self._send = None
        waiting, self._waiting = self._waiting, {}
        for _, answer in waiting.values():
            if not answer.done():
                answer.set_exception(_away())

    def answered(self, reply: keystore_pb2.AdmissionReplyFrame) -> None:
        """The keystore's answer. What it holds is noted before anything else that it says is looked at."""
        dispatch_id, answer = self._waiting.pop(reply.sequence, (b"", None))
        if reply.HasField("extended"):
            self._live.grow(dispatch_id, reply.extended.held_nano_usd)
        if answer is None or answer.done():
            return
        if reply.HasField("extended"):
            answer.set_result(reply.extended.held_nano_usd)
        else:
            answer.set_exception(GatewayError.from_proto(reply.refused))

    async def extend(self, request: router_pb2.Open, wanted_nano_usd: int, smallest_nano_usd: int) -> int:
        """What is held for the call once it has been asked for. GatewayError: the refusal, or UNAVAILABLE."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + WAIT_SECONDS
        while True:
            try:
                return await self._ask(request, wanted_nano_usd, smallest_nano_usd)
            except GatewayError as error:
                if error.reason != _UNAVAILABLE or loop.time() >= ends:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, request: router_pb2.Open, wanted_nano_usd: int, smallest_nano_usd: int) -> int:
        if self._send is None:
            raise _away()
        frame = keystore_pb2.AdmissionFrame()
        extend = frame.extend
        extend.dispatch_id = request.dispatch_id
        extend.key_id = request.principal.key_id
        extend.principal.CopyFrom(request.principal)
        extend.model = request.model
        extend.wanted_nano_usd = wanted_nano_usd
        extend.smallest_nano_usd = smallest_nano_usd
        try:
            sequence = self._send(frame)
        except LinkClosed:
            raise _away() from None
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[sequence] = (request.dispatch_id, answer)
        # A late answer is still noted; one that never comes leaves with its link.
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise _away() from None


def _away() -> GatewayError:
    return unavailable("The keystore does not answer; try again.")
