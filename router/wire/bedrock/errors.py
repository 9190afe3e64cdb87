"""What Bedrock says when it fails, as a GatewayError.

The kind of a failure stands in the header `x-amzn-errortype` or in `__type` of the body; in a stream it is the type of
the exception. It decides where the status alone says too little; what is left is read as OpenAI's wire reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.openai import errors as openai_errors
from services.decoding import NOT_DECODED
from services.errors import GatewayError, Reason

# By the kind, in lower case: in a stream there is no status, and some kinds come with one that says something else.
_STATUS_BY_KIND: Mapping[str, int] = {
    "validationexception": 400,
    "servicequotaexceededexception": 429,
    "accessdeniedexception": 403,
    "expiredtokenexception": 403,
    "incompletesignatureexception": 403,
    "invalidsignatureexception": 403,
    "missingauthenticationtokenexception": 403,
    "notauthorizedexception": 403,
    "unrecognizedclientexception": 403,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 408,
    "throttlingexception": 429,
    "throttledexception": 429,
    "toomanyrequestsexception": 429,
    # The model failed, or is still being loaded: another deployment, or the same one later, may answer.
    "modelerrorexception": 503,
    "modelnotreadyexception": 503,
    "modelstreamerrorexception": 503,
    "internalserverexception": 500,
    "internalfailure": 500,
    "serviceunavailableexception": 503,
}
_UNKNOWN_STATUS = 500

# What of ValidationException means a prompt that is too long, beyond what OpenAI's wire knows.
_TOO_LONG = re.compile(
    r"input tokens exceeded|exceeds? (the )?(max(imum)?|context)[^.]{0,40}(length|tokens|context)"
    r"|context limit|input length and `?max_tokens|expected maxLength",
    re.IGNORECASE,
)
# Refused signatures are explained by repeating what was signed, the session's token among it.
_SIGNED = re.compile(r"\s*The (Canonical String|String-to-Sign)\b.*", re.DOTALL)
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}|(?i:x-amz-security-token)[:=]\s*\S+|\bSignature=\S+")
_MASK = "***"
_SECRET_OPTIONS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


class _Said(msgspec.Struct):
    message: str | None = None
    capital_message: str | None = msgspec.field(default=None, name="Message")
    kind: str | None = msgspec.field(default=None, name="__type")
    original_message: str | None = msgspec.field(default=None, name="originalMessage")
    # Not AWS's own: of gateways and stand-ins that speak Bedrock's language and fail in OpenAI's or Anthropic's.
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Said)


def decode_error(status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> GatewayError:
    """An answer that is not 2xx, or an error in the place of one; names of headers are in lower case."""
    said = _said_in(body)
    return _error(
        status, headers.get("x-amzn-errortype") or (said.kind if said else "") or "", body, said, headers, deployment
    )


def decode_exception(kind: str, payload: bytes, deployment: Deployment, message: str = "") -> GatewayError:
    """An exception in a stream. message: what a header says, where the payload says nothing."""
    said = _said_in(payload) or _Said()
    if not _words_of(said):
        said.message = message
    return _error(200, kind, payload, said, {}, deployment)


def is_error(body: bytes) -> bool:
    """Whether an answer without content is an error that came with status 200."""
    said = _said_in(body)
    return said is not None and bool(said.kind or _words_of(said))


def _error(
    status: int, kind: str, body: bytes, said: _Said | None, headers: Mapping[str, str], deployment: Deployment
) -> GatewayError:
    # `ValidationException:http://...` in the header, `com.amazon...#ValidationException` in the body.
    kind = kind.partition(":")[0].rpartition("#")[2]
    meant = _STATUS_BY_KIND.get(kind.lower(), _UNKNOWN_STATUS if status < 300 else status)
    words = _words_of(said) if said else ""
    if words:
        body = msgspec.json.encode({"error": {"message": _without_secrets(words, deployment), "type": kind}})
    elif said is not None and said.error is msgspec.UNSET:
        body = msgspec.json.encode({"error": {"message": f"{deployment.provider}: {kind or 'no reason given'}."}})
    error = openai_errors.decode_error(meant, headers, body, deployment)
    error.message = _without_secrets(error.message, deployment)
    error.provider_status = meant if status < 300 else status
    if meant == 400 and _TOO_LONG.search(error.message):
        error.reason = Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED
    return error


def _words_of(said: _Said) -> str:
    return said.message or said.capital_message or said.original_message or ""


def _said_in(body: bytes) -> _Said | None:
    try:
        return _decoder.decode(body)
    except NOT_DECODED:
        return None


def _without_secrets(text: str, deployment: Deployment) -> str:
    text = _SIGNED.sub("", text)
    for name in _SECRET_OPTIONS:
        secret = deployment.options.get(name, "")
        if len(secret) >= 4:
            text = text.replace(secret, _MASK)
    return _KEY_ID.sub(_MASK, text)
