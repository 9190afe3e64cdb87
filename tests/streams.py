"""What the tests of streams share: how one is fed, what a caller reads in it, and that its pieces do not matter."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

from openai.types.chat import ChatCompletionChunk

from router.wire.base import StreamDecoder, StreamEnd

DONE = b"data: [DONE]\n\n"

# A whole stream from its pieces: what the caller was sent but for the terminator, and what it came to.
Run = Callable[[list[bytes]], tuple[bytes, StreamEnd]]


def fed(stream: StreamDecoder, pieces: Iterable[bytes]) -> tuple[bytes, StreamEnd]:
    """Feed a stream as the engine does: no further than an error or the terminator."""
    out = b""
    for piece in pieces:
        step = stream.feed(piece)
        out += step.out
        if step.done or step.error is not None:
            break
    end = stream.close()
    return out + end.out, end


def events_in(out: bytes) -> list[dict[str, Any]]:
    """The events that a caller is sent."""
    return [json.loads(event.removeprefix("data: ")) for event in out.decode().split("\n\n") if event]


def deltas_in(out: bytes) -> list[dict[str, Any]]:
    """What each event adds to its first choice."""
    return [event["choices"][0]["delta"] for event in events_in(out) if event["choices"]]


def calls_in(out: bytes) -> list[dict[str, Any]]:
    """The pieces of tool calls, in their order."""
    return [call for delta in deltas_in(out) for call in delta.get("tool_calls", ())]


def as_values(end: StreamEnd) -> tuple[object, ...]:
    """What can be compared of an end: two errors are never equal."""
    error = (end.error.reason, end.error.message, end.error.provider_status) if end.error else None
    return (end.last, end.usage, end.content_bytes, end.content_events, end.finish_reason, error)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The same bytes in pieces. A place beyond the end is one within, counted on from the beginning."""
    within = sorted(place % (len(data) + 1) for place in places)
    return [data[start:stop] for start, stop in itertools.pairwise([0, *within, len(data)])]


def assert_alike_in_pieces(run: Run, data: bytes, cuts: list[int], *, as_it_came: bool = False) -> StreamEnd:
    """Bytes that are cut at some places come to the same as when they are whole, and the SDK reads what comes out.

    as_it_came: events are passed on unread, so that only their sameness can be promised. Returns what it came to.
    """
    whole, end = run([data])
    out, end_of_pieces = run(cut(data, cuts))
    assert out == whole
    assert as_values(end_of_pieces) == as_values(end)
    if not as_it_came:
        for event in events_in(whole):
            ChatCompletionChunk.model_validate_json(json.dumps(event), strict=True)
    return end


def assert_alike_in_halves(run: Run, data: bytes, *, step: int = 1) -> None:
    """Every split in two, or every step-th, comes to the same."""
    out, end = run([data])
    for at in range(0, len(data), step):
        split_out, split_end = run([data[:at], data[at:]])
        assert split_out == out, at
        assert as_values(split_end) == as_values(end), at
