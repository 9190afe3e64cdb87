"""How a failure looks to a caller: OpenAI's error object. Rendered here and nowhere else."""

from __future__ import annotations

import math

import msgspec

from services.errors import GatewayError, Reason

Headers = list[tuple[bytes, bytes]]

_encode = msgspec.json.encode


def status_of(error: GatewayError, budget_exceeded_status: int = 422) -> int:
    """The HTTP status. A provider's own 4xx is kept when its refusal is passed on as it is."""
    if error.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED:
        return budget_exceeded_status
    if error.reason == Reason.ERROR_REASON_PROVIDER_REJECTED and 400 <= error.provider_status < 500:
        return error.provider_status
    if error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE and error.provider_status in (500, 501, 502, 503, 504):
        return error.provider_status
    if error.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION and error.provider_status == 403:
        return error.provider_status
    return error.meaning.http_status


def error_object(error: GatewayError, status: int) -> dict[str, object]:
    """`{"error": {message, type, param, code}}`, as OpenAI and LiteLLM shape it."""
    return {
        "error": {
            "message": error.message,
            "type": error.meaning.type,
            "param": error.param or None,
            "code": error.meaning.code or str(status),
        }
    }


def render(error: GatewayError, budget_exceeded_status: int = 422) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an answer that failed before its first byte."""
    status = status_of(error, budget_exceeded_status)
    body = _encode(error_object(error, status))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_seconds))).encode()))
    return status, headers, body


def render_event(error: GatewayError) -> bytes:
    """The one event that tells of a failure after the head; no `[DONE]` follows it."""
    return b"data: " + _encode(error_object(error, status_of(error))) + b"\n\n"
