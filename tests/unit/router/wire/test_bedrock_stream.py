"""Streams of Converse, beyond the cases of tests/conformance/wire/bedrock/streams, and some that are broken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from gateway.v1 import common_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire import eventstream
from router.wire.base import HttpRequest, StreamEnd
from router.wire.bedrock import ConverseWire
from router.wire.bedrock import stream as stream_module
from router.wire.bedrock.stream import ConverseStream, _joined
from services.errors import Reason
from tests.aws_events import event, exception, framed, message
from tests.strategies import CUTS, SMALL_TEXT
from tests.streams import DONE, as_values, assert_alike_in_pieces, calls_in, deltas_in, events_in, fed

BEDROCK = Deployment("d1", "g", "bedrock", "converse/us.model-1", "https://host.example", wire="bedrock")

START = event("messageStart", role="assistant", p="abc")
FINISH = event("messageStop", stopReason="end_turn")
USAGE = {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8, "cacheReadInputTokens": 100}
METADATA = event("metadata", usage=USAGE, metrics={"latencyMs": 1})


def block_start(index: int, **start: Any) -> bytes:
    return event("contentBlockStart", contentBlockIndex=index, start=start)


def delta(index: int, **what: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=what)


def block_stop(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


TEXT = START + delta(0, text="Hel") + delta(0, text="lo ☺") + block_stop(0) + FINISH + METADATA


def new(*, show_usage: bool = False) -> ConverseStream:
    return ConverseStream(BEDROCK, show_usage=show_usage, created=7, seed=b"x")


def run(pieces: Iterable[bytes], *, show_usage: bool = False) -> tuple[bytes, StreamEnd]:
    return fed(new(show_usage=show_usage), pieces)


def test_the_tier_that_was_served_stands_beside_the_usage() -> None:
    _, end = run([TEXT.replace(METADATA, event("metadata", usage=USAGE, serviceTier={"type": "priority"}))])
    assert end.usage is not None
    assert end.usage.service_tier == common_pb2.SERVICE_TIER_PRIORITY


def test_a_text_stream_in_the_callers_language() -> None:
    out, end = run([TEXT])
    assert deltas_in(out) == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo ☺"}, {}]
    first, *_, last = events_in(out)
    assert (first["model"], first["created"], first["object"]) == ("us.model-1", 7, "chat.completion.chunk")
    assert last["choices"][0]["finish_reason"] == "stop"
    usage = common_pb2.TokenUsage(input_tokens=105, output_tokens=3, cache_read_tokens=100)
    assert as_values(end) == (DONE, usage, 0, 0, "stop", None)


def test_each_call_has_an_id_of_its_own_on_all_its_chunks() -> None:
    now = iter((1.0, 1.000001))
    wire = ConverseWire(lambda: next(now))
    request = HttpRequest("POST", "https://host.example", {}, b"{}")
    ids = [{each["id"] for each in events_in(wire.stream(request, BEDROCK).feed(TEXT).out)} for _ in range(2)]
    assert [len(each) for each in ids] == [1, 1]
    assert ids[0] != ids[1]


def test_a_caller_who_asks_for_usage_gets_one_event_more() -> None:
    out, _ = run([TEXT])
    shown, end = run([TEXT], show_usage=True)
    (usage,) = events_in(shown[len(out) :])
    assert (usage["choices"], usage["usage"]["prompt_tokens"]) == ([], 105)
    assert end.last == DONE


def test_calls_are_numbered_apart_from_blocks_and_empty_arguments_are_an_object() -> None:
    pieces = [
        START,
        delta(0, text="x"),
        block_stop(0),
        block_start(1, toolUse={"toolUseId": "a", "name": "f"}),
        block_start(2, toolUse={"toolUseId": "b", "name": "g"}),
        delta(2, toolUse={"input": '{"x":'}),
        delta(1, toolUse={"input": ""}),
        delta(2, toolUse={"input": "1}"}),
        block_stop(2),
        event("messageStop", stopReason="tool_use"),
    ]
    out, end = run(pieces)
    calls = calls_in(out)
    assert [(call["index"], call.get("id"), call["function"]) for call in calls] == [
        (0, "a", {"arguments": "", "name": "f"}),
        (1, "b", {"arguments": "", "name": "g"}),
        (1, None, {"arguments": '{"x":'}),
        (1, None, {"arguments": "1}"}),
        (0, None, {"arguments": "{}"}),
    ]
    assert end.finish_reason == "tool_calls"


def test_thinking_comes_in_pieces_and_then_signed_as_a_whole() -> None:
    pieces = [
        START,
        delta(0, reasoningContent={"text": "Hm, "}),
        delta(0, reasoningContent={"text": "yes."}),
        delta(0, reasoningContent={"signature": "c2"}),
        delta(0, reasoningContent={"signature": "ln"}),
        block_stop(0),
        delta(1, reasoningContent={"redactedContent": "ZGF0YQ=="}),
        delta(1, reasoningContent={"redactedContent": "ZGF0YQ=="}),
        block_stop(1),
        delta(2, reasoningContent={"redactedContent": "!"}),
        delta(2, reasoningContent={"redactedContent": "?"}),
        FINISH,
    ]
    assert deltas_in(run(pieces)[0])[1:] == [
        {"reasoning_content": "Hm, "},
        {"reasoning_content": "yes."},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Hm, yes.", "signature": "c2ln"}]},
        # Two pieces of one blob.
        {"thinking_blocks": [{"type": "redacted_thinking", "data": "ZGF0YWRhdGE="}]},
        {"thinking_blocks": [{"type": "redacted_thinking", "data": "!?"}]},
        {},
    ]


def test_citations_follow_the_text_that_they_stand_behind() -> None:
    web = {"title": "Page", "location": {"web": {"url": "https://example.com"}}}
    pieces = [START, delta(0, text="ab"), block_stop(0), delta(1, text="cde"), delta(1, citation=web), FINISH]
    *_, cited, _ = deltas_in(run(pieces)[0])
    assert cited["citations"] == [web]
    assert cited["annotations"][0]["url_citation"] == {
        "start_index": 2,
        "end_index": 5,
        "title": "Page",
        "url": "https://example.com",
    }


def test_content_begins_with_text_a_thought_a_call_or_the_end() -> None:
    assert not new().feed(START + delta(0, text="") + block_stop(0)).has_content
    for first in (
        delta(0, text="a"),
        delta(0, reasoningContent={"text": "Hm"}),
        block_start(0, toolUse={"toolUseId": "a", "name": "f"}),
        FINISH,
    ):
        assert new().feed(first).has_content


def test_an_exception_in_mid_stream_ends_it() -> None:
    stream = new()
    step = stream.feed(START + delta(0, text="Hel") + exception("throttlingException", "Slow down") + FINISH + METADATA)
    assert deltas_in(step.out)[-1] == {"content": "Hel"}
    assert step.error is not None
    assert (step.error.reason, step.error.message) == (Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, "Slow down")
    end = stream.close()
    assert end.error is step.error
    assert (end.last, end.usage, end.content_bytes) == (b"", None, 3)


def test_an_error_that_is_no_exception_of_the_model_ends_it_too() -> None:
    headers = {":message-type": "error", ":error-code": "internalFailure", ":error-message": "Broken"}
    _, end = run([START, message(headers, b"")])
    assert end.error is not None
    assert (end.error.reason, end.error.message) == (Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "Broken")


def test_an_exception_before_anything_is_that_error() -> None:
    _, end = run([exception("validationException", "Input is too long for requested model.")])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED


def test_an_exception_after_the_end_of_the_answer_takes_nothing_from_it() -> None:
    _, end = run([START, FINISH, exception("internalServerException", "x"), METADATA])
    assert (end.error, end.last, end.finish_reason) == (None, DONE, "stop")
    assert end.usage is not None


@pytest.mark.parametrize("at", range(0, len(TEXT), 5))
def test_a_cut_stream_is_an_error_until_its_end_has_come(at: int) -> None:
    _, end = run([TEXT[:at]])
    finished = TEXT.index(METADATA)
    if at >= finished:
        # Only the usage is lost: it is estimated.
        assert (end.error, end.last, end.content_bytes) == (None, DONE, 9)
        return
    assert end.error is not None
    assert (end.last, end.usage) == (b"", None)
    assert end.error.reason in (
        Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE,
    )


def test_a_stream_that_lost_its_end_is_cut_off_even_with_the_usage() -> None:
    _, end = run([START, delta(0, text="a"), METADATA])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    # What was generated is paid for.
    assert end.usage is not None


def test_the_usage_may_come_before_the_end() -> None:
    out, end = run([START, METADATA, delta(0, text="a"), FINISH])
    assert deltas_in(out)[1] == {"content": "a"}
    assert (end.error, end.last) == (None, DONE)


def test_events_and_blocks_of_the_future_are_passed_over() -> None:
    news = event("hologram", x=1) + block_start(5, hologram={"x": 1}) + delta(5, ray="x") + block_stop(5)
    headers = {":message-type": "event", ":event-type": "metadata2"}
    out, end = run([START, news, message(headers, b"no JSON"), framed(b"", b"{}"), FINISH, METADATA])
    assert deltas_in(out) == [{"role": "assistant", "content": ""}, {}]
    assert end.error is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html></html>",
        b'{"message":"no"}',
        b"data: {}\n\n",
        message({":event-type": "messageStart"}, b"{"),
        message({":event-type": "contentBlockDelta"}, b'{"delta":5}'),
        message({":event-type": "messageStop"}, b"[" * 9999),
        METADATA,
        TEXT[:9] + b"x" + TEXT[10:],
    ],
)
def test_what_is_no_stream_is_an_invalid_response(data: bytes) -> None:
    _, end = run([data])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_what_came_before_damaged_bytes_is_kept() -> None:
    whole = START + delta(0, text="Hel") + b"x" * 20
    for pieces in ([whole], [whole[:50], whole[50:]]):
        out, end = run(pieces)
        assert deltas_in(out)[-1] == {"content": "Hel"}
        assert end.error is not None
        assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_nothing_follows_the_terminator() -> None:
    stream = new()
    assert stream.feed(TEXT + TEXT).done
    assert stream.feed(TEXT).out == b""
    assert stream.close().out == b""


def test_a_block_that_begins_anew_ends_the_one_before() -> None:
    pieces = [
        START,
        START,
        block_start(0, toolUse={"toolUseId": "a", "name": "f"}),
        block_start(0, toolUse={"toolUseId": "b", "name": "g"}),
        event("contentBlockDelta", contentBlockIndex=0),
        FINISH,
        FINISH,
    ]
    out, end = run(pieces)
    arguments = [call["function"]["arguments"] for call in calls_in(out)]
    assert arguments == ["", "{}", "", "{}"]
    assert [each for each in deltas_in(out) if "role" in each] == [{"role": "assistant", "content": ""}]
    assert end.error is None


def test_what_is_kept_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.wire.translated._MAX_KEPT_BYTES", 10)
    monkeypatch.setattr(stream_module, "_MAX_OPEN_BLOCKS", 2)
    thought = delta(0, reasoningContent={"text": "x" * 11})
    signature = delta(0, reasoningContent={"signature": "x" * 11})
    cited = delta(0, citation={"title": "x" * 11})
    blocks = b"".join(delta(at, text="x") for at in range(3))
    for data in (thought, signature, cited, blocks):
        step = new().feed(START + data)
        assert step.error is not None
        assert step.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_a_message_without_an_end_is_an_invalid_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventstream, "MAX_MESSAGE_BYTES", 100)
    step = new().feed(delta(0, text="x" * 100)[:20])
    assert step.error is not None
    assert step.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


TOOL = st.fixed_dictionaries(
    {},
    optional={
        "toolUseId": st.text(max_size=3),
        "name": st.sampled_from(["f", "json_tool_call"]),
        "type": st.sampled_from(["server_tool_use", "tool_use"]),
        "input": SMALL_TEXT,
    },
)
WHAT = st.fixed_dictionaries(
    {},
    optional={
        "text": SMALL_TEXT,
        "toolUse": TOOL | st.none(),
        "reasoningContent": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("text", "signature", "redactedContent"), SMALL_TEXT)
        ),
        "citation": st.dictionaries(st.sampled_from(["title", "location"]), SMALL_TEXT, max_size=2) | st.integers(),
    },
)
EVENT = st.one_of(
    st.just(START),
    st.builds(lambda index, tool: block_start(index, toolUse=tool), st.integers(0, 2), TOOL),
    st.builds(lambda index, what: delta(index, **what), st.integers(0, 2), WHAT),
    st.builds(block_stop, st.integers(0, 2)),
    st.builds(
        lambda reason: event("messageStop", stopReason=reason), SMALL_TEXT | st.sampled_from(["tool_use", "end_turn"])
    ),
    st.builds(
        lambda usage: event("metadata", usage=usage),
        st.none() | st.dictionaries(st.sampled_from(["inputTokens", "outputTokens"]), st.integers(), max_size=2),
    ),
    st.builds(exception, st.sampled_from(["throttlingException", "x"]), st.text(max_size=4)),
    st.binary(max_size=6),
)


@settings(max_examples=400, deadline=None)
@given(data=st.lists(EVENT, max_size=8).map(b"".join), cuts=CUTS)
def test_any_bytes_in_any_pieces_give_the_same_chunks_that_the_sdk_reads(data: bytes, cuts: list[int]) -> None:
    assert_alike_in_pieces(lambda pieces: run(pieces, show_usage=True), data, cuts)


@pytest.mark.parametrize(
    ("pieces", "whole"), [(["YQ=="], "YQ=="), (["YQ==", "Yg=="], "YWI="), (["YQ==", "*"], "YQ==*")]
)
def test_hidden_thinking_in_pieces_is_one_blob(pieces: list[str], whole: str) -> None:
    assert _joined(pieces) == whole
