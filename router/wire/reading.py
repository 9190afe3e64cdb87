"""Bodies of the operations that only read (embeddings, rerank), where callers and host speak the same language.

Members stay raw bytes, as those of chats do (`router.wire.openai.request`); what differs is who owns which.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.base import HttpRequest
from router.wire.http import post
from router.wire.members import GATEWAY_MEMBERS, RAWS, read
from router.wire.openai.adapt import adapt

Raws = dict[str, msgspec.Raw]

# What admission has reckoned with: no extra body may change it behind the hold's back.
_RECKONED = frozenset(("model", "input", "query", "documents"))

_NULL = msgspec.Raw(b"null")
_encode = msgspec.json.encode


def members_of(body: bytes, deployment: Deployment) -> tuple[Raws, Raws, set[str]]:
    """The members that are to be sent, those of the caller's own body, and the names of what is the host's own word.

    Raises GatewayError (INVALID_REQUEST) for what is no JSON object.
    """
    given = read(RAWS, body, "request_body")
    members = {name: raw for name, raw in given.items() if name not in GATEWAY_MEMBERS and name != "metadata"}
    passed: set[str] = set()
    extra = given.get("extra_body", _NULL)
    if extra != _NULL:
        others = read(RAWS, extra, "extra_body")
        passed = _add_missing(members, others)
    _add_missing(members, _raws(deployment.defaults))
    return members, given, passed


def request_of(members: Raws, given: Raws, passed: set[str], deployment: Deployment) -> HttpRequest:
    """The request with these members, as the host takes them. Raises GatewayError (INVALID_REQUEST)."""
    dropped = adapted(members, given, passed, deployment)
    members["model"] = msgspec.Raw(_encode(deployment.provider_model))
    return post(deployment.chat_url, _encode(members), deployment, stream=False, dropped=dropped)


def adapted(members: Raws, given: Raws, passed: set[str], deployment: Deployment) -> tuple[str, ...]:
    """Change the members into what the host takes; what is dropped. Raises GatewayError (INVALID_REQUEST)."""
    dropped = adapt(members, given, deployment, passed)
    members.update(_raws(deployment.extra_body))
    return tuple(dropped)


def is_given(raw: msgspec.Raw | None) -> bool:
    """Whether a member says something."""
    return raw is not None and raw != _NULL


def _add_missing(members: Raws, others: Mapping[str, msgspec.Raw]) -> set[str]:
    """Add what is not set yet; null counts as not set. The names of what was added."""
    added = {name for name in others if name not in _RECKONED and members.get(name, _NULL) == _NULL}
    members.update((name, others[name]) for name in added)
    return added


def _raws(values: Mapping[str, object]) -> Raws:
    return {name: msgspec.Raw(_encode(value)) for name, value in values.items() if name not in _RECKONED}
