"""A caller's members made into what a host takes, as the quirks of its row say (`router.providers.quirks`).

Members stay raw bytes; one is read only where a quirk speaks of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from router.catalog import Deployment
from router.providers.quirks import Quirks
from router.wire.members import IGNORED, LIMITS, allowed, drops, not_taken, unwanted
from router.wire.openai.messages import adapt_messages
from router.wire.paths import remove
from services.decoding import NOT_DECODED

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
    dropped: list[str] = []
    if deployment.additional_drop_params or "additional_drop_params" in given:
        dropped = [path for path in unwanted(given, deployment) if remove(members, path)]
    quirks = deployment.quirks
    if quirks is None:
        return dropped
    # Most rows have few quirks, and most calls nothing for them to do: what is not there costs a look.
    if quirks.drop or quirks.rename or quirks.clamp:
        spared = {*passed, *allowed(given, deployment)}
        dropped += _drop(members, quirks, spared, given, deployment)
        _rename(members, quirks, spared)
    _set(members, quirks)
    if quirks.messages:
        adapt_messages(members, quirks.messages)
    return dropped


def _drop(
    members: Members,
    quirks: Quirks,
    spared: Collection[str],
    given: Mapping[str, msgspec.Raw],
    deployment: Deployment,
) -> list[str]:
    untaken = _untaken(members, quirks, spared)
    if untaken and not drops(given, deployment):
        raise not_taken(deployment.provider, untaken)
    for name in untaken:
        del members[name]
    return untaken


def _untaken(members: Members, quirks: Quirks, spared: Collection[str]) -> list[str]:
    """What the host does not take. What asks for nothing is left out here and now."""
    untaken: list[str] = []
    for entry in quirks.drop:
        name, _, value = entry.partition("=")
        raw = members.get(name)
        if raw is None or name in spared or name in untaken or name == ASKED_BY_GATEWAY:
            continue
        asked = _value(raw)
        if not value and _asks_for_nothing(name, asked):
            del members[name]
        elif not value or asked == value:
            untaken.append(name)
    return untaken


def _asks_for_nothing(name: str, asked: object) -> bool:
    usual_tier = name == "service_tier" and asked == "default"
    return asked is None or name in IGNORED or usual_tier or (name in NEUTRAL and asked == NEUTRAL[name])


def _rename(members: Members, quirks: Quirks, spared: Collection[str]) -> None:
    """Numbers within bounds, and members under the host's own words for them."""
    for name, (least, greatest) in quirks.clamp.items():
        number = _value(members[name]) if name in members and name not in spared else None
        if isinstance(number, int | float) and not least <= number <= greatest:
            members[name] = _raw(min(max(number, least), greatest))
    for name, own in quirks.rename.items():
        if name in members and name not in spared:
            value = members.pop(name)
            # Of two limits OpenAI, and the hold, go by the newer.
            if members.get(own, _NULL) == _NULL or (name == LIMITS[0] and value != _NULL):
                members[own] = value


def _set(members: Members, quirks: Quirks) -> None:
    for name, words in quirks.values.items():
        asked = _value(members[name]) if name in members else None
        if isinstance(asked, str) and asked in words:
            members[name] = _raw(words[asked])
    for name, default in quirks.default.items():
        if members.get(name, _NULL) == _NULL:
            members[name] = _raw(default)
    for name, forced in quirks.force.items():
        members[name] = _raw(forced)


def _value(raw: msgspec.Raw) -> object:
    """A member as plain values. What cannot be read is left for the host to refuse."""
    try:
        return _any_decoder.decode(raw)
    except NOT_DECODED:
        return ...


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))
