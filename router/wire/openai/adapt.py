"""A caller's members made into what a host takes, as the quirks of its row say (`router.providers.quirks`).

Members stay raw bytes; one is read only where a quirk speaks of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from router.catalog import Deployment
from router.providers.quirks import Quirks
from router.wire.members import FLAG, not_taken, read
from router.wire.openai.messages import adapt_messages
from router.wire.openai.paths import remove

Members = dict[str, msgspec.Raw]

# Asked of the host by the gateway itself, so never refused: `request.encode` leaves it out where it is dropped.
ASKED_BY_GATEWAY = "stream_options"

# Values that ask for nothing: what OpenAI does when the member is absent.
NEUTRAL: Mapping[str, object] = {
    "frequency_penalty": 0,
    "function_call": "auto",
    "functions": [],
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "response_format": {"type": "text"},
    "service_tier": "auto",
    "stop": [],
    "store": False,
    "temperature": 1,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1,
}

_NULL = msgspec.Raw(b"null")
_names_decoder = msgspec.json.Decoder(list[str] | str)
_any_decoder = msgspec.json.Decoder()
_encode = msgspec.json.encode


def adapt(
    members: Members, given: Mapping[str, msgspec.Raw], deployment: Deployment, passed: Collection[str]
) -> list[str]:
    """Change `members` into what the deployment's host takes; the names of what was left out.

    given: the caller's own body, which may say `drop_params`, `additional_drop_params` and `allowed_openai_params`.
    passed: members of an extra body, which are the host's own words. Raises GatewayError (INVALID_REQUEST) for what the
    host does not take.
    """
    dropped = _drop_in_any_case(members, given, deployment)
    quirks = deployment.quirks
    if quirks is None:
        return dropped
    allowed = {*passed, *deployment.allowed_openai_params, *_names(given, "allowed_openai_params")}
    untaken = [name for name in _untaken(members, quirks) if name not in allowed]
    if untaken and not _drops(given, deployment):
        raise not_taken(deployment.provider, untaken)
    for name in untaken:
        del members[name]
    _set_members(members, quirks, allowed)
    if quirks.messages:
        adapt_messages(members, quirks.messages)
    return dropped + untaken


def _drop_in_any_case(members: Members, given: Mapping[str, msgspec.Raw], deployment: Deployment) -> list[str]:
    paths = dict.fromkeys((*deployment.additional_drop_params, *_names(given, "additional_drop_params")))
    # What admission has reckoned with is no parameter.
    return [path for path in paths if path not in ("model", "messages", "stream") and remove(members, path)]


def _untaken(members: Members, quirks: Quirks) -> list[str]:
    """What the host does not take. What asks for nothing is left out here and now."""
    untaken = []
    for entry in quirks.drop:
        name, _, value = entry.partition("=")
        raw = members.get(name)
        if raw is None or name == ASKED_BY_GATEWAY:
            continue
        asked = _value(raw)
        if value:
            if asked == value and name not in untaken:
                untaken.append(name)
        elif asked is None or (name in NEUTRAL and asked == NEUTRAL[name]):
            del members[name]
        else:
            untaken.append(name)
    return untaken


def _set_members(members: Members, quirks: Quirks, allowed: Collection[str]) -> None:
    for name, words in quirks.values.items():
        asked = _value(members[name]) if name in members else None
        if isinstance(asked, str) and asked in words:
            members[name] = _raw(words[asked])
    for name, (least, greatest) in quirks.clamp.items():
        number = _value(members[name]) if name in members and name not in allowed else None
        if isinstance(number, int | float) and not least <= number <= greatest:
            members[name] = _raw(min(max(number, least), greatest))
    for name, own in quirks.rename.items():
        if name in members and name not in allowed:
            value = members.pop(name)
            if members.get(own, _NULL) == _NULL:
                members[own] = value
    for name, default in quirks.default.items():
        if members.get(name, _NULL) == _NULL:
            members[name] = _raw(default)
    for name, forced in quirks.force.items():
        members[name] = _raw(forced)


def _drops(given: Mapping[str, msgspec.Raw], deployment: Deployment) -> bool:
    asked = given.get("drop_params", _NULL)
    return deployment.drop_params or (asked != _NULL and read(FLAG, asked, "drop_params"))


def _names(given: Mapping[str, msgspec.Raw], member: str) -> list[str]:
    raw = given.get(member, _NULL)
    names = [] if raw == _NULL else read(_names_decoder, raw, member)
    return [names] if isinstance(names, str) else names


def _value(raw: msgspec.Raw) -> object:
    """A member as plain values. What cannot be read is left for the host to refuse."""
    try:
        return _any_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ...


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))
