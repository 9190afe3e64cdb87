"""The only way to a provider: HTTP/1.1 over aiohttp, behind an interface small enough to put another client there.

One deadline covers an attempt from its first byte to its last. Whoever leaves `open` early, by an error or because
the caller is gone, closes the connection at once, so that the provider stops generating.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Protocol

import aiohttp
from aiohttp.payload import BytesPayload
from yarl import URL

from router.catalog import Deployment
from router.wire.base import HttpRequest, invalid_response
from services.errors import GatewayError, Reason

# The largest body that is held in memory: four images in base64, or a very long answer with log probabilities.
MAX_BODY_BYTES = 64 * 1024 * 1024

# A host that does not complete a handshake in this time is down; it must not use up the attempt's whole time.
CONNECT_TIMEOUT_SECONDS = 10.0

# Below the 5 s after which uvicorn, and with it vLLM, closes idle connections: a request sent into a connection that
# is just being closed is lost.
KEEP_ALIVE_SECONDS = 4.0

# A stream's terminator comes a moment before the end of the HTTP body; waiting this long for it saves the connection.
_DRAIN_SECONDS = 0.02

# The first kind that fits.
_WHAT_HAPPENED: Mapping[type[Exception], str] = {
    aiohttp.ServerTimeoutError: f"could not be reached within {CONNECT_TIMEOUT_SECONDS:g} s",
    aiohttp.ClientConnectorDNSError: "could not be found: its name does not resolve",
    aiohttp.ClientSSLError: "could not be reached: TLS failed",
    aiohttp.ClientConnectorError: "could not be reached: connection error",
    aiohttp.ClientPayloadError: "broke off its answer",
    ValueError: "has an address or a credential that cannot be sent",
    Exception: "closed the connection",
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


# What aiohttp raises for a provider that cannot be reached, breaks off, or cannot be asked.
_FAILURES = (aiohttp.ClientError, OSError, ValueError)


class _AiohttpResponse:
    __slots__ = ("_content", "_deployment", "_response", "status")

    def __init__(self, response: aiohttp.ClientResponse, deployment: Deployment) -> None:
        self.status = response.status
        self._response = response
        self._content = response.content
        self._deployment = deployment

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.lower(): value for name, value in self._response.headers.items()}

    async def chunk(self) -> bytes:
        try:
            return await self._content.readany()
        except _FAILURES as error:
            raise _failure(error, self._deployment) from None

    async def read(self, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        parts = []
        size = 0
        content = self._content
        while not content.at_eof():
            part = await self.chunk()
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                raise invalid_response(self._deployment, f"it is larger than {max_bytes} bytes", self.status)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class HttpTransport:
    """`Transport` over sockets. Make it, and close it, inside the event loop that uses it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
            # Without `total`: it costs a third of a request's time, and `open` has a deadline of its own.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS),
            # What one caller's provider sets must not reach another's.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    def open(self, request: HttpRequest, deployment: Deployment, *, timeout_seconds: float) -> _Request:
        return _Request(self._loop, self._session, request, deployment, timeout_seconds)


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


class _Request:
    """One request, entered once the head of its answer is here; a class, since a generator costs a call 10 us more."""

    __slots__ = ("_deadline", "_deployment", "_loop", "_request", "_response", "_session", "_timeout_seconds")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        session: aiohttp.ClientSession,
        request: HttpRequest,
        deployment: Deployment,
        timeout_seconds: float,
    ) -> None:
        self._loop = loop
        self._session = session
        self._request = request
        self._deployment = deployment
        self._timeout_seconds = timeout_seconds
        self._deadline: _Deadline | None = None
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Response:
        self._deadline = _Deadline(self._loop, self._timeout_seconds)
        try:
            try:
                response = await self._session.request(
                    self._request.method,
                    _url(self._request.url),
                    # A payload of its own type: aiohttp would look for one in its registry.
                    data=BytesPayload(self._request.body, content_type="application/json"),
                    headers=self._request.headers,
                    allow_redirects=False,
                )
            except _FAILURES as error:
                raise _failure(error, self._deployment) from None
            self._response = response
            _check_encoding(response, self._deployment)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return _AiohttpResponse(response, self._deployment)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        response = self._response
        if response is not None and error is None:
            try:
                if not response.content.at_eof():
                    await _drain(response.content)
            except BaseException as late:
                # The deadline, or the caller's going away, in the last moment.
                response.close()
                self._leave(late)
                raise
            response.release()
        elif response is not None:
            response.close()
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        if self._deadline is not None and self._deadline.end(error):
            raise GatewayError(
                Reason.ERROR_REASON_PROVIDER_TIMEOUT,
                f"Request to {self._deployment.provider} timed out after {self._timeout_seconds:g} s.",
                provider=self._deployment.provider,
            ) from None


@functools.lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    """Parsed once an address; there are as many as deployments."""
    return URL(text)


def _failure(error: Exception, deployment: Deployment) -> GatewayError:
    """aiohttp's failure as the gateway's, in its own words: aiohttp's show addresses, headers and internals."""
    what = next(what for kind, what in _WHAT_HAPPENED.items() if isinstance(error, kind))
    return GatewayError(
        Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, f"{deployment.provider} {what}.", provider=deployment.provider
    )


async def _drain(content: aiohttp.StreamReader) -> None:
    """Read what little may follow an answer, so that its connection can be used again."""
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            await content.readany()


def _check_encoding(response: aiohttp.ClientResponse, deployment: Deployment) -> None:
    encoding = response.headers.get("Content-Encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise invalid_response(deployment, f"it is compressed ({encoding}), which was not asked for", response.status)
