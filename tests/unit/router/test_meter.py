"""What is counted of a stream, where it is left, and how it is ended."""

from __future__ import annotations

import json
from typing import Any

from gateway.v1 import common_pb2
from hypothesis import given
from hypothesis import strategies as st

from router.meter import BYTES_PER_TOKEN, DONE, Meter

MANY = 10**9
texts = st.lists(st.text(max_size=40), max_size=30)


def event(content: str, index: int = 0, finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": {"content": content}, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def data_of(events: bytes) -> list[Any]:
    return [json.loads(each.removeprefix(b"data: ")) for each in events.split(b"\n\n") if each]


@given(texts)
def test_no_fewer_tokens_are_counted_than_pieces_or_their_bytes_come_to(pieces: list[str]) -> None:
    meter = Meter(1)
    meter.fit(b"".join(map(event, pieces)), MANY)
    assert meter.tokens >= len([piece for piece in pieces if piece])
    assert meter.tokens * BYTES_PER_TOKEN >= sum(len(piece.encode()) for piece in pieces)


@given(texts, st.data())
def test_it_does_not_matter_how_events_are_grouped(pieces: list[str], data: st.DataObject) -> None:
    events = [event(piece) for piece in pieces]
    whole, parts = Meter(1), Meter(1)
    most = data.draw(st.integers(0, 200))
    fitting = whole.fit(b"".join(events), most)
    passed = b""
    while events:
        group = data.draw(st.integers(1, len(events)))
        block, events = b"".join(events[:group]), events[group:]
        fitted = parts.fit(block, most)
        passed += fitted
        if fitted != block:
            break
    assert passed == fitting
    assert parts.tokens == whole.tokens <= most


@given(texts, st.integers(0, 200))
def test_what_fits_is_a_beginning_and_the_next_event_would_not_fit(pieces: list[str], most: int) -> None:
    events = [event(piece) for piece in pieces]
    meter = Meter(1)
    fitted = meter.fit(b"".join(events), most)
    count = fitted.count(b"\n\n")
    assert fitted == b"".join(events[:count])
    if count < len(events):
        assert meter.fit(events[count], most) == b""
        assert meter.fit(events[count], MANY) == events[count]
        assert meter.tokens > most


def test_thoughts_refusals_and_arguments_are_counted_and_roles_are_not() -> None:
    meter = Meter(1)
    meter.fit(b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n', MANY)
    assert meter.tokens == 0
    meter.fit(
        b'data: {"choices":[{"delta":{"reasoning_content":"a"}}]}\n\n'
        b'data: {"choices":[{"delta":{"refusal":"b"}}]}\n\n'
        b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"c"}}]}}]}\n\n',
        MANY,
    )
    assert meter.tokens == 3


def test_only_choices_that_have_not_ended_are_ended_and_look_like_those_before() -> None:
    meter = Meter(3)
    meter.fit(event("a", 0) + event("b", 1) + event("", 1, "stop") + event("c", 2), MANY)
    ended = data_of(meter.ending())
    assert [(each["choices"][0]["index"], each["choices"][0]["finish_reason"]) for each in ended] == [
        (0, "length"),
        (2, "length"),
    ]
    for each in ended:
        assert (each["id"], each["object"], each["created"], each["model"]) == (
            "chatcmpl-1",
            "chat.completion.chunk",
            7,
            "m",
        )


def test_the_usage_is_told_to_a_caller_who_asked() -> None:
    meter = Meter(1)
    meter.fit(event("a"), MANY)
    assert meter.last(None) == DONE
    last = meter.last(common_pb2.TokenUsage(input_tokens=4, output_tokens=5))
    assert last.endswith(DONE)
    (told,) = data_of(last.removesuffix(DONE))
    assert told["choices"] == []
    assert told["usage"] == {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}


@given(st.binary(max_size=300), st.integers(0, 50))
def test_whatever_comes_it_can_be_counted_and_ended(junk: bytes, most: int) -> None:
    meter = Meter(2)
    fitted = meter.fit(junk + b"\n\n", most)
    assert (junk + b"\n\n").startswith(fitted)
    assert meter.ending().endswith(b"\n\n")
    assert meter.last(None) == DONE
