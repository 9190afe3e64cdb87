"""Asks a token service (RFC 6749, and the clouds' metadata servers) for an access token."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from http import HTTPStatus

import httpx
import msgspec

from router.credentials.base import NoCredential
from router.credentials.tokens import Fetched
from services.decoding import NOT_DECODED
from services.errors import Reason

# Tokens are 1 to 4 KiB, and what stands around them is less.
MAX_BODY_BYTES = 64 * 1024
# Waiting for a connection, and for each read; the whole fetch has a limit in tokens.py.
TIMEOUT_SECONDS = 5.0
# RFC 6749 lets a server leave it out.
UNSTATED_LIFE_SECONDS = 300.0

_UNAVAILABLE = Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
# What may stand in a header (RFC 6750), and no longer than servers take.
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
# RFC 6749's error codes and Entra's. A description may repeat what was sent, so it is not shown.
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ENTRA_CODE = re.compile(r"AADSTS\d{3,9}")
_SECONDS = re.compile(r"[0-9]{1,6}")
# Statuses that say: not now.
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
# Codes that speak of the server, not of the credential, whatever the status.
_OF_THE_SERVER = ("server_error", "temporarily_unavailable")


class _Answer(msgspec.Struct):
    access_token: str
    # Managed identities answer with a text.
    expires_in: float = UNSTATED_LIFE_SECONDS

    def __repr__(self) -> str:
        return f"_Answer({self.expires_in:g} s)"


class _Refusal(msgspec.Struct):
    error: str = ""
    error_description: str = ""


_decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode
_decode_refusal = msgspec.json.Decoder(_Refusal).decode


class TokenService:
    """Over HTTP. No redirects, which would take the credential elsewhere, and no proxies, as towards providers.

    Use it, and close it, inside one event loop. tls: whom to trust; the system's authorities unless given.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        # Made when it is first needed, since most routers never do: that takes 75 ms.
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()

    async def post(self, url: str, form: Mapping[str, str]) -> Fetched[str]:
        """Ask with a form. Raises NoCredential."""
        return await self._ask("POST", url, form, {})

    async def get(self, url: str, headers: Mapping[str, str]) -> Fetched[str]:
        """Ask a metadata server. Raises NoCredential."""
        return await self._ask("GET", url, None, headers)

    async def _ask(
        self, method: str, url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> Fetched[str]:
        try:
            async with self._open().stream(method, url, data=form, headers=headers) as response:
                body = await _body_of(response)
        except httpx.TimeoutException:
            raise NoCredential(
                "cannot be called: its token service does not answer", Reason.ERROR_REASON_PROVIDER_TIMEOUT
            ) from None
        except httpx.HTTPError:
            raise NoCredential("cannot be called: its token service cannot be reached", _UNAVAILABLE) from None
        except (httpx.InvalidURL, ValueError):
            raise NoCredential(
                "cannot be called: the address of its token service, or its credential, cannot be sent"
            ) from None
        if response.status_code != HTTPStatus.OK:
            raise refusal(response.status_code, response.headers, body)
        return token_in(body)

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self._tls or ssl.create_default_context(),
                trust_env=False,
                follow_redirects=False,
                timeout=TIMEOUT_SECONDS,
                headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": "tollhouse"},
            )
        return self._client


async def _body_of(response: httpx.Response) -> bytes:
    body = b""
    # As it came: what is compressed all the same could be of any size.
    async for part in response.aiter_raw():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise NoCredential("cannot be called: its token service answers without end", _UNAVAILABLE)
    return body


def token_in(body: bytes) -> Fetched[str]:
    """The token that a 200 answer holds. Raises NoCredential."""
    try:
        answer = _decode_answer(body)
    except NOT_DECODED:
        answer = _Answer("")
    if not _TOKEN.fullmatch(answer.access_token):
        raise NoCredential("cannot be called: its token service answers without a token", _UNAVAILABLE)
    return Fetched(answer.access_token, answer.expires_in)


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> NoCredential:
    """What any other answer means."""
    try:
        said = _decode_refusal(body)
    except NOT_DECODED:
        said = _Refusal()
    code = said.error if _CODE.fullmatch(said.error) else f"status {status}"
    entra_code = _ENTRA_CODE.search(said.error_description)
    shown = f"{code}, {entra_code[0]}" if entra_code else code
    if 400 <= status < 500 and status not in _LATER and code not in _OF_THE_SERVER:
        return NoCredential(f"cannot be called: its token service refuses the credential ({shown})")
    # As a number; a date is not worth its clock.
    seconds = headers.get("retry-after", "")
    return NoCredential(
        f"cannot be called: its token service fails ({shown})",
        _UNAVAILABLE,
        float(seconds) if _SECONDS.fullmatch(seconds) else None,
    )
