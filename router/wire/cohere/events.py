"""The events of a stream as Cohere writes them: only the members that are read."""

from __future__ import annotations

import msgspec

from router.wire.cohere.answered import TokenLogprobs, Usage
from services.decoding import NOT_DECODED


class GivenContent(msgspec.Struct, gc=False):
    """A block that begins, or a piece of one."""

    text: str | None = None
    thinking: str | None = None


class GivenFunction(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class GivenCall(msgspec.Struct, gc=False):
    """A call that begins, or a piece of its arguments."""

    id: str | None = None
    function: GivenFunction | None = None


# The first event has empty lists where later ones have one thing each.
_Nothing = list[msgspec.Raw] | None


class GivenMessage(msgspec.Struct, gc=False):
    content: GivenContent | _Nothing = None
    tool_plan: str | None = None
    tool_calls: GivenCall | _Nothing = None
    citations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class GivenDelta(msgspec.Struct, gc=False):
    """error: what went wrong, in the last event of an answer that broke off."""

    message: GivenMessage | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: str | None = None


class Event(msgspec.Struct, gc=False):
    """message: of an error, which has no type."""

    type: str = ""
    id: str | None = None
    index: int = 0
    delta: GivenDelta | None = None
    logprobs: TokenLogprobs | None = None
    message: str | None = None


_decoder = msgspec.json.Decoder(Event)


def event_in(data: bytes) -> Event | None:
    """None for what is no event of the Chat API."""
    try:
        return _decoder.decode(data)
    except NOT_DECODED:
        return None
