"""Members of a caller's body that most translating wires read in the same way."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.wire.members import IGNORED, LIMITS, NUMBER, TEXT, Members, invalid


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _JsonSchema(msgspec.Struct):
    schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    name: str | None = None
    strict: bool | None = None


class _GivenFormat(msgspec.Struct):
    """response_schema: LiteLLM's, beside json_object."""

    type: str
    json_schema: _JsonSchema | None = None
    response_schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class ResponseFormat(msgspec.Struct):
    """What form the answer shall have: any JSON object, or, with a schema, JSON that follows it."""

    schema: msgspec.Raw | None = None
    name: str = ""


_stop_decoder = msgspec.json.Decoder(str | list[str])
_stream_options_decoder = msgspec.json.Decoder(_StreamOptions)
_response_format_decoder = msgspec.json.Decoder(_GivenFormat)

_NULL = msgspec.Raw(b"null")


def stop_of(members: Members) -> list[str]:
    """`stop`: what ends the answer; an empty text ends nothing. Raises GatewayError (INVALID_REQUEST), as all of these
    do."""
    given = members.take("stop", _stop_decoder)
    return [text for text in ([given] if isinstance(given, str) else given or []) if text]


def wants_usage(members: Members) -> bool:
    """`stream_options`: whether the caller of a stream wants the event with the usage."""
    options = members.take("stream_options", _stream_options_decoder)
    return options is not None and bool(options.include_usage)


def response_format_of(members: Members) -> ResponseFormat | None:
    """`response_format`; None when any text will do."""
    given = members.take("response_format", _response_format_decoder)
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        beside = given.response_schema
        return ResponseFormat(None if beside is msgspec.UNSET or beside == _NULL else beside)
    if given.type != "json_schema":
        raise invalid("Invalid response_format: it must be text, json_object or json_schema.", "response_format.type")
    found = given.json_schema
    if found is None or found.schema is msgspec.UNSET:
        raise invalid("response_format.json_schema.schema is missing.", "response_format.json_schema.schema")
    return ResponseFormat(found.schema, found.name or "")


def refuse_several_choices(members: Members, provider: str) -> None:
    """`n`, for a provider that gives one answer a call. Dropped, the call costs less than was held."""
    if members.take("n", NUMBER) in (None, 1):
        return
    if not members.drops:
        raise invalid(f"Invalid n: {provider}'s models give one answer a call.", "n")
    members.dropped.append("n")


def ignored_beside(functions: int, ignored: frozenset[str] = IGNORED) -> frozenset[str]:
    """What may be left out without a word, for a provider that cannot be told to make one call at a time: that too,
    where there are not several functions to call."""
    return ignored if functions > 1 else ignored | {"parallel_tool_calls"}


def wants_tier(members: Members) -> bool:
    """`service_tier`, for a provider that has but one: whether the caller asks for another than the usual."""
    return members.take("service_tier", TEXT) not in (None, "auto", "default")


def service_tier_of(members: Members, tiers: Mapping[str, str], provider: str) -> str:
    """`service_tier` in the provider's word; empty: nothing is said, or what it has not is dropped.

    tiers: its words for the callers', empty for what it need not be told.
    """
    given = members.take("service_tier", TEXT)
    if given is None or given in tiers:
        return tiers[given] if given else ""
    if members.drops:
        members.dropped.append("service_tier")
        return ""
    raise invalid(f"Invalid service_tier: {provider} has {', '.join(tiers)}.", "service_tier")


def output_limit_of(members: Members, hold_limit: int, default: int = 0) -> int:
    """The lowest of the caller's limits and the hold's, in tokens; where none is given, `default`. 0: no limit."""
    given = [int(number) for name in LIMITS if (number := _finite(members, name)) is not None]
    if given:
        limit = min(given)
        # The hold pays for no more, and a limit below one, which providers refuse, would not bound anything.
        return hold_limit if hold_limit and not 0 < limit <= hold_limit else limit
    return min(default or hold_limit, hold_limit) if hold_limit else default


def _finite(members: Members, name: str) -> int | float | None:
    number = members.take(name, NUMBER)
    # Beyond this no integer of theirs is meant, and JSON of ours cannot hold it.
    if number is not None and not abs(number) < 2**53:
        raise invalid(f"Invalid {name}: the number is too large.", name)
    return number
