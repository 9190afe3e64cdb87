"""The parts of HTTP that the edge's handlers share: bodies with a limit, call ids, callers that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from services.errors import GatewayError, Reason

# A body of the largest size arrives in this time over a slow line (10 Mbit/s); slower is an attack or a dead peer.
BODY_TIMEOUT_SECONDS = 60.0

MAX_CALL_ID_BYTES = 128
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")


class CallerGone(Exception):
    """The caller has closed its connection."""


async def read_body(
    scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[MutableMapping[str, Any]]], limit: int
) -> bytes:
    """The whole request body. GatewayError when it exceeds `limit` bytes or does not come; CallerGone."""
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > limit):
            raise _too_large(limit)
        if name == b"content-encoding" and value not in (b"", b"identity"):
            raise GatewayError(
                Reason.ERROR_REASON_INVALID_REQUEST,
                "Compressed request bodies are not taken.",
                param="content-encoding",
            )
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message["body"]
        if len(body) > limit:
            raise _too_large(limit)
        return body
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await _read_parts(message, receive, limit)
    except TimeoutError:
        raise GatewayError(
            Reason.ERROR_REASON_DEADLINE_EXCEEDED, f"The body did not arrive within {BODY_TIMEOUT_SECONDS:g} s."
        ) from None


async def _read_parts(
    message: MutableMapping[str, Any], receive: Callable[[], Awaitable[MutableMapping[str, Any]]], limit: int
) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise CallerGone
        parts.append(message["body"])
        size += len(message["body"])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def call_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's own `x-litellm-call-id` when it is a plain short word; else empty."""
    for name, value in headers:
        if name == b"x-litellm-call-id" and 0 < len(value) <= MAX_CALL_ID_BYTES and _PLAIN.issuperset(value):
            return value.decode()
    return ""


def _too_large(limit: int) -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_REQUEST_TOO_LARGE, f"The request body is larger than {limit} bytes.")
