"""Streams, over those of tests/conformance/wire/ollama/streams and some that are broken."""

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
from router.wire import ndjson
from router.wire.base import StreamEnd
from router.wire.ollama.stream import OllamaStream
from services.errors import Reason
from tests.strategies import CUTS, SMALL_TEXT
from tests.streams import DONE, as_values, assert_alike_in_pieces, calls_in, deltas_in, events_in, fed

CASES = Path(__file__).parents[3] / "conformance" / "wire" / "ollama" / "streams"
TEXT = (CASES / "text.ndjson").read_bytes()
USAGE = common_pb2.TokenUsage(input_tokens=26, output_tokens=9)


@pytest.fixture
def ollama(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="ollama", wire="ollama", provider_model="example:4b")


def run(deployment: Deployment, pieces: Iterable[bytes], *, show_usage: bool = False) -> tuple[bytes, StreamEnd]:
    return fed(OllamaStream(deployment, show_usage=show_usage, created=7), pieces)


def line(message: object = None, **members: Any) -> bytes:
    given = {"model": "m", "created_at": "2030-01-01T00:00:00.000000001Z", "message": message, "done": False, **members}
    return json.dumps(given).encode() + b"\n"


FINISH = line({"content": ""}, done=True, done_reason="stop", prompt_eval_count=26, eval_count=9)


def test_a_text_stream_in_the_callers_language(ollama: Deployment) -> None:
    out, end = run(ollama, [TEXT])
    assert deltas_in(out) == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo ☺!"}, {}, {}]
    first, _, _, weighed, last = events_in(out)
    assert first.pop("id").startswith("chatcmpl-")
    assert first == {
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "example:4b",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
    }
    assert weighed["choices"][0]["logprobs"] == {
        "content": [{"token": "lo", "logprob": -0.5, "bytes": None, "top_logprobs": []}]
    }
    assert last["choices"][0]["finish_reason"] == "stop"
    assert as_values(end) == (DONE, USAGE, 0, 0, "stop", None)


def test_a_caller_who_asks_for_usage_gets_one_event_more(ollama: Deployment) -> None:
    out, _ = run(ollama, [TEXT])
    shown, end = run(ollama, [TEXT], show_usage=True)
    assert shown.startswith(out)
    (usage,) = events_in(shown[len(out) :])
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (26, 9)
    assert end.last == DONE


def test_calls_are_numbered_by_us_and_come_whole(ollama: Deployment) -> None:
    out, end = run(ollama, [(CASES / "tools.ndjson").read_bytes()])
    calls = calls_in(out)
    assert [(call["index"], call["function"]) for call in calls] == [
        (0, {"arguments": "", "name": "weather"}),
        (0, {"arguments": '{"city":"Paris"}'}),
        (1, {"arguments": "", "name": "weather"}),
        (1, {"arguments": '{"city":"Paris"}'}),
        (2, {"arguments": "", "name": "now"}),
        (2, {"arguments": "{}"}),
    ]
    ids = [call["id"] for call in calls if "id" in call]
    assert len(set(ids)) == 3
    assert ids[2] == "call_own"
    assert {"reasoning_content": "Both."} in deltas_in(out)
    assert end.finish_reason == "tool_calls"


def test_content_begins_with_text_a_thought_a_call_or_the_end(ollama: Deployment) -> None:
    assert not OllamaStream(ollama, show_usage=False, created=7).feed(line({"content": ""})).has_content
    call = {"function": {"name": "f", "arguments": {}}}
    for first in (line({"content": "a"}), line({"thinking": "Hm"}), line({"tool_calls": [call]}), FINISH):
        assert OllamaStream(ollama, show_usage=False, created=7).feed(first).has_content


def test_an_error_in_mid_stream_ends_it(ollama: Deployment) -> None:
    stream = OllamaStream(ollama, show_usage=False, created=7)
    step = stream.feed((CASES / "error-in-mid-stream.ndjson").read_bytes() + FINISH)
    assert deltas_in(step.out)[-1] == {"content": "Hel"}
    assert step.error is not None
    assert step.error.message == "an error was encountered while running the model"
    assert step.error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    end = stream.close()
    assert end.error is step.error
    assert (end.last, end.usage, end.content_bytes) == (b"", None, 3)


@pytest.mark.parametrize("after", [b"", b"\n"])
def test_a_plain_error_in_place_of_a_stream_is_that_error(ollama: Deployment, after: bytes) -> None:
    body = b'{"error":"unauthorized","status":401}' + after
    _, end = run(ollama, [body[:9], body[9:]])
    assert end.error is not None
    assert (end.error.message, end.error.reason) == ("unauthorized", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION)


@pytest.mark.parametrize("at", range(0, len(TEXT), 7))
def test_a_cut_stream_is_an_error_until_its_end_has_come(ollama: Deployment, at: int) -> None:
    _, end = run(ollama, [TEXT[:at]])
    if at >= len(TEXT.rstrip()):
        assert (end.error, end.usage) == (None, USAGE)
        return
    assert end.error is not None
    assert (end.last, end.usage) == (b"", None)
    assert end.error.reason in (
        Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE,
    )


def test_a_last_line_needs_no_end(ollama: Deployment) -> None:
    whole, _ = run(ollama, [TEXT], show_usage=True)
    out, end = run(ollama, [TEXT.rstrip()], show_usage=True)
    assert out == whole
    assert (end.last, end.error) == (DONE, None)


def test_other_line_ends_change_nothing(ollama: Deployment) -> None:
    other = b"\xef\xbb\xbf" + TEXT.replace(b"\n", b"\r\n\r\n")
    assert run(ollama, [other])[0] == run(ollama, [TEXT])[0]


def test_what_comes_with_the_end_is_said_before_it(ollama: Deployment) -> None:
    out, end = run(ollama, [line({"content": "Hi"}, done=True, done_reason="length")])
    assert deltas_in(out) == [{"role": "assistant", "content": ""}, {"content": "Hi"}, {}]
    assert end.finish_reason == "length"


def test_without_a_count_the_text_is_counted(ollama: Deployment) -> None:
    _, end = run(ollama, [line({"content": "日本"}), line(done=True)], show_usage=True)
    assert (end.usage, end.content_bytes, end.content_events, end.finish_reason) == (None, 6, 1, "stop")


def test_lines_that_say_nothing_are_passed_over(ollama: Deployment) -> None:
    out, end = run(ollama, [b"\n{}\n", b'{"status":"loading"}\n', FINISH])
    assert deltas_in(out) == [{"role": "assistant", "content": ""}, {}]
    assert end.error is None


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"{\n", b"[]\n", b'{"message":5}\n', b"{}", b"{}\n"])
def test_what_is_no_stream_is_an_invalid_response(ollama: Deployment, data: bytes) -> None:
    _, end = run(ollama, [data])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_nothing_follows_the_terminator(ollama: Deployment) -> None:
    stream = OllamaStream(ollama, show_usage=False, created=7)
    assert stream.feed(TEXT + TEXT).done
    assert stream.feed(TEXT).out == b""
    assert stream.close().out == b""


def test_a_line_without_an_end_is_an_invalid_response(ollama: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "MAX_LINE_BYTES", 1000)
    step = OllamaStream(ollama, show_usage=False, created=7).feed(b"x" * 1001)
    assert step.error is not None
    assert step.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


CALL = st.fixed_dictionaries(
    {
        "function": st.fixed_dictionaries(
            {"name": st.text(max_size=3)}, optional={"arguments": st.none() | st.text(max_size=4) | st.just({"x": 1})}
        )
    },
    optional={"id": SMALL_TEXT},
)
MESSAGE = st.fixed_dictionaries(
    {}, optional={"content": SMALL_TEXT, "thinking": SMALL_TEXT, "tool_calls": st.none() | st.lists(CALL, max_size=2)}
)
LINE = st.builds(
    lambda message, members: line(message, **members),
    st.none() | MESSAGE,
    st.fixed_dictionaries(
        {},
        optional={
            "done": st.booleans(),
            "done_reason": st.sampled_from(["stop", "length", None, 5]),
            "eval_count": st.integers(-1, 9),
            "error": st.none() | st.text(max_size=3) | st.just({}),
            "created_at": st.text(max_size=3),
        },
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINE, max_size=6), cuts=CUTS)
def test_any_lines_split_anyhow_give_the_same_chunks_that_the_sdk_reads(
    ollama: Deployment, lines: list[bytes], cuts: list[int]
) -> None:
    assert_alike_in_pieces(lambda pieces: run(ollama, pieces, show_usage=True), b"".join(lines), cuts)
