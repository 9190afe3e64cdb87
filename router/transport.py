"""The only way to a provider: HTTP/1.1, behind an interface small enough to put another client there.

One deadline covers an attempt from its first byte to its last. Whoever leaves `open` early, by an error or because
the caller is gone, closes the connection at once, so that the provider stops generating.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

from router.catalog import Deployment
from router.connections import CONNECT_TIMEOUT_SECONDS, Connections
from router.http1 import Broken, Connection
from router.target import head_of, target_of
from router.wire.base import HttpRequest, invalid_response
from services.errors import GatewayError, Reason

# The largest body that is held in memory: four images in base64, or a very long answer with log probabilities.
MAX_BODY_BYTES = 64 * 1024 * 1024

# The first kind that fits.
_WHAT_HAPPENED: Mapping[type[Exception], str] = {
    TimeoutError: f"could not be reached within {CONNECT_TIMEOUT_SECONDS:g} s",
    socket.gaierror: "could not be found: its name does not resolve",
    ssl.SSLError: "could not be reached: TLS failed",
    OSError: "could not be reached: connection error",
    ValueError: "has an address or a credential that cannot be sent",
}


class Response(Protocol):
    """A provider's answer. Names of headers are in lower case."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    async def chunk(self) -> bytes:
        """What has arrived of the body, at least one byte; empty at its end."""

    async def read(self, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        """The whole body. Raises GatewayError (PROVIDER_INVALID_RESPONSE) when it is larger."""


class Transport(Protocol):
    """Calls providers."""

    def open(
        self, request: HttpRequest, deployment: Deployment, *, timeout_seconds: float
    ) -> AbstractAsyncContextManager[Response]:
        """Send the request; enter once the head of the answer is here.

        Raises GatewayError, on entering or while the body is read: PROVIDER_TIMEOUT when `timeout_seconds` are over,
        PROVIDER_UNAVAILABLE when the provider cannot be reached or breaks off.
        """


class HttpTransport:
    """`Transport` over sockets. Make it, and close it, inside the event loop that uses it.

    tls: whom to trust; the system's authorities unless given.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections = Connections(tls or ssl.create_default_context())

    async def close(self) -> None:
        """Close every connection."""
        await self._connections.close()

    def open(self, request: HttpRequest, deployment: Deployment, *, timeout_seconds: float) -> _Exchange:
        return _Exchange(self._loop, self._connections, request, deployment, timeout_seconds)


class _Deadline:
    """`asyncio.timeout` for a task that is known: begun and ended in 3 us, not 9."""

    __slots__ = ("_cancels_before", "_is_over", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        task = asyncio.current_task(loop)
        assert task is not None, "a request is opened by a task"
        self._task = task
        self._cancels_before = task.cancelling()
        self._is_over = False
        self._timer = loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._is_over = True
        self._task.cancel()

    def end(self, error: BaseException | None) -> bool:
        """Whether `error` is this deadline's doing: not so when the task is being cancelled by others, too."""
        self._timer.cancel()
        if not self._is_over:
            return False
        return self._task.uncancel() <= self._cancels_before and isinstance(error, asyncio.CancelledError)


class _Exchange:
    """One request, entered once the head of its answer is here, and that answer.

    A class, since a generator costs a call 10 us more.
    """

    __slots__ = ("_connection", "_connections", "_deadline", "_deployment", "_loop", "_request", "_timeout_seconds")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Connections,
        request: HttpRequest,
        deployment: Deployment,
        timeout_seconds: float,
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._request = request
        self._deployment = deployment
        self._timeout_seconds = timeout_seconds
        self._deadline: _Deadline | None = None
        self._connection: Connection | None = None

    async def __aenter__(self) -> Response:
        self._deadline = _Deadline(self._loop, self._timeout_seconds)
        try:
            try:
                target = target_of(self._request.url)
                head = head_of(self._request, target)
                self._connection = await self._connections.get(target.origin)
                await self._connection.request(head, self._request.body)
            except (Broken, OSError, ValueError) as error:
                raise self._failure(error) from None
            self._check_encoding()
        except BaseException as error:
            self._leave(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)

    @property
    def status(self) -> int:
        return self._open().status

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._open().headers}

    async def chunk(self) -> bytes:
        try:
            return await self._open().chunk()
        except Broken as error:
            raise self._failure(error) from None

    async def read(self, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        parts = []
        size = 0
        while part := await self.chunk():
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                raise invalid_response(self._deployment, f"it is larger than {max_bytes} bytes", self.status)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _open(self) -> Connection:
        assert self._connection is not None, "an answer is read inside `async with`"
        return self._connection

    def _check_encoding(self) -> None:
        for name, value in self._open().headers:
            if len(name) == 16 and name.lower() == b"content-encoding" and value.lower() != b"identity":
                encoding = value.decode("latin-1")
                raise invalid_response(
                    self._deployment, f"it is compressed ({encoding}), which was not asked for", self.status
                )

    def _leave(self, error: BaseException | None) -> None:
        """The connection is closed at once when something went wrong; else it is used again."""
        if self._connection is not None:
            if error is None:
                self._connections.leave(self._connection)
            else:
                self._connection.abort()
        if self._deadline is not None and self._deadline.end(error):
            raise GatewayError(
                Reason.ERROR_REASON_PROVIDER_TIMEOUT,
                f"Request to {self._deployment.provider} timed out after {self._timeout_seconds:g} s.",
                provider=self._deployment.provider,
            ) from None

    def _failure(self, error: Exception) -> GatewayError:
        """In the gateway's own words: those of a library show addresses, headers and internals."""
        if isinstance(error, Broken):
            what = str(error)
        else:
            what = next(what for kind, what in _WHAT_HAPPENED.items() if isinstance(error, kind))
        provider = self._deployment.provider
        return GatewayError(Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, f"{provider} {what}.", provider=provider)
