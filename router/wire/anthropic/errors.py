"""What Anthropic says when it fails, as a GatewayError.

The statuses and the shape of the error object are those that OpenAI's wire knows; here is what Anthropic alone says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.openai import errors as openai_errors
from services.decoding import NOT_DECODED
from services.errors import GatewayError, Reason

# Failures that it tells apart by their text only, all of them with status 400.
_BY_TEXT = (
    (re.compile(r"context limit", re.IGNORECASE), Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED),
    # The account is out of money: another deployment may have some.
    (re.compile(r"credit balance is too low", re.IGNORECASE), Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
)

# In a stream there is no status any more: the type of the error stands for the one that it would have had.
_STATUS_BY_TYPE: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_UNKNOWN_STATUS = 500


class _ErrorObject(msgspec.Struct):
    type: str = ""


class _ErrorEvent(msgspec.Struct):
    error: _ErrorObject


_event_decoder = msgspec.json.Decoder(_ErrorEvent)


def decode_error(status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> GatewayError:
    """An answer that is not 2xx; names of headers are in lower case."""
    error = openai_errors.decode_error(status, headers, body, deployment)
    if error.reason == Reason.ERROR_REASON_PROVIDER_REJECTED:
        error.reason = next((reason for pattern, reason in _BY_TEXT if pattern.search(error.message)), error.reason)
    return error


def decode_stream_error(data: bytes, deployment: Deployment) -> GatewayError:
    """An error that came as an event, or with status 200."""
    try:
        kind = _event_decoder.decode(data).error.type
    except NOT_DECODED:
        kind = ""
    return decode_error(_STATUS_BY_TYPE.get(kind, _UNKNOWN_STATUS), {}, data, deployment)
