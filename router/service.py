"""The router's side of the data plane: one session an edge, one task a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from gateway.v1 import common_pb2, router_pb2
from structlog.typing import FilteringBoundLogger

from router.call import Caller
from router.live import LiveHolds
from services.credit import CALL_BYTES, LINK_BYTES, STEP_BYTES, Window
from services.errors import GatewayError, Reason, internal, unavailable
from services.link import MAX_DATA_BYTES, Link, LinkClosed

# Calls open at once in one router process. At 4,096 a router on one core answers each in seconds already; what comes
# on top belongs to another replica.
MAX_OPEN_CALLS = 4096

_Link = Link[router_pb2.RouterFrame, router_pb2.EdgeFrame]
_Run = Callable[[Caller], Awaitable[None]]


class InboundCall:
    """One open call: what the engine sees of the edge (`call.Caller`)."""

    __slots__ = (
        "_arrival",
        "_is_complete",
        "_link",
        "_parts",
        "_received",
        "_uncredited",
        "_window",
        "has_head",
        "number",
        "request",
        "task",
    )

    def __init__(self, link: _Link, number: int, request: router_pb2.Open, link_window: Window) -> None:
        self.number = number
        self.request = request
        self.task: asyncio.Task[None] | None = None
        self.has_head = False
        self._link = link
        self._window = Window(CALL_BYTES, link_window)
        body = request.body
        self._parts: list[bytes] = [body] if body else []
        self._received = len(body)
        self._uncredited = len(body)
        self._is_complete = bool(body)
        # Only for a body that is not here yet when it is asked for.
        self._arrival: asyncio.Future[None] | None = None

    async def body(self) -> bytes:
        if not self._is_complete:
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def sent(self, deployment_id: str) -> None:
        if not self.request.wants_sent:
            return
        # Not urgent: with a fast provider it travels with the head. An edge that loses the link before it has come
        # takes the call for unsent; that costs nothing but a dispatch, since what moves is dispatched anew.
        # Frames are filled member by member: by the constructor they cost twice as much.
        frame = router_pb2.RouterFrame(call=self.number)
        frame.sent.deployment_id = deployment_id
        self._send(frame, urgent=False)

    def head(self, head: router_pb2.Head, *, urgent: bool = True) -> None:
        self.has_head = True
        frame = router_pb2.RouterFrame(call=self.number)
        frame.head.CopyFrom(head)
        self._send(frame, urgent=urgent)

    async def data(self, body: bytes, *, urgent: bool = True) -> None:
        for start in range(0, len(body), MAX_DATA_BYTES):
            part = body[start : start + MAX_DATA_BYTES]
            if not self._window.try_take(len(part)):
                await self._window.take(len(part))
            frame = router_pb2.RouterFrame(call=self.number)
            frame.data.body = part
            self._send(frame, urgent=urgent)

    async def answer(self, head: router_pb2.Head, body: bytes, result: router_pb2.Result) -> None:
        if len(body) > MAX_DATA_BYTES or not self._window.try_take(len(body)):
            self.head(head)
            await self.data(body)
            self.result(result)
            return
        frame = router_pb2.RouterFrame(call=self.number)
        answer = frame.answer
        answer.head.CopyFrom(head)
        answer.body = body
        answer.result.CopyFrom(result)
        self._send(frame)

    def result(self, result: router_pb2.Result) -> None:
        frame = router_pb2.RouterFrame(call=self.number)
        frame.result.CopyFrom(result)
        self._send(frame)

    def fail(self, error: GatewayError) -> None:
        """The call is over, badly."""
        self._send(router_pb2.RouterFrame(call=self.number, error=error.to_proto()))

    def on_data(self, part: bytes) -> None:
        """A part of the request body."""
        self._received += len(part)
        if self._received > self.request.body_bytes:
            raise GatewayError(Reason.ERROR_REASON_INTERNAL, "More of a body came than was announced.")
        self._parts.append(part)
        self._uncredited += len(part)
        if self._uncredited >= STEP_BYTES:
            credit = router_pb2.Credit(bytes=self._uncredited)
            self._uncredited = 0
            self._send(router_pb2.RouterFrame(call=self.number, credit=credit))

    def on_end(self) -> None:
        """The request body is complete."""
        self._is_complete = True
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def cancel(self) -> None:
        """The caller is gone. The task is let begin first, so that its own `finally` settles the hold."""
        if self.task is not None:
            asyncio.get_running_loop().call_soon(self.task.cancel)

    def on_credit(self, size: int) -> None:
        """The edge has consumed so much of the answer."""
        self._window.give(size)

    def close(self) -> None:
        """What the edge has not acknowledged no longer counts against the link."""
        self._window.give_back_to_outer(max(0, CALL_BYTES - self._window.available))

    def _send(self, frame: router_pb2.RouterFrame, *, urgent: bool = True) -> None:
        try:
            self._link.send(frame, urgent=urgent)
        except LinkClosed:
            # The session's reader sees it too, and cancels this call's task.
            raise asyncio.CancelledError from None


class InferenceService:
    """Serves `Inference.Exchange`."""

    def __init__(
        self, run: _Run, catalog: Callable[[], common_pb2.Catalog], live: LiveHolds, log: FilteringBoundLogger
    ) -> None:
        self._run = run
        self._catalog = catalog
        self._live = live
        self._log = log
        self._sessions: dict[_Link, dict[int, InboundCall]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        # Drained: what is opened now moves to another router, once its edge sees that the link has ended.
        self._ended = False

    async def exchange(self, link: _Link) -> None:
        """One session: all calls of one edge process."""
        calls: dict[int, InboundCall] = {}
        window = Window(LINK_BYTES)
        self._sessions[link] = calls
        link.send(router_pb2.RouterFrame(call=0, catalog=self._catalog()))
        if self._draining:
            link.send(router_pb2.RouterFrame(call=0, drain=router_pb2.Drain()))
        try:
            while True:
                for frame in await link.receive():
                    self._on_frame(link, calls, window, frame)
        finally:
            del self._sessions[link]
            # The edge is gone, and its callers with it: what runs for them is cancelled, and billed.
            for call in list(calls.values()):
                call.cancel()

    def unanswered(self) -> Iterator[router_pb2.Open]:
        """What is open, and of whose answer nothing has come."""
        for calls in self._sessions.values():
            yield from (call.request for call in calls.values() if not call.has_head)

    async def drain(self, timeout_seconds: float) -> None:
        """Ask the edges for no more calls, and wait for those that are open; then cancel what is left, and end."""
        self._draining = True
        for link in list(self._sessions):
            if not link.closed:
                link.send(router_pb2.RouterFrame(call=0, drain=router_pb2.Drain()))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        # Again and again: a call whose `open` was on its way when the edge was asked is one of them.
        while self._tasks and (left_seconds := deadline - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left_seconds)
        self._ended = True
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        await asyncio.gather(*(link.close() for link in list(self._sessions)))

    def _on_frame(
        self, link: _Link, calls: dict[int, InboundCall], window: Window, frame: router_pb2.EdgeFrame
    ) -> None:
        kind = frame.WhichOneof("kind")
        if kind == "open":
            self._open(link, calls, window, frame)
            return
        call = calls.get(frame.call)
        if call is None:
            return  # it has just ended
        if kind == "data":
            call.on_data(frame.data.body)
        elif kind == "end":
            call.on_end()
        elif kind == "credit":
            call.on_credit(frame.credit.bytes)
        elif kind == "cancel":
            call.cancel()

    def _open(self, link: _Link, calls: dict[int, InboundCall], window: Window, frame: router_pb2.EdgeFrame) -> None:
        if self._ended:
            return
        call = InboundCall(link, frame.call, frame.open, window)
        if len(self._tasks) >= MAX_OPEN_CALLS:
            call.fail(unavailable("This router has too many open calls; try again."))
            return
        calls[call.number] = call
        link.open_calls = len(calls)
        self._live.add(frame.open)
        task = asyncio.get_running_loop().create_task(self._serve(link, calls, call))
        call.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, link: _Link, calls: dict[int, InboundCall], call: InboundCall) -> None:
        try:
            await self._run(call)
        except GatewayError as error:
            call.fail(error)
        except Exception:
            self._log.exception("call_failed", call_id=call.request.call_id)
            call.fail(internal())
        finally:
            self._live.remove(call.request)
            call.close()
            calls.pop(call.number, None)
            link.open_calls = len(calls)
