"""A caller's Chat Completions body as the request to an OpenAI-compatible host.

The body is decoded one level deep: members stay raw bytes. What the gateway sets or removes is listed here; every
other member keeps its exact bytes and its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

import msgspec

from router.catalog import Deployment
from router.wire.base import HttpRequest, RequestMembers
from router.wire.http import post
from router.wire.members import ADMITTED, GATEWAY_MEMBERS, LIMITS, stands
from router.wire.openai.adapt import ASKED_BY_GATEWAY, adapt
from services.decoding import NOT_DECODED
from services.errors import GatewayError, Reason

Members = dict[str, msgspec.Raw]

# Where neither limit is given and one must be imposed. OpenAI's reasoning models refuse `max_tokens`; other hosts may
# not know its successor, and ignore it.
_LIMIT_BY_HOST: Mapping[str, str] = {"api.openai.com": "max_completion_tokens"}
_LIMIT_ELSEWHERE = "max_tokens"

_members_decoder = msgspec.json.Decoder(Members)
_limit_decoder = msgspec.json.Decoder(int | float | None)
_encode = msgspec.json.encode
_DROPPED_BY_CALLER = "additional_drop_params"
_TRUE = msgspec.Raw(b"true")
_NULL = msgspec.Raw(b"null")


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST) for what is no JSON object, or asks for what the host does not take."""
    request = chat_request(body, deployment, stream=stream, output_tokens_limit=output_tokens_limit)
    return post(
        deployment.chat_url or f"{deployment.api_base.rstrip('/')}/chat/completions",
        _encode(request.members),
        deployment,
        stream=stream,
        show_usage=request.show_usage,
        dropped=request.dropped,
    )


def chat_request(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> RequestMembers:
    """As `encode`."""
    members = _members_of(body, "request_body")
    extra = members.get("extra_body")
    merged = members
    if not GATEWAY_MEMBERS.isdisjoint(members):
        merged = {name: value for name, value in members.items() if name not in GATEWAY_MEMBERS}
    if "metadata" in merged and members.get("store") != _TRUE:
        # Metadata is the gateway's, but for completions that OpenAI is asked to keep.
        del merged["metadata"]
    passed: set[str] = set()
    if extra is not None and extra != _NULL:
        passed = _add_missing(merged, _members_of(extra, "extra_body"), stands(members))
    if deployment.defaults:
        _add_missing(merged, _raw(deployment.defaults))
    quirks = deployment.quirks
    dropped: list[str] = []
    if quirks is not None or deployment.additional_drop_params or _DROPPED_BY_CALLER in members:
        dropped = adapt(merged, members, deployment, passed)
    if deployment.extra_body:
        merged.update(_raw(deployment.extra_body))
    merged["model"] = msgspec.Raw(_encode(deployment.provider_model))
    show_usage = stream and _ask_for_usage(merged)
    if quirks is not None and ASKED_BY_GATEWAY in quirks.drop:
        merged.pop(ASKED_BY_GATEWAY, None)
    if output_tokens_limit:
        _impose_limit(merged, output_tokens_limit, deployment)
    return RequestMembers(merged, show_usage, tuple(dropped))


def _members_of(body: bytes | msgspec.Raw, param: str) -> Members:
    try:
        return _members_decoder.decode(body)
    except NOT_DECODED:
        raise GatewayError(
            Reason.ERROR_REASON_INVALID_REQUEST, f"The {param} must be a JSON object.", param=param
        ) from None


def _add_missing(members: Members, others: Mapping[str, msgspec.Raw], but: Collection[str] = ADMITTED) -> set[str]:
    """Add what the caller did not set; null counts as not set, as OpenAI takes it. The names of what was added."""
    added = {name for name in others if name not in but and members.get(name, _NULL) == _NULL}
    members.update((name, others[name]) for name in others if name in added)
    return added


def _raw(values: Mapping[str, object]) -> Members:
    return {name: msgspec.Raw(_encode(value)) for name, value in values.items() if name not in ADMITTED}


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


def _impose_limit(members: Members, limit: int, deployment: Deployment) -> None:
    """No choice longer than `limit`: the lower of it and the caller's own, in the member that the caller used."""
    given = [name for name in LIMITS if members.get(name, _NULL) != _NULL]
    for name in given:
        if not _is_at_most(members[name], limit):
            members[name] = msgspec.Raw(str(limit).encode())
    if not given:
        name = _LIMIT_BY_HOST.get(urlsplit(deployment.api_base).hostname or "", _LIMIT_ELSEWHERE)
        if deployment.quirks is not None:
            name = deployment.quirks.rename.get(name, name)
        members[name] = msgspec.Raw(str(limit).encode())


def _is_at_most(value: msgspec.Raw, limit: int) -> bool:
    try:
        number = _limit_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return number is not None and 0 < number <= limit
