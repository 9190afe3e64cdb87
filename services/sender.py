"""Requests to receivers that operators name (webhooks, object storage): within a time, their answers unread."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping

import httpx

# Several requests may make up a delivery.
TIMEOUT_SECONDS = 15.0


class Later(Exception):
    """Not now: the same again may be taken. The message says why, without a secret; after_seconds: as it was asked."""

    def __init__(self, message: str, after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Sender:
    """A client, made when it is first needed. Close it inside the event loop that uses it."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, settled: Collection[int] = ()
    ) -> int:
        """The status of the answer: 2xx, or one of `settled`. Any other, and none, is Later.

        Nobody is followed elsewhere: what is sent is for the address that was given.
        """
        try:
            async with self._open().stream(method, url, headers=dict(headers), content=body) as response:
                status = response.status_code
        except httpx.TimeoutException:
            raise Later("its receiver does not answer") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # The name of the kind says what is wrong; its text may say more than a log should have.
            raise Later(f"its receiver cannot be reached ({type(error).__name__})") from None
        if 200 <= status < 300 or status in settled:
            return status
        seconds = response.headers.get("retry-after", "")
        asked = float(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 6 else 0.0
        raise Later(f"its receiver answers {status}", asked)

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self._tls or ssl.create_default_context(),
                trust_env=False,
                follow_redirects=False,
                timeout=TIMEOUT_SECONDS,
                headers={"accept-encoding": "identity", "user-agent": "tollhouse"},
            )
        return self._client
