"""Streams, over those of tests/conformance/wire/anthropic/streams and some that are broken."""

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
from router.wire.anthropic import stream as stream_module
from router.wire.anthropic.stream import MessageStream
from router.wire.base import StreamEnd
from services.errors import Reason
from tests.strategies import CUTS, SMALL_TEXT
from tests.streams import DONE, as_values, assert_alike_in_pieces, calls_in, deltas_in, events_in, fed

CASES = Path(__file__).parents[3] / "conformance" / "wire" / "anthropic" / "streams"
TEXT = (CASES / "text.sse").read_bytes()
USAGE = common_pb2.TokenUsage(input_tokens=135, output_tokens=15, cache_read_tokens=100, cache_write_tokens=10)


@pytest.fixture
def anthropic(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="anthropic", wire="anthropic")


def run(deployment: Deployment, pieces: Iterable[bytes], *, show_usage: bool = False) -> tuple[bytes, StreamEnd]:
    return fed(MessageStream(deployment, show_usage=show_usage, created=7), pieces)


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


START = event("message_start", message={"id": "msg_1", "model": "m", "usage": {"input_tokens": 9, "output_tokens": 1}})
FINISH = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})
STOP = event("message_stop")


def block_start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def block_delta(index: int, **delta: Any) -> bytes:
    return event("content_block_delta", index=index, delta=delta)


def test_a_text_stream_in_the_callers_language(anthropic: Deployment) -> None:
    out, end = run(anthropic, [TEXT])
    assert deltas_in(out) == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo ☺!"}, {}]
    first, *_, last = events_in(out)
    assert first == {
        "id": "msg_01",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "claude-example-4-5-20300101",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
    }
    assert last["choices"][0]["finish_reason"] == "stop"
    assert as_values(end) == (DONE, USAGE, 0, 0, "stop", None)


def test_a_caller_who_asks_for_usage_gets_one_event_more(anthropic: Deployment) -> None:
    out, _ = run(anthropic, [TEXT])
    shown, end = run(anthropic, [TEXT], show_usage=True)
    assert shown.startswith(out)
    (usage,) = events_in(shown[len(out) :])
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (135, 15)
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 100, "cache_creation_tokens": 10}
    assert end.last == DONE


def test_calls_are_numbered_apart_from_blocks_and_empty_arguments_are_an_object(anthropic: Deployment) -> None:
    out, end = run(anthropic, [(CASES / "tools.sse").read_bytes()])
    calls = calls_in(out)
    first = {"type": "function", "function": {"arguments": "", "name": "weather"}, "index": 0, "id": "toolu_1"}
    second = {"type": "function", "function": {"arguments": "", "name": "ping"}, "index": 1, "id": "toolu_2"}
    assert calls == [
        first,
        {"type": "function", "function": {"arguments": '{"city":'}, "index": 0},
        {"type": "function", "function": {"arguments": ' "Paris"}'}, "index": 0},
        second,
        {"type": "function", "function": {"arguments": "{}"}, "index": 1},
    ]
    assert end.finish_reason == "tool_calls"


def test_calls_in_each_others_midst_keep_their_numbers(anthropic: Deployment) -> None:
    pieces = [
        START,
        block_start(0, type="tool_use", id="a", name="f", input={}),
        block_start(1, type="tool_use", id="b", name="g", input={"whole": 1}),
        block_delta(0, type="input_json_delta", partial_json='{"x":1}'),
        FINISH,
    ]
    out, _ = run(anthropic, pieces)
    arguments = {0: "", 1: ""}
    for call in calls_in(out):
        arguments[call["index"]] += call["function"]["arguments"]
    assert {at: json.loads(text) for at, text in arguments.items()} == {0: {"x": 1}, 1: {"whole": 1}}


def test_thinking_comes_in_pieces_and_then_signed_as_a_whole(anthropic: Deployment) -> None:
    out, end = run(anthropic, [(CASES / "thinking.sse").read_bytes()])
    assert deltas_in(out)[1:] == [
        {"reasoning_content": "Hm, "},
        {"reasoning_content": "yes."},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Hm, yes.", "signature": "c2ln"}]},
        {"thinking_blocks": [{"type": "redacted_thinking", "data": "ZGF0YQ=="}]},
        {"content": "42"},
        {},
    ]
    assert end.finish_reason == "length"


def test_citations_follow_the_text_that_they_stand_behind(anthropic: Deployment) -> None:
    out, _ = run(anthropic, [(CASES / "citations.sse").read_bytes()])
    *_, cited, _ = deltas_in(out)
    assert cited["annotations"][0]["url_citation"] == {
        "start_index": 9,
        "end_index": 13,
        "title": "Example",
        "url": "https://example.com",
    }
    assert cited["citations"][0]["type"] == "web_search_result_location"
    assert not any("tool_calls" in delta for delta in deltas_in(out))


def test_a_citation_over_several_lines_stays_one_event(anthropic: Deployment) -> None:
    delta = b'{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{\n"a":1}}}'
    cited = b"data: " + delta.replace(b"\n", b"\ndata: ") + b"\n\n"
    out, _ = run(anthropic, [START, block_start(0, type="text", text=""), cited, FINISH])
    assert deltas_in(out)[1] == {"citations": [{"a": 1}]}


def test_a_refusal_says_why(anthropic: Deployment) -> None:
    out, end = run(anthropic, [(CASES / "refusal.sse").read_bytes()])
    assert deltas_in(out)[-1] == {"refusal": "Not this."}
    assert end.finish_reason == "content_filter"


def test_content_begins_with_text_a_thought_a_call_or_the_end(anthropic: Deployment) -> None:
    stream = MessageStream(anthropic, show_usage=False, created=7)
    assert not stream.feed(START + event("ping") + b": comment\n\n" + block_start(0, type="text", text="")).has_content
    assert stream.feed(block_delta(0, type="text_delta", text="a")).has_content
    for first in (
        block_start(0, type="tool_use", id="a", name="f"),
        block_start(0, type="thinking", thinking="Hm"),
        FINISH,
    ):
        assert MessageStream(anthropic, show_usage=False, created=7).feed(first).has_content


def test_an_error_in_mid_stream_ends_it(anthropic: Deployment) -> None:
    stream = MessageStream(anthropic, show_usage=False, created=7)
    step = stream.feed((CASES / "error-in-mid-stream.sse").read_bytes() + FINISH + STOP)
    assert deltas_in(step.out)[-1] == {"content": "Hel"}
    assert step.error is not None
    assert (step.error.reason, step.error.provider_status) == (Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, 529)
    end = stream.close()
    assert end.error is step.error
    assert (end.last, end.usage, end.content_bytes) == (b"", None, 3)


def test_an_error_after_the_end_of_the_answer_takes_nothing_from_it(anthropic: Deployment) -> None:
    _, end = run(anthropic, [START, FINISH, event("error", error={"type": "api_error", "message": "x"})])
    assert (end.error, end.last, end.finish_reason) == (None, DONE, "stop")


@pytest.mark.parametrize("at", range(0, len(TEXT) - len(b"message_stop") * 4, 7))
def test_a_cut_stream_is_an_error_until_its_end_has_come(anthropic: Deployment, at: int) -> None:
    _, end = run(anthropic, [TEXT[:at]])
    finished = TEXT.index(b"\n\nevent: message_stop")
    if at >= finished:
        assert end.error is None
        assert end.usage == USAGE
        return
    assert end.error is not None
    assert end.last == b""
    # What message_start counts is not what the answer came to.
    assert end.usage is None
    assert end.error.reason in (
        Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE,
    )


def test_a_stream_without_a_terminator_or_its_final_blank_line_is_whole(anthropic: Deployment) -> None:
    whole, _ = run(anthropic, [TEXT], show_usage=True)
    for data in (
        TEXT.rstrip(b"\n"),
        TEXT[: TEXT.index(b"event: message_stop")],
        TEXT[: TEXT.index(b"\n\nevent: message_stop")],
    ):
        out, end = run(anthropic, [data], show_usage=True)
        assert out == whole
        assert (end.last, end.error) == (DONE, None)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_other_line_ends_change_nothing(anthropic: Deployment, line_end: bytes) -> None:
    assert run(anthropic, [b"\xef\xbb\xbf" + TEXT.replace(b"\n", line_end)])[0] == run(anthropic, [TEXT])[0]


def test_the_count_at_the_end_is_the_one_that_holds(anthropic: Deployment) -> None:
    late = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"input_tokens": 50, "output_tokens": 3})
    _, end = run(anthropic, [START, event("message_delta", delta={}, usage={"output_tokens": 2}), late, STOP])
    assert end.usage == common_pb2.TokenUsage(input_tokens=50, output_tokens=3)


def test_without_a_count_the_text_is_counted(anthropic: Deployment) -> None:
    pieces = [
        START,
        block_delta(0, type="text_delta", text="日本"),
        event("message_delta", delta={"stop_reason": "x"}),
        STOP,
    ]
    _, end = run(anthropic, pieces, show_usage=True)
    assert (end.usage, end.content_bytes, end.content_events, end.finish_reason) == (None, 6, 1, "stop")


def test_events_and_blocks_of_the_future_are_passed_over(anthropic: Deployment) -> None:
    news = (
        event("content_block_paused", index=0) + block_start(5, type="hologram", data="x") + block_delta(5, type="ray")
    )
    out, _ = run(anthropic, [START, news, FINISH, STOP])
    assert deltas_in(out) == [{"role": "assistant", "content": ""}, {}]


def test_a_plain_error_in_place_of_a_stream_is_that_error(anthropic: Deployment) -> None:
    body = b'{"type":"error","error":{"type":"authentication_error","message":"no"}}'
    _, end = run(anthropic, [body[:9], body[9:]])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"data: {\n\n", b'data: {"type":5}\n\n', b"{}", STOP])
def test_what_is_no_stream_is_an_invalid_response(anthropic: Deployment, data: bytes) -> None:
    _, end = run(anthropic, [data])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_nothing_follows_the_terminator(anthropic: Deployment) -> None:
    stream = MessageStream(anthropic, show_usage=False, created=7)
    assert stream.feed(TEXT + TEXT).done
    assert stream.feed(TEXT).out == b""
    assert stream.close().out == b""


def test_blocks_that_begin_with_their_text_or_anew_lose_nothing(anthropic: Deployment) -> None:
    pieces = [
        START,
        START,
        event("content_block_start", index=0),
        event("content_block_delta", index=0),
        block_start(0, type="text", text="a"),
        block_start(0, type="tool_use", id="t", name="f", input={}),
        block_start(0, type="thinking", thinking="Hm", signature="s"),
        FINISH,
        STOP,
    ]
    out, end = run(anthropic, pieces)
    assert [delta for delta in deltas_in(out) if "content" in delta] == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
    ]
    arguments = [call["function"]["arguments"] for call in calls_in(out)]
    assert arguments == ["", "{}"]
    assert deltas_in(out)[-2]["thinking_blocks"] == [{"type": "thinking", "thinking": "Hm", "signature": "s"}]
    assert end.error is None


def test_an_event_without_an_end_is_an_invalid_response(anthropic: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    step = MessageStream(anthropic, show_usage=False, created=7).feed(b"data: " + b"x" * 1000)
    assert step.error is not None
    assert step.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_what_is_kept_has_a_limit(anthropic: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.wire.translated._MAX_KEPT_BYTES", 10)
    monkeypatch.setattr(stream_module, "_MAX_OPEN_BLOCKS", 2)
    thought = block_start(0, type="thinking", thinking="") + block_delta(0, type="thinking_delta", thinking="x" * 11)
    blocks = b"".join(block_start(at, type="text", text="") for at in range(3))
    for data in (thought, blocks):
        step = MessageStream(anthropic, show_usage=False, created=7).feed(START + data)
        assert step.error is not None
        assert step.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use", "x"])},
    optional={
        **dict.fromkeys(("text", "thinking", "signature", "data", "id", "name"), SMALL_TEXT),
        "input": st.dictionaries(st.text(max_size=3), st.integers(), max_size=1) | st.none() | st.integers(),
    },
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("text", "thinking", "signature", "partial_json"), SMALL_TEXT),
        "citation": st.dictionaries(st.sampled_from(["url", "title"]), st.text(max_size=4)) | st.integers(),
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "x", 5]),
    },
)
KIND = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "ping",
        "message_stop",
        "error",
        "x",
    ]
)
EVENT = st.builds(
    lambda kind, index, block, delta, usage: event(
        kind, index=index, content_block=block, delta=delta, usage=usage, message={"id": "a"}, error={"message": "e"}
    ),
    KIND,
    st.integers(0, 2),
    BLOCK,
    DELTA,
    st.none() | st.fixed_dictionaries({}, optional={"input_tokens": st.integers(), "output_tokens": st.integers()}),
)
STREAM = st.lists(EVENT | st.binary(max_size=6), max_size=8).map(b"".join)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=STREAM, cuts=CUTS)
def test_any_bytes_in_any_pieces_give_the_same_chunks_that_the_sdk_reads(
    anthropic: Deployment, data: bytes, cuts: list[int]
) -> None:
    assert_alike_in_pieces(lambda pieces: run(anthropic, pieces, show_usage=True), data, cuts)
