"""A caller's Chat Completions body as the request to an OpenAI-compatible host.

The body is decoded one level deep: members stay raw bytes. What the gateway sets or removes is listed here; every
other member keeps its exact bytes and its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from router.catalog import Deployment
from router.wire.base import HttpRequest
from services.errors import GatewayError, Reason

Members = dict[str, msgspec.Raw]

# Members that speak to the gateway; a provider would refuse them, or be told what is none of its business.
GATEWAY_MEMBERS = frozenset(
    (
        "additional_drop_params",
        "allowed_openai_params",
        "api_base",
        "api_key",
        "api_version",
        "base_url",
        "cache",
        "custom_llm_provider",
        "disable_fallbacks",
        "drop_params",
        "extra_body",
        "extra_headers",
        "fallbacks",
        "guardrails",
        "litellm_metadata",
        "litellm_session_id",
        "litellm_trace_id",
        "mock_response",
        "mock_testing_content_policy_fallbacks",
        "mock_testing_context_fallbacks",
        "mock_testing_fallbacks",
        "mock_testing_rate_limit_error",
        "num_retries",
        "tags",
        "timeout",
    )
)

# What admission has reckoned with: no default and no extra body may change it behind the hold's back.
_ADMITTED = frozenset(("model", "messages", "stream", "stream_options", "n"))

_LIMITS = ("max_completion_tokens", "max_tokens")
# Where neither limit is given and one must be imposed. OpenAI's reasoning models refuse `max_tokens`; other hosts may
# not know its successor, and ignore it.
_LIMIT_BY_HOST: Mapping[str, str] = {"api.openai.com": "max_completion_tokens"}
_LIMIT_ELSEWHERE = "max_tokens"

_members_decoder = msgspec.json.Decoder(Members)
_limit_decoder = msgspec.json.Decoder(int | float | None)
_encode = msgspec.json.encode
_TRUE = msgspec.Raw(b"true")
_NULL = msgspec.Raw(b"null")


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST) for what is no JSON object."""
    members = _members_of(body, "request_body")
    extra = members.get("extra_body")
    merged = members
    if not GATEWAY_MEMBERS.isdisjoint(members):
        merged = {name: value for name, value in members.items() if name not in GATEWAY_MEMBERS}
    if "metadata" in merged and members.get("store") != _TRUE:
        # Metadata is the gateway's, but for completions that OpenAI is asked to keep.
        del merged["metadata"]
    if extra is not None and extra != _NULL:
        _add_missing(merged, _members_of(extra, "extra_body"))
    if deployment.defaults:
        _add_missing(merged, _raw(deployment.defaults))
    if deployment.extra_body:
        merged.update(_raw(deployment.extra_body))
    merged["model"] = msgspec.Raw(_encode(deployment.provider_model))
    show_usage = stream and _ask_for_usage(merged)
    if output_tokens_limit:
        _impose_limit(merged, output_tokens_limit, deployment.api_base)
    return HttpRequest(
        method="POST",
        url=f"{deployment.api_base.rstrip('/')}/chat/completions",
        headers=_headers(deployment, stream=stream),
        body=_encode(merged),
        show_usage=show_usage,
    )


def _members_of(body: bytes | msgspec.Raw, param: str) -> Members:
    try:
        return _members_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise GatewayError(
            Reason.ERROR_REASON_INVALID_REQUEST, f"The {param} must be a JSON object.", param=param
        ) from None


def _add_missing(members: Members, others: Mapping[str, msgspec.Raw]) -> None:
    """Add what the caller did not set; null counts as not set, as OpenAI takes it."""
    for name, value in others.items():
        if name not in _ADMITTED and members.get(name, _NULL) == _NULL:
            members[name] = value


def _raw(values: Mapping[str, object]) -> Members:
    return {name: msgspec.Raw(_encode(value)) for name, value in values.items() if name not in _ADMITTED}


def _ask_for_usage(members: Members) -> bool:
    """Have the stream report its usage; whether the caller asked for that too."""
    options: Members = {}
    given = members.get("stream_options")
    if given is not None and given != _NULL:
        options = _members_of(given, "stream_options")
    asked = options.get("include_usage") == _TRUE
    options["include_usage"] = _TRUE
    members["stream_options"] = msgspec.Raw(_encode(options))
    return asked


def _impose_limit(members: Members, limit: int, api_base: str) -> None:
    """No choice longer than `limit`: the lower of it and the caller's own, in the member that the caller used."""
    given = [name for name in _LIMITS if members.get(name, _NULL) != _NULL]
    for name in given:
        if not _is_at_most(members[name], limit):
            members[name] = msgspec.Raw(str(limit).encode())
    if not given:
        name = _LIMIT_BY_HOST.get(urlsplit(api_base).hostname or "", _LIMIT_ELSEWHERE)
        members[name] = msgspec.Raw(str(limit).encode())


def _is_at_most(value: msgspec.Raw, limit: int) -> bool:
    try:
        number = _limit_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return number is not None and 0 < number <= limit


def _headers(deployment: Deployment, *, stream: bool) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
        # A compressed stream could not be forwarded as it comes.
        "accept-encoding": "identity",
        "user-agent": "tollhouse",
    }
    if deployment.api_key:
        headers["authorization"] = f"Bearer {deployment.api_key}"
    if deployment.extra_headers:
        headers.update((name.lower(), value) for name, value in deployment.extra_headers.items())
    return headers
