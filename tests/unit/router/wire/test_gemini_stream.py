"""Streams, over those of tests/conformance/wire/gemini/streams and some that are broken."""

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
from router.wire.base import StreamEnd
from router.wire.gemini import cutter as cutter_module
from router.wire.gemini import stream as stream_module
from router.wire.gemini.cutter import StreamCutter
from router.wire.gemini.stream import ContentStream
from services.errors import Reason
from tests.strategies import CUTS
from tests.streams import DONE, as_values, assert_alike_in_pieces, cut, deltas_in, events_in, fed

CASES = Path(__file__).parents[3] / "conformance" / "wire" / "gemini" / "streams"
TEXT = (CASES / "text.sse").read_bytes()
USAGE = common_pb2.TokenUsage(input_tokens=100, output_tokens=5, cache_read_tokens=30, reasoning_tokens=2)
ROLE = {"role": "assistant", "content": ""}


@pytest.fixture
def gemini(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="gemini", wire="gemini")


def run(deployment: Deployment, pieces: Iterable[bytes], *, show_usage: bool = False) -> tuple[bytes, StreamEnd]:
    return fed(ContentStream(deployment, show_usage=show_usage, created=7), pieces)


def of_case(deployment: Deployment, name: str) -> tuple[list[dict[str, Any]], StreamEnd]:
    out, end = run(deployment, [(CASES / name).read_bytes()])
    return deltas_in(out), end


def event(*parts: dict[str, Any], usage: dict[str, Any] | None = None, **members: Any) -> bytes:
    candidate = {"content": {"role": "model", "parts": list(parts)}, **members}
    return f"data: {json.dumps({'candidates': [candidate], 'responseId': 'r', 'usageMetadata': usage})}\n\n".encode()


COUNTED = {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}
START = event({"text": "a"})
FINISH = event({"text": ""}, finishReason="STOP", usage=COUNTED)


def test_a_text_stream_in_the_callers_language(gemini: Deployment) -> None:
    out, end = run(gemini, [TEXT])
    signature = {
        "provider_specific_fields": {"thought_signatures": ["c2ln"]},
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }
    said = [{"content": "Hel"}, {"content": "lo ☺"}, {"content": "!"}]
    assert deltas_in(out) == [ROLE, *said, signature, {}]
    first, *_, last = events_in(out)
    assert first == {
        "id": "resp_01",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "gemini-2.5-example-001",
        "choices": [{"index": 0, "delta": ROLE, "finish_reason": None}],
    }
    assert last["choices"][0]["finish_reason"] == "stop"
    assert as_values(end) == (DONE, USAGE, 0, 0, "stop", None)


def test_a_caller_who_asks_for_usage_gets_one_event_more(gemini: Deployment) -> None:
    out, _ = run(gemini, [TEXT])
    shown, end = run(gemini, [TEXT], show_usage=True)
    assert shown.startswith(out)
    (usage,) = events_in(shown[len(out) :])
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (100, 5)
    assert end.last == DONE


def test_calls_are_numbered_and_empty_arguments_are_an_object(gemini: Deployment) -> None:
    deltas, end = of_case(gemini, "tools.sse")
    assert [call for delta in deltas for call in delta.get("tool_calls", ())] == [
        {
            "type": "function",
            "function": {"arguments": "", "name": "weather"},
            "index": 0,
            "id": "x1",
            "provider_specific_fields": {"thought_signature": "c2ln"},
            "extra_content": {"google": {"thought_signature": "c2ln"}},
        },
        {"type": "function", "function": {"arguments": '{"city": "Paris"}'}, "index": 0},
        {"type": "function", "function": {"arguments": "", "name": "ping"}, "index": 1, "id": "call_resp_01_1"},
        {"type": "function", "function": {"arguments": "{}"}, "index": 1},
    ]
    assert end.finish_reason == "tool_calls"


def test_thoughts_are_no_content(gemini: Deployment) -> None:
    deltas, end = of_case(gemini, "thoughts.sse")
    assert deltas == [ROLE, {"reasoning_content": "Hm, "}, {"reasoning_content": "yes."}, {"content": "42"}, {}]
    assert end.finish_reason == "length"


def test_grounds_are_measured_in_the_whole_text_and_name_earlier_pages(gemini: Deployment) -> None:
    deltas, _ = of_case(gemini, "grounded.sse")
    (cited,) = [delta["annotations"] for delta in deltas if "annotations" in delta]
    assert [each["url_citation"] for each in cited] == [
        {"start_index": 2, "end_index": 7, "title": "A", "url": "https://example.com/a"},
        {"start_index": 2, "end_index": 7, "title": "B", "url": "https://example.com/b"},
    ]
    metadata = [delta["provider_specific_fields"] for delta in deltas if "provider_specific_fields" in delta]
    assert [list(each) for each in metadata] == [["grounding_metadata"], ["grounding_metadata"]]


def test_candidates_are_choices_that_end_each_for_itself(gemini: Deployment) -> None:
    out, end = run(gemini, [(CASES / "candidates.sse").read_bytes()])
    said: dict[int, list[Any]] = {0: [], 1: []}
    for chunk in events_in(out):
        choice = chunk["choices"][0]
        said[choice["index"]].append(choice["finish_reason"] or choice["delta"].get("content"))
    assert said == {0: ["", "a", "stop"], 1: ["", "b", None, None, "tool_calls"]}
    assert end.finish_reason == "stop"


def test_a_stream_is_cut_while_one_of_its_choices_is(gemini: Deployment) -> None:
    data = (CASES / "candidates.sse").read_bytes()
    _, end = run(gemini, [data[: data.rindex(b"data:")]])
    assert end.error is not None
    assert (end.error.reason, end.last) == (Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, b"")


def test_a_blocked_prompt_is_an_answer_that_was_filtered_and_cost_nothing(gemini: Deployment) -> None:
    deltas, end = of_case(gemini, "blocked.sse")
    assert deltas == [ROLE, {"refusal": "No."}]
    assert as_values(end) == (DONE, common_pb2.TokenUsage(), 0, 0, "content_filter", None)


def test_an_answer_that_is_stopped_says_why(gemini: Deployment) -> None:
    deltas, end = of_case(gemini, "refused.sse")
    assert deltas == [ROLE, {"content": "Well"}, {"refusal": "Not this."}]
    assert end.finish_reason == "content_filter"


def test_pictures_sound_and_logprobs(gemini: Deployment) -> None:
    out, _ = run(gemini, [(CASES / "media.sse").read_bytes()])
    assert deltas_in(out)[1:] == [
        {"images": [{"index": 0, "image_url": {"url": "data:image/png;base64,AAAA"}, "type": "image_url"}]},
        {"audio": {"id": "audio_resp_01", "data": "YQ==", "expires_at": 0, "transcript": ""}},
        {},
        {},
    ]
    token = {"token": "a", "logprob": -1.5, "bytes": [97], "top_logprobs": []}
    assert events_in(out)[3]["choices"][0]["logprobs"] == {"content": [token], "refusal": None}


def test_an_array_is_read_as_well(gemini: Deployment) -> None:
    deltas, end = of_case(gemini, "array.json")
    assert deltas == [ROLE, {"content": 'He says: \\"}]{[" '}, {"content": "ok"}, {}]
    assert end.usage == common_pb2.TokenUsage(input_tokens=1, output_tokens=2)


def test_content_begins_with_text_a_thought_a_call_a_picture_or_the_end(gemini: Deployment) -> None:
    stream = ContentStream(gemini, show_usage=False, created=7)
    assert not stream.feed(event({"text": ""}) + b": comment\n\n" + event()).has_content
    assert stream.feed(START).has_content
    for part in (
        {"functionCall": {"name": "f"}},
        {"text": "a", "thought": True},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}},
    ):
        assert ContentStream(gemini, show_usage=False, created=7).feed(event(part)).has_content
    assert ContentStream(gemini, show_usage=False, created=7).feed(FINISH).has_content


def test_an_error_in_mid_stream_ends_it(gemini: Deployment) -> None:
    stream = ContentStream(gemini, show_usage=False, created=7)
    step = stream.feed((CASES / "error-in-mid-stream.sse").read_bytes() + FINISH)
    assert deltas_in(step.out)[-1] == {"content": "Hel"}
    assert step.error is not None
    assert (step.error.reason, step.error.provider_status) == (Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, 503)
    end = stream.close()
    assert end.error is step.error
    assert (end.last, end.usage, end.content_bytes) == (b"", None, 3)


def test_an_error_that_is_no_event_is_one_all_the_same(gemini: Deployment) -> None:
    plain = b'{\n  "error": {\n    "code": 429,\n    "message": "Slow"\n  }\n}'
    for data in (plain, b"[" + plain + b"]", START + plain + b"\n\n", START + plain):
        _, end = run(gemini, [data])
        assert end.error is not None
        assert end.error.reason == Reason.ERROR_REASON_PROVIDER_RATE_LIMITED


def test_an_error_after_the_end_of_the_answer_takes_nothing_from_it(gemini: Deployment) -> None:
    _, end = run(gemini, [START, FINISH, b'data: {"error":{"code":500,"message":"x"}}\n\n'])
    assert (end.error, end.last, end.finish_reason) == (None, DONE, "stop")


@pytest.mark.parametrize("at", range(0, len(TEXT), 7))
def test_a_cut_stream_is_an_error_until_its_end_has_come(gemini: Deployment, at: int) -> None:
    _, end = run(gemini, [TEXT[:at]])
    if at >= len(TEXT) - 4:
        # Without its blank line the last event is whole all the same.
        assert as_values(end) == (DONE, USAGE, 0, 0, "stop", None)
        return
    assert end.error is not None
    # What is counted before the end may not be all of the prompt.
    assert (end.last, end.usage) == (b"", None)
    assert end.error.reason in (
        Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE,
    )


def test_models_that_end_with_every_piece_end_once(gemini: Deployment) -> None:
    pieces = [event({"text": text}, finishReason="STOP", usage=COUNTED) for text in "ab"]
    out, end = run(gemini, [*pieces, event({"functionCall": {"name": "f"}}, finishReason="STOP")])
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in events_in(out)]
    assert reasons == [None] * 5 + ["tool_calls"]
    assert end.finish_reason == "tool_calls"


@pytest.mark.parametrize("line_end", [b"\n", b"\r"])
def test_other_line_ends_and_a_byte_order_mark_change_nothing(gemini: Deployment, line_end: bytes) -> None:
    data = b"\xef\xbb\xbf" + TEXT.replace(b"\r\n", line_end)
    assert run(gemini, [data])[0] == run(gemini, [TEXT])[0]
    assert run(gemini, [data[:1], data[1:2], data[2:]])[0] == run(gemini, [TEXT])[0]


def test_a_terminator_of_a_proxys_is_one(gemini: Deployment) -> None:
    stream = ContentStream(gemini, show_usage=False, created=7)
    assert stream.feed(START + FINISH + b"data: [DONE]\n\n").done
    assert stream.feed(START).out == b""
    end = stream.close()
    assert (end.error, end.last, end.finish_reason) == (None, DONE, "stop")


def test_without_a_count_the_text_is_counted(gemini: Deployment) -> None:
    _, end = run(gemini, [event({"text": "日本"}), event(finishReason="STOP")], show_usage=True)
    assert (end.usage, end.content_bytes, end.content_events) == (None, 6, 1)


def test_counts_that_are_left_out_later_hold_on(gemini: Deployment) -> None:
    late = event(finishReason="STOP", usage={"trafficType": "ON_DEMAND", "candidatesTokenCount": 4})
    _, end = run(gemini, [event({"text": "a"}, usage=COUNTED), late])
    assert end.usage == common_pb2.TokenUsage(input_tokens=9, output_tokens=4)


def test_an_answer_without_a_name_has_ids_all_the_same(gemini: Deployment) -> None:
    out, _ = run(gemini, [event({"functionCall": {"name": "f"}}, finishReason="STOP").replace(b'"r"', b'""')])
    assert deltas_in(out)[1]["tool_calls"][0]["id"] == "call_7_0"


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"data: {\n\n", b'data: {"candidates":5}\n\n', b"{}", b"[]"])
def test_what_is_no_stream_is_an_invalid_response(gemini: Deployment, data: bytes) -> None:
    _, end = run(gemini, [data])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


@pytest.mark.parametrize("index", [-1, 128])
def test_a_choice_that_nobody_can_have_asked_for_is_an_invalid_response(gemini: Deployment, index: int) -> None:
    _, end = run(gemini, [event({"text": "a"}, index=index)])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


@pytest.mark.parametrize("start", [b"data: ", b'[{"a":"', b"\n\n["])
def test_an_event_without_an_end_is_an_invalid_response(
    gemini: Deployment, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr("router.wire.sse.MAX_EVENT_BYTES", 1000)
    monkeypatch.setattr(cutter_module, "MAX_EVENT_BYTES", 1000)
    step = ContentStream(gemini, show_usage=False, created=7).feed(start + b"x" * 1000)
    assert step.error is not None
    assert step.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_what_is_kept_has_a_limit(gemini: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_MAX_KEPT_CHARS", 10)
    step = ContentStream(gemini, show_usage=False, created=7).feed(event({"text": "x" * 11}))
    assert step.error is not None
    assert step.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


OBJECT = st.recursive(
    st.text(max_size=6) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=3), OBJECT, max_size=3), max_size=4)


@settings(max_examples=300, deadline=None)
@given(
    objects=OBJECTS,
    space=st.sampled_from(["", "\n", " \r\n", "\n\n"]),
    indent=st.sampled_from([None, 1]),
    cuts=CUTS,
)
def test_an_array_is_cut_into_its_objects_whatever_the_pieces(
    objects: list[dict[str, Any]], space: str, indent: int | None, cuts: list[int]
) -> None:
    text = space + "[" + f"{space},{space}".join(json.dumps(each, indent=indent) for each in objects) + "]" + space
    sent = text.encode()
    cutter = StreamCutter()
    found = [each for piece in cut(sent, cuts) for each in cutter.feed(piece)]
    assert [json.loads(each) for each in found] == objects
    assert cutter.rest() == b""


PART = st.fixed_dictionaries(
    {},
    optional={
        "text": st.none() | st.text(max_size=5),
        "thought": st.booleans(),
        "thoughtSignature": st.text(max_size=3),
        "functionCall": st.fixed_dictionaries(
            {"name": st.text(max_size=3)}, optional={"args": st.dictionaries(st.text(max_size=3), st.integers())}
        ),
        "inlineData": st.fixed_dictionaries({"mimeType": st.sampled_from(["image/png", "audio/x", "x"])}),
    },
)
EVENT = st.builds(
    lambda parts, members: event(*parts, **members),
    st.lists(PART, max_size=3),
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.integers(0, 2),
            "finishReason": st.sampled_from(["STOP", "SAFETY", "x", None]),
            "finishMessage": st.text(max_size=3),
            "groundingMetadata": st.dictionaries(st.text(max_size=3), st.integers()) | st.integers(),
            "usage": st.dictionaries(st.sampled_from(["promptTokenCount", "candidatesTokenCount"]), st.integers()),
        },
    ),
)
OTHER = st.sampled_from(
    [
        b'data: {"promptFeedback":{"blockReason":"OTHER"}}\n\n',
        b'data: {"error":{"code":500,"message":"x"}}\n\n',
        b"data: [DONE]\n\n",
        b": ping\r\n\r\n",
        b'[{"candidates":[{"finishReason":"STOP"}]},',
    ]
)
STREAM = st.lists(EVENT | OTHER | st.binary(max_size=6), max_size=8).map(b"".join)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=STREAM, cuts=CUTS)
def test_any_bytes_in_any_pieces_give_the_same_chunks_that_the_sdk_reads(
    gemini: Deployment, data: bytes, cuts: list[int]
) -> None:
    assert_alike_in_pieces(lambda pieces: run(gemini, pieces, show_usage=True), data, cuts)
