"""One HTTP/1.1 connection to a provider: a request out, its answer in, then the next.

The parser is httptools' (llhttp, as in Node.js); what is ours is the life of the connection around it. A call costs a
fifth of what it costs through aiohttp (docs/decisions/0013-own-http-client.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

# Node.js takes 16 KiB of headers, aiohttp 8 KiB a line: providers send 1 to 3 KiB.
MAX_HEAD_BYTES = 64 * 1024
# Of a body that waits for its reader; beyond it the socket is not read.
MAX_BUFFERED_BYTES = 256 * 1024
# What may follow a stream's terminator on a connection that is to be used again: an end of chunks and little more.
MAX_REST_BYTES = 64 * 1024


class Broken(Exception):
    """The connection ended, or what came over it is not HTTP; the text follows a provider's name."""


class Connection(asyncio.Protocol):
    """At most one request at a time. `on_free` is told once it can take the next."""

    __slots__ = (
        "_buffered",
        "_error",
        "_extra",
        "_has_head",
        "_head_bytes",
        "_is_left",
        "_is_paused",
        "_keeps_alive",
        "_loop",
        "_on_free",
        "_on_lost",
        "_parser",
        "_parts",
        "_rest_bytes",
        "_transport",
        "_waiter",
        "complete",
        "headers",
        "idle_until",
        "status",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_free: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._loop = loop
        self._on_free = on_free
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: Broken | None = None
        self._is_paused = False
        # Until when the pool may give it out again.
        self.idle_until = 0.0
        self._begin()
        # Before its first request it is as after one.
        self.complete = True

    def _begin(self) -> None:
        self.status = 0
        # Names as they came.
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self._has_head = False
        self._head_bytes = 0
        self._rest_bytes = 0
        self._keeps_alive = False
        self._extra = False
        self._is_left = False

    @property
    def closed(self) -> bool:
        """Whether it is of no more use."""
        return self._error is not None or self._transport is None or self._transport.is_closing()

    async def request(self, head: bytes, body: bytes) -> None:
        """Send a request; returns once the head of its answer is here. Broken."""
        if self._transport is None or self.closed:
            raise Broken("closed the connection")
        self._begin()
        if len(body) <= MAX_BUFFERED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        while not self._has_head:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def chunk(self) -> bytes:
        """What has arrived of the body, at least one byte; empty at its end. Broken, after all that had arrived."""
        while not self._parts:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._buffered = 0
        if self._is_paused:
            self._resume()
        return body

    def leave(self) -> None:
        """The answer is no longer read: the connection is free once the rest of it has come, if that is little."""
        self._is_left = True
        self._parts.clear()
        self._buffered = 0
        if self.complete:
            self._free()
        elif self._is_paused:
            self._resume()

    def abort(self) -> None:
        """Close it at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.complete:
            # Nobody has asked for this.
            self._extra = True
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            # What follows a whole answer spoils the connection, not the answer.
            self._extra = True
            if not self.complete:
                self._fail("did not answer in HTTP")
                return
        if not self._has_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fail("answered with too many headers")
        elif self._is_left:
            self._on_rest(len(data))
        elif self._parts:
            self._wake()
            self._buffered += len(data)
            if self._buffered > MAX_BUFFERED_BYTES and not self._is_paused and not self.complete:
                self._is_paused = True
                if self._transport is not None:
                    self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._has_head and not self.complete and self._ends_with_connection():
            self.complete = True
        if self._error is None:
            self._error = Broken("broke off its answer" if self._has_head else "closed the connection")
        self._wake()
        self._on_lost(self)

    # httptools

    def on_message_begin(self) -> None:
        if self.complete:
            raise Broken("said more than it was asked")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # else a trailer
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer: the real one follows
            self.headers.clear()
            return
        self.status = status
        self._has_head = True
        self._wake()

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._has_head:
            self.complete = True
            self._keeps_alive = self._parser.should_keep_alive()
            self._wake()

    def _on_rest(self, size: int) -> None:
        self._parts.clear()
        self._rest_bytes += size
        if self.complete:
            self._free()
        elif self._rest_bytes > MAX_REST_BYTES:
            self.abort()

    def _free(self) -> None:
        if self.closed:  # by the provider, after its answer
            return
        transport = self._transport
        # A request of which a part is still to be written was answered early, and cannot be followed by another.
        if transport is None or not self._keeps_alive or self._extra or transport.get_write_buffer_size():
            self.abort()
        else:
            self._on_free(self)

    def _fail(self, what: str) -> None:
        self._error = Broken(what)
        self._wake()
        self.abort()

    def _resume(self) -> None:
        self._is_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _ends_with_connection(self) -> bool:
        return not any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
