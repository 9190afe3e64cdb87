"""What Google says when it fails, as a GatewayError.

The status decides, as on OpenAI's wire; here is what Google alone says: a key that is no key with status 400, a pause
in the details, a word in place of the status where a stream fails.
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
    (
        re.compile(r"token count .{0,40}exceeds the maximum|exceeds the maximum number of tokens", re.IGNORECASE),
        Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED,
    ),
    # All of these another deployment may have: a key, a place, an account with money.
    (
        re.compile(r"api[ _]key not (valid|found)|api[ _]key expired|API_KEY_INVALID", re.IGNORECASE),
        Reason.ERROR_REASON_PROVIDER_AUTHENTICATION,
    ),
    (
        re.compile(r"user location is not supported|enable billing|billing to be enabled", re.IGNORECASE),
        Reason.ERROR_REASON_PROVIDER_AUTHENTICATION,
    ),
)

# In a stream there is no HTTP status any more: the code, or the word for it, stands for the one that it would have had.
_STATUS_BY_WORD: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_UNKNOWN_STATUS = 500

_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


class _Detail(msgspec.Struct, rename="camel"):
    retry_delay: str | None = None
    reason: str | None = None


class _ErrorObject(msgspec.Struct):
    code: int | str | None = None
    status: str = ""
    details: list[_Detail] = []


class _ErrorBody(msgspec.Struct):
    error: _ErrorObject


# A stream that was asked for as an array fails with an array too.
_decoder = msgspec.json.Decoder(_ErrorBody | list[_ErrorBody])


def decode_error(status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> GatewayError:
    """An answer that is not 2xx; names of headers are in lower case."""
    error = openai_errors.decode_error(status, headers, body, deployment)
    details = _object_in(body).details
    if error.reason == Reason.ERROR_REASON_PROVIDER_REJECTED:
        said = " ".join((error.message, *(detail.reason or "" for detail in details)))
        error.reason = next((reason for pattern, reason in _BY_TEXT if pattern.search(said)), error.reason)
    if error.retry_after_seconds is None:
        error.retry_after_seconds = next((seconds for each in details if (seconds := _delay(each)) is not None), None)
    return error


def decode_stream_error(data: bytes, deployment: Deployment) -> GatewayError:
    """An error that came as an event, or with status 200."""
    said = _object_in(data)
    code = said.code if isinstance(said.code, int) and 400 <= said.code <= 599 else _UNKNOWN_STATUS
    return decode_error(_STATUS_BY_WORD.get(said.status, code), {}, data, deployment)


def _object_in(body: bytes) -> _ErrorObject:
    try:
        said = _decoder.decode(body)
    except NOT_DECODED:
        return _ErrorObject()
    first = said[0] if isinstance(said, list) and said else said
    return first.error if isinstance(first, _ErrorBody) else _ErrorObject()


def _delay(detail: _Detail) -> float | None:
    found = _SECONDS.fullmatch(detail.retry_delay or "")
    return min(float(found[1]), openai_errors.MAX_RETRY_AFTER_SECONDS) if found else None
