"""What TGI says when it fails, `{"error": "...", "error_type": "..."}`, as a GatewayError."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.openai import errors as openai_errors
from services.decoding import NOT_DECODED
from services.errors import GatewayError, Reason

# In a stream there is no status any more.
_STATUS_BY_TYPE: Mapping[str, int] = {
    "validation": 422,
    "tool_error": 422,
    "template_error": 422,
    "overloaded": 429,
    "generation": 424,
    "incomplete_generation": 500,
}
# "Request failed during generation": the server's failure, whatever the first digit says.
_FAILED_GENERATION = 424


class _Said(msgspec.Struct):
    error_type: str = ""
    # Seconds until a model is loaded, as Hugging Face's own hosts tell.
    estimated_time: float | None = None


_decoder = msgspec.json.Decoder(_Said)


def decode_error(status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> GatewayError:
    """An answer that is not 2xx; names of headers are in lower case."""
    error = openai_errors.decode_error(status, headers, body, deployment)
    if status == _FAILED_GENERATION:
        error.reason = Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    wait = _said_in(body).estimated_time
    if error.retry_after_seconds is None and wait is not None and wait > 0:
        error.retry_after_seconds = min(wait, openai_errors.MAX_RETRY_AFTER_SECONDS)
    return error


def decode_stream_error(data: bytes, deployment: Deployment) -> GatewayError:
    """An error that came as an event, or with status 200."""
    return decode_error(_STATUS_BY_TYPE.get(_said_in(data).error_type, 500), {}, data, deployment)


def _said_in(body: bytes) -> _Said:
    try:
        return _decoder.decode(body)
    except NOT_DECODED:
        return _Said()
