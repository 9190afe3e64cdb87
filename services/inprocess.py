"""The transport inside one process: frames and messages are handed over, not serialised."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence
from typing import Any, Generic, cast

from structlog.typing import FilteringBoundLogger

from services.errors import GatewayError, Reason, internal, unavailable
from services.link import LAZY_SECONDS, MAX_BACKLOG_BYTES, MAX_FRAME_BYTES, Link, LinkClosed
from services.methods import Down, Exchange, Request, Response, Unary, Up
from services.transport import Handler, Handlers


class InProcessLink(Generic[Up, Down]):
    """One end of a pair; what it sends lands in the other end's inbox."""

    def __init__(self) -> None:
        self.open_calls = 0
        self._peer: InProcessLink[Down, Up] = cast("InProcessLink[Down, Up]", self)
        self._inbox: list[Down] = []
        self._inbox_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._lazy: asyncio.TimerHandle | None = None
        self._ended: LinkClosed | None = None

    @classmethod
    def pair(cls) -> tuple[InProcessLink[Up, Down], InProcessLink[Down, Up]]:
        """The client's end and the server's."""
        client: InProcessLink[Up, Down] = InProcessLink()
        server: InProcessLink[Down, Up] = InProcessLink()
        client._peer, server._peer = server, client
        return client, server

    @property
    def closed(self) -> bool:
        return self._ended is not None

    def send(self, frame: Up, *, urgent: bool = True) -> None:
        if self._ended is not None:
            raise LinkClosed(self._ended.error)
        size = frame.ByteSize()
        if size > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {size} bytes exceeds {MAX_FRAME_BYTES}")
        self._peer._deliver(frame, size, urgent)

    async def receive(self) -> Sequence[Down]:
        while not self._inbox:
            if self._ended is not None:
                raise LinkClosed(self._ended.error)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        frames, self._inbox, self._inbox_bytes = self._inbox, [], 0
        return frames

    async def close(self, error: GatewayError | None = None) -> None:
        self.end(error)

    def end(self, error: GatewayError | None) -> None:
        """What `close` does; for those who cannot wait."""
        for side in (self, self._peer):
            if side._ended is None:
                side._ended = LinkClosed(error)
                side._wake()

    def _deliver(self, frame: Down, size: int, urgent: bool) -> None:
        self._inbox.append(frame)
        self._inbox_bytes += size
        if self._inbox_bytes > MAX_BACKLOG_BYTES:
            self.end(unavailable("A part of the gateway has stopped reading."))
        elif urgent:
            self._wake()
        elif self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_later(LAZY_SECONDS, self._wake)

    def _wake(self) -> None:
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class InProcessChannel:
    """The way to a role in the same process."""

    def __init__(self, handlers: Handlers, log: FilteringBoundLogger) -> None:
        self._handlers = handlers
        self._log = log
        self._tasks: set[asyncio.Task[Any]] = set()
        self._links: set[InProcessLink[Any, Any]] = set()
        self._closed = False

    async def call(self, method: Unary[Request, Response], request: Request, *, timeout_seconds: float) -> Response:
        handler = self._handler(method)
        task = self._spawn(self._answer(method, handler, request))
        try:
            async with asyncio.timeout(timeout_seconds):
                answer: Response = await task
                return answer
        except TimeoutError:
            raise GatewayError(
                Reason.ERROR_REASON_DEADLINE_EXCEEDED, f"No answer within {timeout_seconds:g} s."
            ) from None

    async def exchange(self, method: Exchange[Up, Down], *, timeout_seconds: float) -> Link[Up, Down]:
        handler = self._handler(method)
        client: InProcessLink[Up, Down]
        client, server = InProcessLink.pair()
        self._links.add(client)
        self._spawn(self._serve(method, handler, client, server))
        return client

    async def close(self) -> None:
        self._closed = True
        for link in list(self._links):
            link.end(None)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        for task in self._tasks:
            task.cancel()

    def _handler(self, method: Unary[Any, Any] | Exchange[Any, Any]) -> Handler:
        if self._closed:
            raise unavailable("A part of the gateway is stopping.")
        return self._handlers[method]

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        # An empty context: nothing of the caller's leaks into the handler, as over a socket.
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(coroutine, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _answer(self, method: Unary[Any, Any], handler: Handler, request: Any) -> Any:
        try:
            return await handler(request)
        except GatewayError as error:
            # Rebuilt from its message, as over a socket: nothing else of it may cross.
            raise GatewayError.from_proto(error.to_proto()) from None
        except Exception:
            self._log.exception("rpc_failed", method=method.path)
            raise internal() from None

    async def _serve(
        self,
        method: Exchange[Any, Any],
        handler: Handler,
        client: InProcessLink[Any, Any],
        server: InProcessLink[Any, Any],
    ) -> None:
        error: GatewayError | None = None
        try:
            await handler(server)
        except LinkClosed:
            pass
        except GatewayError as raised:
            error = GatewayError.from_proto(raised.to_proto())
        except Exception:
            self._log.exception("exchange_failed", method=method.path)
            error = internal()
        finally:
            client.end(error)
            self._links.discard(client)
