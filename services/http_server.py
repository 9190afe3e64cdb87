"""The HTTP server: uvicorn, with the limits that it lacks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# nginx takes 32 KiB of headers, Node 16 KiB; a long trace context and a JWT fit many times.
MAX_HEAD_BYTES = 64 * 1024
# A head that takes longer is a slow-loris, or a line that would not carry an answer either.
HEAD_TIMEOUT_SECONDS = 10.0
# Who has connected just before the server ends asks within this time, or not at all.
FIRST_REQUEST_SECONDS = 1.0
# Before the listener is closed: callers that the kernel has connected and we have not taken over would be cut.
TAKE_OVER_SECONDS = 0.05
# Longer than load balancers keep idle connections (60 s), so that it is they who close them.
KEEP_ALIVE_SECONDS = 75

_TOO_LARGE_BODY = (
    b'{"error":{"message":"The request headers are too large.",'
    b'"type":"invalid_request_error","param":null,"code":"431"}}'
)
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_TOO_LARGE_BODY), _TOO_LARGE_BODY)
)


class CorkedTransport:
    """A transport that can hold what is written, so that it leaves in one piece.

    uvicorn writes a head and a body apart, and each write is a system call of some 20 us.
    """

    __slots__ = ("_corked", "_held", "_more_headers", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._corked = False
        self._held: list[bytes] = []
        self._more_headers = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def cork(self, more_headers: bytes = b"") -> None:
        """Hold what is written from now on.

        more_headers: whole lines for the end of the head, which is what is written next. uvicorn checks each header
        that it is given by two patterns: two dozen of them would cost a call 15 us.
        """
        self._corked = True
        self._more_headers = more_headers

    def uncork(self) -> None:
        """Write what was held."""
        self._corked = False
        self._more_headers = b""
        if self._held:
            held, self._held = self._held, []
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))

    def write(self, data: bytes) -> None:
        """As a transport's."""
        if self._corked:
            if self._more_headers:
                # The head ends with an empty line.
                data = data[:-2] + self._more_headers + b"\r\n"
                self._more_headers = b""
            self._held.append(data)
        else:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """As a transport's."""
        return self._transport.is_closing()

    def close(self) -> None:
        """As a transport's; what was held goes out first."""
        self.uncork()
        self._transport.close()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol has no limit on the size of a head and none on the time that it takes.

    The app finds it as `scope["tollhouse.connection"]`, to learn of a caller that goes away: a task for each call that
    waits for `http.disconnect` costs 10 us, and of pipelined calls uvicorn tells only the last.
    """

    # The caller has closed its connection.
    gone = False
    _on_gone: Callable[[], None] | None = None

    # Of a connection that the server's end has found without a request: there will be no second one.
    _is_last = False
    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.corked = CorkedTransport(transport)
        super().connection_made(self.corked)  # type: ignore[arg-type]
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)
        self.gone = True
        if self._on_gone is not None:
            self._on_gone()

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Call `on_gone` if the caller goes away from now on. The body has been read."""
        self._on_gone = on_gone
        # uvicorn reads no further while 64 KiB of a body wait for the app; then nobody would see the caller go.
        self.flow.resume_reading()

    def unwatch(self) -> None:
        """The call is over."""
        self._on_gone = None

    def shutdown(self) -> None:
        """The server ends. A caller that has connected, and not asked yet, may ask once: it may be on its way."""
        if self.cycle is None:
            self._is_last = True
            self.loop.call_later(FIRST_REQUEST_SECONDS, self._close_unasked)
        else:
            super().shutdown()

    def _close_unasked(self) -> None:
        if self.cycle is None:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head:
            if self._head_timer is not None:
                self._stop_timer()
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self.transport.close)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()
        self.scope["tollhouse.connection"] = self  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
        if self._is_last:
            self.cycle.keep_alive = False

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(uvicorn.Server):
    """Signals are the composition root's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves one ASGI app on one address."""

    def __init__(self, app: Any, host: str, port: int, grace_seconds: int) -> None:
        self._host = host
        self._port = port
        self._server = _Server(
            uvicorn.Config(
                app,
                http=LimitedProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                # Who the caller is comes from its key; nothing here reads an address.
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=grace_seconds,
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._listener: socket.socket | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; `port` says where. OSError when the address is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # IPPROTO_TCP, not 0: only then does asyncio set TCP_NODELAY on what it accepts (platform: 44 ms a request).
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError:
            listener.close()
            raise
        listener.listen(4096)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.005)
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Take no new connections, finish what is open within the grace, then cut it."""
        if self._task is None:
            return
        if self._listener is not None:
            # The kernel connects nobody any more; who is refused in a moment asks another edge.
            self._listener.listen(0)
            await asyncio.sleep(TAKE_OVER_SECONDS)
        self._server.should_exit = True
        await self._task
