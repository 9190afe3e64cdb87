"""What an OpenAI-compatible provider says when it fails, as a GatewayError.

The status decides, except where OpenAI tells two failures apart by code or text only: a context window that is too
small, and a refusal by its content policy. The provider's own words reach the caller, without any credential in them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from router.catalog import Deployment
from services.decoding import NOT_DECODED
from services.errors import GatewayError, Reason

# Enough for every message seen; a page of HTML or an echo of the prompt is not for the caller's log.
MAX_MESSAGE_CHARS = 2_000
# A provider that asks for more than a day means "not any more"; nobody waits longer.
MAX_RETRY_AFTER_SECONDS = 86_400.0

_BY_STATUS: Mapping[int, Reason] = {
    401: Reason.ERROR_REASON_PROVIDER_AUTHENTICATION,
    # The account is out of money: another deployment may have some.
    402: Reason.ERROR_REASON_PROVIDER_AUTHENTICATION,
    403: Reason.ERROR_REASON_PROVIDER_AUTHENTICATION,
    404: Reason.ERROR_REASON_PROVIDER_NOT_FOUND,
    408: Reason.ERROR_REASON_PROVIDER_TIMEOUT,
    413: Reason.ERROR_REASON_REQUEST_TOO_LARGE,
    429: Reason.ERROR_REASON_PROVIDER_RATE_LIMITED,
    # Groq's for a tier of service that has no capacity left.
    498: Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
}

# In a stream there is no status any more: the code or the type of the error object stands for one.
_STATUS_BY_WORD: Mapping[str, int] = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "overloaded_error": 503,
}

_CONTEXT_WINDOW = re.compile(
    r"context[_ ](length|window|size)|prompt (is )?too long|input (is )?too long|too many (input )?tokens"
    r"|reduce the length of the (messages|prompt|input)|max(imum)?[_ ](prompt|input)[_ ](length|tokens)"
    # TGI's and Together's, Moonshot's, DashScope's, Z.ai's.
    r"|inputs`? (must have less than|tokens \+ `max_new_tokens` must be)|exceeded model token limit"
    r"|range of input length|prompt exceeds max length",
    re.IGNORECASE,
)
_CONTENT_POLICY = re.compile(
    r"content[_ ](policy|filter|management policy)|ResponsibleAIPolicyViolation|safety system"
    # DashScope's, DeepSeek's, Moonshot's, xAI's, OpenRouter's.
    r"|data_inspection_failed|content exists risk|considered high risk|violates usage guidelines|input was flagged",
    re.IGNORECASE,
)
# The forms of credential that providers have been seen to repeat in their messages.
_CREDENTIAL = re.compile(
    r"\bBearer\s+[^\s\"',;]+|\b(?:sk|pk|rk|gsk|xai|hf|r8|key|nvapi|pplx|fw)[-_][A-Za-z0-9_\-]{4,}|\bAIza[A-Za-z0-9_\-]{10,}"
    r"|\bya29\.[A-Za-z0-9_\-.]+"
)
_MASK = "***"

_decode_json = msgspec.json.Decoder().decode


def decode_error(status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> GatewayError:
    """An answer that is not 2xx. `headers` in lower case; `Retry-After` as a date counts from the `Date` header."""
    said = _object_in(body)
    words = _words_of(said)
    if said is None:
        message = _plain_text(body) or f"{deployment.provider} answered with status {status} and said nothing more."
    else:
        message = _message_of(said) or f"{deployment.provider} answered with status {status}."
    return GatewayError(
        _reason(status, f"{words} {message}"),
        _presentable(message, deployment.api_key),
        param=_param_of(said),
        provider=deployment.provider,
        provider_status=status,
        retry_after_seconds=_retry_after_seconds(headers),
    )


def decode_stream_error(data: bytes, deployment: Deployment) -> GatewayError:
    """An error object that came as an event: its own code or type stands for the status, 500 when neither says one."""
    said = _object_in(data)
    status = 500
    for word in _words_of(said).split():
        if word.isascii() and word.isdigit() and 400 <= int(word[:4]) <= 599:
            status = int(word)
            break
        if word in _STATUS_BY_WORD:
            status = _STATUS_BY_WORD[word]
            break
    return decode_error(status, {}, data, deployment)


def _reason(status: int, text: str) -> Reason:
    if status in (400, 413, 422) and _CONTEXT_WINDOW.search(text):
        return Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED
    if status in (400, 403, 422) and _CONTENT_POLICY.search(text):
        return Reason.ERROR_REASON_CONTENT_POLICY_VIOLATION
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:
        return Reason.ERROR_REASON_PROVIDER_REJECTED
    if status >= 500:
        return Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    # A redirect is not followed: it would take the credential to another host.
    return Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def _object_in(body: bytes) -> dict[str, Any] | None:
    """The error object: `{"error": {...}}`, `{"error": "..."}`, `{"errors": [{...}]}`, the object itself, or one in a
    list."""
    try:
        said = _decode_json(body)
    except NOT_DECODED:
        return None
    if isinstance(said, list) and said:
        said = said[0]
    if not isinstance(said, dict):
        return None
    inner, several = said.get("error"), said.get("errors")
    if isinstance(inner, dict):
        return inner
    if isinstance(several, list) and several and isinstance(several[0], dict):
        return several[0]
    return {**said, "message": inner} if isinstance(inner, str) else said


def _message_of(said: Mapping[str, Any]) -> str:
    for member in ("message", "detail", "msg", "error_description"):
        value = said.get(member)
        if isinstance(value, str) and value:
            return value
        if value:
            # FastAPI's validation errors are a list of objects.
            return msgspec.json.encode(value).decode()
    return ""


def _words_of(said: Mapping[str, Any] | None) -> str:
    if said is None:
        return ""
    inner = said.get("innererror")
    values = [said.get("code"), said.get("type"), said.get("status"), said.get("error_code")]
    values.append(inner.get("code") if isinstance(inner, dict) else None)
    return " ".join(str(value) for value in values if isinstance(value, str | int))


def _param_of(said: Mapping[str, Any] | None) -> str:
    param = said.get("param") if said else None
    return param[:MAX_MESSAGE_CHARS] if isinstance(param, str) else ""


def _plain_text(body: bytes) -> str:
    """The text of a body that is no JSON; nothing when it is a page of HTML."""
    text = body.decode(errors="replace").strip()
    return "" if text.startswith("<") else text


def _presentable(message: str, api_key: str) -> str:
    # Masked before it is cut: half a key at the end would no longer look like one.
    if len(api_key) >= 4:
        message = message.replace(api_key, _MASK)
    message = _CREDENTIAL.sub(_MASK, message)
    return message if len(message) <= MAX_MESSAGE_CHARS else message[: MAX_MESSAGE_CHARS - 1] + "…"


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds, milliseconds (`retry-after-ms`, as OpenAI sends) or an HTTP date; None when absent or senseless."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        # Azure rounds milliseconds down to none, and means the whole seconds beside them.
        if math.isfinite(seconds) and (seconds > 0 or unit == 1.0):
            return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
    try:
        wait = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return min(max(wait.total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)
