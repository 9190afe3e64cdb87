"""The transport between processes: gRPC.

A unary call through grpc.aio costs about 500 us of CPU, a frame on a shared stream about 12 us, so hot paths are links
(`link.py`) and only administration is unary. Errors cross whole, in trailing metadata (`tollhouse-error-bin`). Every
call and stream presents the internal token.
"""

from __future__ import annotations

import asyncio
import contextvars
import hmac
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, NoReturn

import grpc
import grpc.aio
from gateway.v1 import errors_pb2
from structlog.typing import FilteringBoundLogger

from services.backlog import Backlog
from services.errors import GatewayError, Reason, internal, unavailable
from services.grpc_options import CHANNEL_OPTIONS, SERVER_OPTIONS
from services.link import (
    FEW_CALLS,
    LAZY_SECONDS,
    MAX_BACKLOG_BYTES,
    TICK_SECONDS,
    Link,
    LinkClosed,
)
from services.methods import Down, Exchange, Request, Response, Unary, Up
from services.transport import Handler, Handlers

_ERROR_KEY = "tollhouse-error-bin"
# What a server says first on a link. A refusal says it not, though gRPC takes both for a connection.
_OPENED = (("tollhouse-link", "open"),)

# How gRPC says that a stream has ended under a read or a write.
_STREAM_ENDED = (grpc.RpcError, grpc.aio.UsageError, grpc.aio.InternalError, asyncio.InvalidStateError)


class GrpcLink(Generic[Up, Down]):
    """One end of a link over one gRPC stream: the half that both sides share."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Any]],
        write: Callable[[bytes], Awaitable[None]],
        finish: Callable[[GatewayError | None], Coroutine[Any, Any, None]],
    ) -> None:
        self.open_calls = 0
        self._read = read
        self._write = write
        self._finish = finish
        self._backlog = Backlog()
        self._waiter: asyncio.Future[None] | None = None
        self._lazy: asyncio.TimerHandle | None = None
        self._ended: LinkClosed | None = None
        self._closing = False
        self._reader: asyncio.Task[Any] | None = None
        self._breaking: asyncio.Task[None] | None = None
        self._writer = asyncio.get_running_loop().create_task(self._write_all())

    @property
    def closed(self) -> bool:
        return self._ended is not None

    def send(self, frame: Up, *, urgent: bool = True) -> None:
        if self._ended is not None:
            raise LinkClosed(self._ended.error)
        self._backlog.add(frame)
        if self._backlog.size > MAX_BACKLOG_BYTES:
            self._break(unavailable("A part of the gateway has stopped reading."))
        elif urgent:
            self._wake()
        elif self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_later(LAZY_SECONDS, self._wake)

    async def receive(self) -> Sequence[Down]:
        if self._breaking is not None:
            raise LinkClosed(self._ended.error if self._ended else None)
        self._reader = asyncio.current_task()
        try:
            message = await self._read()
        except grpc.aio.AioRpcError as error:
            self.end(from_status(error))
            raise LinkClosed(self._ended.error if self._ended else None) from None
        except _STREAM_ENDED:
            self.end(unavailable("A part of the gateway has gone away."))
            raise LinkClosed(self._ended.error if self._ended else None) from None
        except asyncio.CancelledError:
            if self._breaking is not None and self._reader is not None:
                self._reader.uncancel()
            # A call that has ended here, and a channel that was closed under it, raise this from read(); a task that is
            # being cancelled means it.
            if _is_cancelling():
                raise
            self.end(unavailable("A part of the gateway has gone away."))
            raise LinkClosed(self._ended.error if self._ended else None) from None
        finally:
            self._reader = None
        if message is grpc.aio.EOF:
            self.end(None)
            raise LinkClosed(self._ended.error if self._ended else None)
        frames: Sequence[Down] = message.frames
        return frames

    async def close(self, error: GatewayError | None = None) -> None:
        if error is None and self._ended is None:
            # What was sent is delivered first; a peer that does not take it within a second is not waited for.
            self._closing = True
            self._wake()
            await asyncio.wait({self._writer}, timeout=1)
        self.end(error)
        await self._finish(error)

    def end(self, error: GatewayError | None) -> None:
        """Nothing more goes out; the next `receive` or `send` says why."""
        if self._ended is None:
            self._ended = LinkClosed(error)
            self._backlog.clear()
            self._wake()

    async def written(self) -> None:
        """Wait until no write is under way: only then can a server say how the stream ended."""
        await asyncio.wait({self._writer})

    def _break(self, error: GatewayError) -> None:
        """End a link whose peer has stopped reading; who waits in `receive` would otherwise wait for that peer."""
        self.end(error)
        self._breaking = asyncio.get_running_loop().create_task(self._finish(error))
        if self._reader is not None:
            self._reader.cancel()

    def _wake(self) -> None:
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _write_all(self) -> None:
        """Write the backlog, a batch a message; the frames that come while one is written make the next."""
        loop = asyncio.get_running_loop()
        written = 0.0
        while self._ended is None:
            if not self._backlog:
                if self._closing:
                    return
                self._waiter = loop.create_future()
                await self._waiter
                self._waiter = None
                continue
            if self.open_calls > FEW_CALLS:
                pause = written + TICK_SECONDS - loop.time()
                if pause > 0:
                    await asyncio.sleep(pause)
                written = loop.time()
            try:
                await self._write(self._backlog.take())
            except (*_STREAM_ENDED, asyncio.CancelledError):
                self.end(unavailable("A part of the gateway has gone away."))


class GrpcChannel:
    """The way to one process (`host:port`)."""

    def __init__(self, address: str, token: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._channel = (
            grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        )

    async def call(self, method: Unary[Request, Response], request: Request, *, timeout_seconds: float) -> Response:
        stub = self._channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            return await stub(request, metadata=self._metadata, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise from_status(error) from None
        except (grpc.aio.UsageError, asyncio.CancelledError):
            # How gRPC says that the channel is closed, before the call or under it; a caller's own end goes on.
            if _is_cancelling():
                raise
            raise unavailable("A part of the gateway has gone away.") from None

    async def exchange(self, method: Exchange[Up, Down], *, timeout_seconds: float) -> Link[Up, Down]:
        stub: Any = self._channel.stream_stream(
            method.path,
            # A backlog gives bytes.
            request_serializer=None,
            response_deserializer=method.down_batch.FromString,
        )
        stream = stub(metadata=self._metadata, wait_for_ready=True)
        try:
            async with asyncio.timeout(timeout_seconds):
                opened = await stream.initial_metadata()
                if dict(opened or ()).get(_OPENED[0][0]) != _OPENED[0][1]:
                    # Refused: the status says why.
                    await stream.read()
                    raise unavailable(f"{method.path} did not open.")
        except grpc.aio.AioRpcError as error:
            raise from_status(error) from None
        except TimeoutError:
            stream.cancel()
            raise unavailable(f"No answer from {method.path} within {timeout_seconds:g} s.") from None
        except asyncio.CancelledError:
            # The channel was closed under it, as in `call`.
            if _is_cancelling():
                raise
            raise unavailable("A part of the gateway has gone away.") from None

        async def finish(error: GatewayError | None) -> None:
            if error is None:
                with_end = asyncio.ensure_future(_read_to_end(stream))
                await asyncio.wait({with_end}, timeout=1)
                with_end.cancel()
            stream.cancel()

        return GrpcLink(stream.read, stream.write, finish)

    async def close(self) -> None:
        await self._channel.close()


async def _read_to_end(stream: Any) -> None:
    """Say that nothing more will come, and let the peer say the same."""
    try:
        await stream.done_writing()
        while await stream.read() is not grpc.aio.EOF:
            pass
    except _STREAM_ENDED:
        pass


class GrpcServer:
    """Offers handlers on one address (`host:port`, port 0: any)."""

    def __init__(
        self,
        handlers: Handlers,
        *,
        address: str,
        token: str,
        log: FilteringBoundLogger,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        if not token:
            raise ValueError("a gRPC server needs the internal token")
        self._handlers = handlers
        self._address = address
        self._token = f"Bearer {token}".encode()
        self._log = log
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None
        self._links: set[GrpcLink[Any, Any]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen; `port` says where. OSError when the address is taken."""
        server = grpc.aio.server(options=SERVER_OPTIONS)
        by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for method, handler in self._handlers.items():
            _, service, name = method.path.split("/")
            by_service.setdefault(service, {})[name] = self._adapt(method, handler)
        server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(service, methods) for service, methods in by_service.items())
        )
        try:
            self.port = (
                server.add_secure_port(self._address, self._credentials)
                if self._credentials
                else server.add_insecure_port(self._address)
            )
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}") from error
        await server.start()
        self._server = server

    async def stop(self, grace_seconds: float) -> None:
        """Take no new calls, let the open ones end, then cut what is left."""
        if self._server is None:
            return
        stopping = asyncio.ensure_future(self._server.stop(grace_seconds))
        await asyncio.gather(*(link.close() for link in self._links))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        await stopping

    def _adapt(self, method: Unary[Any, Any] | Exchange[Any, Any], handler: Handler) -> grpc.RpcMethodHandler[Any, Any]:
        if isinstance(method, Unary):
            unary = self._answering(method, handler)
            return grpc.unary_unary_rpc_method_handler(
                unary, method.request.FromString, method.response.SerializeToString
            )
        exchange = self._serving(method, handler)
        return grpc.stream_stream_rpc_method_handler(exchange, method.up_batch.FromString, response_serializer=None)

    def _answering(self, method: Unary[Any, Any], handler: Handler) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            await self._authenticate(context)
            # gRPC runs this in the context in which the server was started; a handler sees nobody's.
            handling = _as_coroutine(handler(request))
            try:
                return await asyncio.get_running_loop().create_task(handling, context=contextvars.Context())
            except GatewayError as error:
                await _abort(context, error)
            except Exception:
                self._log.exception("rpc_failed", method=method.path)
                await _abort(context, internal())

        return answer

    def _serving(self, method: Exchange[Any, Any], handler: Handler) -> Callable[[Any, Any], Awaitable[None]]:
        async def serve(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await self._authenticate(context)
            # The client waits for this, so that it knows that somebody is there.
            await context.send_initial_metadata(_OPENED)
            cut = asyncio.get_running_loop().create_future()

            async def finish(error: GatewayError | None) -> None:
                if not cut.done():
                    cut.set_result(error)

            link: GrpcLink[Any, Any] = GrpcLink(context.read, context.write, finish)
            self._links.add(link)
            # The handler outlives a stream that breaks: it sees LinkClosed and tidies up in its own time.
            handling = self._handle(method, handler, link)
            task = asyncio.get_running_loop().create_task(handling, context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            try:
                await asyncio.wait({task, cut}, return_when=asyncio.FIRST_COMPLETED)
                error = cut.result() if cut.done() else task.result()
                await link.close(error)
                await link.written()
            finally:
                link.end(unavailable("A part of the gateway has gone away."))
                self._links.discard(link)
            if error is not None:
                await _abort(context, error)

        return serve

    async def _handle(
        self, method: Exchange[Any, Any], handler: Handler, link: GrpcLink[Any, Any]
    ) -> GatewayError | None:
        try:
            await handler(link)
        except LinkClosed:
            return None
        except GatewayError as error:
            return error
        except Exception:
            self._log.exception("exchange_failed", method=method.path)
            return internal()
        return None

    async def _authenticate(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        for key, value in context.invocation_metadata() or ():
            if key == "authorization":
                given = value.encode() if isinstance(value, str) else value
                if hmac.compare_digest(given, self._token):
                    return
        self._log.warning("rpc_refused", peer=context.peer())
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the internal token is missing or wrong")


async def _as_coroutine(answer: Awaitable[Any]) -> Any:
    return await answer


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: GatewayError) -> NoReturn:
    await context.abort(
        error.meaning.grpc_code,
        error.message,
        trailing_metadata=((_ERROR_KEY, error.to_proto().SerializeToString()),),
    )
    raise AssertionError("abort always raises")


def from_status(error: grpc.aio.AioRpcError) -> GatewayError:
    """The peer's own error, or what gRPC itself says of it."""
    for key, value in error.trailing_metadata() or ():
        if key == _ERROR_KEY:
            return GatewayError.from_proto(errors_pb2.Error.FromString(value if isinstance(value, bytes) else b""))
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return GatewayError(Reason.ERROR_REASON_DEADLINE_EXCEEDED, "A part of the gateway did not answer in time.")
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return unavailable("A part of the gateway is not there; try again.")
    return GatewayError(Reason.ERROR_REASON_INTERNAL, f"An inner call failed: {error.code().name}.")


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
