"""The events of a stream as Anthropic writes them: only the members that are read."""

from __future__ import annotations

import msgspec

from router.wire.anthropic.answered import StopDetails, Usage
from router.wire.sse import fields_of
from services.decoding import NOT_DECODED


class GivenBlock(msgspec.Struct, gc=False):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class GivenDelta(msgspec.Struct, gc=False):
    """Of a block (`type` says what it adds), or of the message (`stop_reason`)."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class GivenMessage(msgspec.Struct, gc=False):
    id: str = ""
    model: str = ""
    usage: Usage | None = None


class Event(msgspec.Struct, gc=False):
    type: str
    index: int = 0
    message: GivenMessage | None = None
    content_block: GivenBlock | None = None
    delta: GivenDelta | None = None
    usage: Usage | None = None


_decoder = msgspec.json.Decoder(Event)


def data_of(event: bytes) -> bytes | None:
    """The data of an event; None when it has none (a comment, a keep-alive)."""
    # As Anthropic writes every event: a line with its name, a line with its data.
    at = event.find(b"\n")
    if event.startswith(b"data: ", at + 1) and event.startswith(b"event: ") and event.find(b"\n", at + 1) < 0:
        return event[at + 7 :]
    return fields_of(event).data


def event_in(data: bytes) -> Event | None:
    """None for what is no event of the Messages API."""
    try:
        return _decoder.decode(data)
    except NOT_DECODED:
        return None
