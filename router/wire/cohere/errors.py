"""What Cohere says when it fails, as a GatewayError.

It speaks in plain texts: `{"message": "..."}`, which OpenAI's wire reads; here is what Cohere alone means by a status,
and by an answer that it did not finish.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.openai import errors as openai_errors
from services.errors import GatewayError, Reason

_BY_STATUS: Mapping[int, Reason] = {
    # "Blocked": the prompt goes against its usage guidelines.
    498: Reason.ERROR_REASON_CONTENT_POLICY_VIOLATION,
    # "Cancelled": by whom it does not say; we did not, or nobody would read this.
    499: Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
}
# "too many tokens" is what it says of a prompt that is too long, and of a limit above the model's.
_LIMIT_TOO_HIGH = re.compile(r"max[_ ]tokens must be less", re.IGNORECASE)

# Answers that broke off, by their finish_reason, and the status that the failure would have had.
_STATUS_BY_FINISH: Mapping[str, int] = {"ERROR": 500, "TIMEOUT": 408}


def decode_error(status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> GatewayError:
    """An answer that is not 2xx; names of headers are in lower case."""
    error = openai_errors.decode_error(status, headers, body, deployment)
    error.reason = _BY_STATUS.get(status, error.reason)
    if error.reason == Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED and _LIMIT_TOO_HIGH.search(error.message):
        error.reason = Reason.ERROR_REASON_PROVIDER_REJECTED
    return error


def decode_stream_error(data: bytes, deployment: Deployment) -> GatewayError:
    """An error that came as an event, or with status 200."""
    return openai_errors.decode_stream_error(data, deployment)


def unfinished(finish_reason: str | None, said: str | None, deployment: Deployment) -> GatewayError | None:
    """The failure of an answer that broke off; None when it came to its end. said: Cohere's words about it."""
    status = _STATUS_BY_FINISH.get(finish_reason or "", 500 if said and not finish_reason else 0)
    if not status:
        return None
    message = said or f"{deployment.provider} broke off its answer ({finish_reason})."
    return decode_error(status, {}, msgspec.json.encode({"message": message}), deployment)
