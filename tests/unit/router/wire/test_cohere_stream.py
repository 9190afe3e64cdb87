"""Streams, over those of tests/conformance/wire/cohere/streams and some that are broken."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from gateway.v1 import common_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire import sse
from router.wire.base import StreamEnd
from router.wire.cohere import stream as stream_module
from router.wire.cohere.stream import CohereStream
from services.errors import Reason
from tests.strategies import CUTS, SMALL_TEXT
from tests.streams import DONE, as_values, assert_alike_in_pieces, calls_in, deltas_in, events_in, fed

CASES = Path(__file__).parents[3] / "conformance" / "wire" / "cohere" / "streams"
TEXT = (CASES / "text.sse").read_bytes()
BILLED = common_pb2.TokenUsage(input_tokens=5, output_tokens=3)


@pytest.fixture
def cohere(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="cohere", wire="cohere", provider_model="command-example")


def run(deployment: Deployment, pieces: Iterable[bytes], *, show_usage: bool = False) -> tuple[bytes, StreamEnd]:
    return fed(CohereStream(deployment, show_usage=show_usage, created=7), pieces)


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def message(**members: Any) -> dict[str, Any]:
    return {"message": members}


START = event("message-start", id="m1", delta=message(role="assistant", content=[], tool_calls=[], citations=[]))
USAGE = {"billed_units": {"input_tokens": 5, "output_tokens": 3}}
FINISH = event("message-end", delta={"finish_reason": "COMPLETE", "usage": USAGE})


def text(piece: str, index: int = 0) -> bytes:
    return event("content-delta", index=index, delta=message(content={"text": piece}))


def call_start(index: int, call_id: str, name: str, arguments: str = "") -> bytes:
    function = {"name": name, "arguments": arguments}
    return event("tool-call-start", index=index, delta=message(tool_calls={"id": call_id, "function": function}))


def call_delta(index: int, piece: str) -> bytes:
    return event("tool-call-delta", index=index, delta=message(tool_calls={"function": {"arguments": piece}}))


def test_a_text_stream_in_the_callers_language(cohere: Deployment) -> None:
    out, end = run(cohere, [TEXT])
    assert deltas_in(out) == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {}, {"content": "lo ☺!"}, {}]
    first, _, weighed, *_, last = events_in(out)
    assert first == {
        "id": "29f14a5a",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "command-example",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
    }
    assert weighed["choices"][0]["logprobs"] == {
        "content": [{"token": "Hel", "logprob": -0.5, "bytes": [72, 101, 108], "top_logprobs": []}]
    }
    assert last["choices"][0]["finish_reason"] == "stop"
    assert as_values(end) == (DONE, BILLED, 0, 0, "stop", None)


def test_a_caller_who_asks_is_told_what_was_counted_and_charged_what_is_billed(cohere: Deployment) -> None:
    out, _ = run(cohere, [TEXT])
    shown, end = run(cohere, [TEXT], show_usage=True)
    assert shown.startswith(out)
    (usage,) = events_in(shown[len(out) :])
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (71, 4)
    assert usage["usage"]["prompt_tokens_details"]["cached_tokens"] == 64
    assert (end.usage, end.last) == (BILLED, DONE)


def test_the_plan_is_text_calls_are_numbered_and_empty_arguments_are_an_object(cohere: Deployment) -> None:
    out, end = run(cohere, [(CASES / "tools.sse").read_bytes()])
    assert "".join(delta.get("content", "") for delta in deltas_in(out)) == "I will ask."
    calls = calls_in(out)
    assert calls == [
        {"type": "function", "function": {"arguments": "", "name": "weather"}, "index": 0, "id": "weather_1"},
        {"type": "function", "function": {"arguments": '{"city":'}, "index": 0},
        {"type": "function", "function": {"arguments": ' "Paris"}'}, "index": 0},
        {"type": "function", "function": {"arguments": "", "name": "now"}, "index": 1, "id": "now_2"},
        {"type": "function", "function": {"arguments": "{}"}, "index": 1},
    ]
    assert end.finish_reason == "tool_calls"


def test_calls_in_each_others_midst_and_at_one_place_keep_apart(cohere: Deployment) -> None:
    pieces = [
        START,
        call_delta(7, "of no call"),
        call_start(3, "a", "f"),
        call_start(4, "b", "g", '{"whole":1}'),
        call_delta(3, '{"x":1}'),
        call_start(3, "c", "h"),
        FINISH,
    ]
    out, _ = run(cohere, pieces)
    arguments = {0: "", 1: "", 2: ""}
    for call in calls_in(out):
        arguments[call["index"]] += call["function"]["arguments"]
    assert {at: json.loads(whole) for at, whole in arguments.items()} == {0: {"x": 1}, 1: {"whole": 1}, 2: {}}


def test_thinking_comes_apart_and_citations_follow_what_they_stand_behind(cohere: Deployment) -> None:
    out, end = run(cohere, [(CASES / "thinking-and-citations.sse").read_bytes()])
    deltas = deltas_in(out)
    assert [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta] == ["The facts", " say so."]
    (cited,) = (delta for delta in deltas if "citations" in delta)
    assert [each["url_citation"]["url"] for each in cited["annotations"]] == [
        "source:doc:0",
        "https://example.com/ruby",
    ]
    assert cited["annotations"][0]["url_citation"]["start_index"] == 11
    assert cited["citations"][0]["text"] == "Matz"
    assert end.usage == common_pb2.TokenUsage(input_tokens=30, output_tokens=12, reasoning_tokens=6)


def test_a_citation_behind_a_second_text_counts_from_the_content(cohere: Deployment) -> None:
    def begin(index: int) -> bytes:
        return event("content-start", index=index, delta=message(content={"type": "text", "text": ""}))

    sources = [{"id": "d"}]
    citations = [
        {"start": 0, "end": 1, "content_index": 2, "sources": sources},
        {"start": 0, "end": 1, "sources": sources},
    ]
    cited = [event("citation-start", delta=message(citations=citation)) for citation in citations]
    out, _ = run(cohere, [START, begin(0), text("abc"), begin(2), text("def", 2), *cited, FINISH])
    starts = [each["url_citation"]["start_index"] for delta in deltas_in(out) for each in delta.get("annotations", ())]
    assert starts == [3, 0]


def test_content_begins_with_text_a_thought_a_plan_a_call_or_the_end(cohere: Deployment) -> None:
    nothing = event("content-start", delta=message(content={"type": "text", "text": ""}))
    assert not CohereStream(cohere, show_usage=False, created=7).feed(START + b": keep-alive\n\n" + nothing).has_content
    for first in (
        text("a"),
        event("content-delta", delta=message(content={"thinking": "Hm"})),
        event("tool-plan-delta", delta=message(tool_plan="I")),
        call_start(0, "a", "f"),
        FINISH,
    ):
        assert CohereStream(cohere, show_usage=False, created=7).feed(first).has_content


def test_an_answer_that_broke_off_is_a_failure_that_was_billed(cohere: Deployment) -> None:
    out, end = run(cohere, [(CASES / "error-at-the-end.sse").read_bytes()], show_usage=True)
    assert deltas_in(out)[-1] == {"content": "Hel"}
    assert end.error is not None
    assert end.error.message == "The generation failed."
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert (end.last, end.usage) == (b"", BILLED)


@pytest.mark.parametrize("framed", [b"data: %s\n\n", b"%s"])
def test_an_error_in_place_of_an_event_or_of_a_stream_is_that_error(cohere: Deployment, framed: bytes) -> None:
    body = framed % b'{"id":"1","message":"Something broke"}'
    _, end = run(cohere, [body[:9], body[9:]])
    assert end.error is not None
    assert end.error.message == "Something broke"
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@pytest.mark.parametrize("at", range(0, len(TEXT) - len(DONE), 7))
def test_a_cut_stream_is_an_error_until_its_end_has_come(cohere: Deployment, at: int) -> None:
    _, end = run(cohere, [TEXT[:at]])
    if at >= len(TEXT.removesuffix(DONE).rstrip()):
        assert (end.error, end.usage) == (None, BILLED)
        return
    assert end.error is not None
    assert (end.last, end.usage) == (b"", None)
    assert end.error.reason in (
        Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE,
    )


def test_a_stream_needs_no_terminator_beside_its_end_and_no_final_blank_line(cohere: Deployment) -> None:
    whole, _ = run(cohere, [TEXT], show_usage=True)
    for data in (TEXT.removesuffix(DONE), TEXT.removesuffix(DONE).rstrip()):
        out, end = run(cohere, [data], show_usage=True)
        assert out == whole
        assert (end.last, end.error) == (DONE, None)


def test_done_without_an_end_is_cut_off(cohere: Deployment) -> None:
    _, end = run(cohere, [START, text("a"), DONE])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_other_line_ends_change_nothing(cohere: Deployment, line_end: bytes) -> None:
    assert run(cohere, [b"\xef\xbb\xbf" + TEXT.replace(b"\n", line_end)])[0] == run(cohere, [TEXT])[0]


def test_without_a_count_the_text_is_counted(cohere: Deployment) -> None:
    _, end = run(cohere, [START, text("日本"), event("message-end", delta={"finish_reason": "COMPLETE"})])
    assert (end.usage, end.content_bytes, end.content_events, end.finish_reason) == (None, 6, 1, "stop")


def test_events_of_the_future_and_empty_ones_are_passed_over(cohere: Deployment) -> None:
    kinds = (
        "content-delta",
        "tool-plan-delta",
        "tool-call-start",
        "tool-call-delta",
        "tool-call-end",
        "citation-start",
    )
    empty = [event(kind) for kind in (*kinds, "message-end", "debug", "hologram")]
    out, end = run(cohere, [START, START, *empty, event("citation-start", delta=message(citations=None)), FINISH])
    assert deltas_in(out) == [{"role": "assistant", "content": ""}, {}]
    assert end.error is None


@pytest.mark.parametrize(
    "data", [b"", b"<html></html>", b"data: {\n\n", b'data: {"type":5}\n\n', b"{}", b"data: [DONE]\n\n"]
)
def test_what_is_no_stream_is_an_invalid_response(cohere: Deployment, data: bytes) -> None:
    _, end = run(cohere, [data])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_nothing_follows_the_terminator(cohere: Deployment) -> None:
    stream = CohereStream(cohere, show_usage=False, created=7)
    assert stream.feed(TEXT + TEXT).done
    assert stream.feed(TEXT).out == b""
    assert stream.close().out == b""


def test_what_is_kept_has_a_limit(cohere: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    monkeypatch.setattr(stream_module, "_MAX_BLOCKS", 2)
    blocks = b"".join(event("content-start", index=at) for at in range(3))
    calls = b"".join(call_start(at, "a", "f") for at in range(3))
    for data in (b"data: " + b"x" * 1000, blocks, calls):
        step = CohereStream(cohere, show_usage=False, created=7).feed(START + data)
        assert step.error is not None
        assert step.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


FUNCTION = st.fixed_dictionaries({}, optional={"name": SMALL_TEXT, "arguments": SMALL_TEXT})
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "content": st.fixed_dictionaries({}, optional={"text": SMALL_TEXT, "thinking": SMALL_TEXT}) | st.just([]),
        "tool_plan": SMALL_TEXT,
        "tool_calls": st.fixed_dictionaries({"function": FUNCTION}, optional={"id": SMALL_TEXT}) | st.just([]),
        "citations": st.fixed_dictionaries(
            {"start": st.integers(0, 5), "end": st.integers(0, 5)}, optional={"sources": st.just([{"id": "d"}])}
        ),
    },
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "message": GIVEN,
        "finish_reason": st.sampled_from(["COMPLETE", "TOOL_CALL", "ERROR", "x", 5]),
        "error": SMALL_TEXT,
        "usage": st.just(USAGE),
    },
)
KIND = st.sampled_from(
    [
        "message-start",
        "content-start",
        "content-delta",
        "content-end",
        "tool-plan-delta",
        "tool-call-start",
        "tool-call-delta",
        "tool-call-end",
        "citation-start",
        "message-end",
        "x",
    ]
)
EVENT = st.builds(
    lambda kind, index, delta: event(kind, index=index, delta=delta), KIND, st.integers(0, 2), st.none() | DELTA
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENT, max_size=8), cuts=CUTS)
def test_any_events_split_anyhow_give_the_same_chunks_that_the_sdk_reads(
    cohere: Deployment, events: list[bytes], cuts: list[int]
) -> None:
    assert_alike_in_pieces(lambda pieces: run(cohere, pieces, show_usage=True), b"".join([START, *events]), cuts)
