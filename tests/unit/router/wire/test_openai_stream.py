from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway.v1 import common_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.base import StreamEnd
from router.wire.openai.stream import ChatStream
from router.wire.sse import MAX_EVENT_BYTES
from services.errors import Reason
from tests.strategies import CUTS
from tests.streams import DONE, as_values, assert_alike_in_pieces, fed

CASES = Path(__file__).parents[3] / "conformance" / "wire" / "openai"
TEXT = (CASES / "text.sse").read_bytes()


def run(deployment: Deployment, chunks: list[bytes], *, show_usage: bool = False) -> tuple[bytes, StreamEnd]:
    return fed(ChatStream(deployment, show_usage=show_usage), chunks)


def events_of(data: bytes) -> list[Any]:
    """The events as a client of the standard sees them: JSON values, `[DONE]` as text."""
    text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
    values = []
    for event in text.split("\n\n"):
        payload = "\n".join(line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:"))
        if payload:
            values.append("[DONE]" if payload == "[DONE]" else json.loads(payload))
    return values


def chunk(content: str | None = None, finish: str | None = None, **members: Any) -> bytes:
    choices = [{"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **members}).encode() + b"\n\n"


def test_a_text_stream_reaches_the_caller_but_for_the_usage_event_and_the_terminator(deployment: Deployment) -> None:
    out, end = run(deployment, [TEXT])
    assert events_of(out) == [event for event in events_of(TEXT)[:-1] if event["choices"]]
    assert end.last == DONE
    assert end.error is None
    assert end.finish_reason == "stop"
    assert end.usage == common_pb2.TokenUsage(input_tokens=19, output_tokens=5, cache_read_tokens=8, reasoning_tokens=2)


def test_the_tier_that_was_served_is_part_of_the_usage(deployment: Deployment) -> None:
    """OpenAI tells it in every chunk; the last word counts."""
    counted = chunk(usage={"prompt_tokens": 3, "completion_tokens": 4}, service_tier="flex")
    events = [chunk("a", service_tier="auto"), chunk(finish="stop", service_tier="flex"), counted, DONE]
    _, end = run(deployment, events)
    assert end.usage is not None
    assert end.usage.service_tier == common_pb2.SERVICE_TIER_FLEX


def test_a_caller_who_asks_for_usage_gets_every_byte(deployment: Deployment) -> None:
    out, end = run(deployment, [TEXT], show_usage=True)
    assert out + end.last == TEXT


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.glob("*.sse")))
def test_every_split_in_two_gives_the_same(deployment: Deployment, name: str) -> None:
    data = (CASES / name).read_bytes()
    out, end = run(deployment, [data])
    for at in range(len(data)):
        split_out, split_end = run(deployment, [data[:at], data[at:]])
        assert split_out == out, at
        assert as_values(split_end) == as_values(end), at


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_other_line_ends_change_nothing(deployment: Deployment, line_end: bytes) -> None:
    assert run(deployment, [TEXT.replace(b"\n", line_end)])[0] == run(deployment, [TEXT])[0]


def test_content_begins_with_text_not_with_the_role(deployment: Deployment) -> None:
    stream = ChatStream(deployment, show_usage=False)
    events = TEXT.split(b"\n\n")
    assert not stream.feed(b": keep-alive\n\n" + events[0] + b"\n\n").has_content
    assert stream.feed(events[1] + b"\n\n").has_content


def test_an_empty_answer_begins_with_its_end(deployment: Deployment) -> None:
    stream = ChatStream(deployment, show_usage=False)
    assert stream.feed(chunk(finish="stop")).has_content


def test_generated_text_is_counted_without_its_json(deployment: Deployment) -> None:
    pieces = ['a "quoted" piece', "\\", "日本", '{"usage": {"x": 1}}', "[DONE]", "plain"]
    _, end = run(deployment, [chunk(piece) for piece in pieces])
    assert end.content_bytes == sum(len(json.dumps(piece)) - 2 for piece in pieces)
    assert end.content_events == len(pieces)


def test_a_long_stream_is_counted_as_it_goes(deployment: Deployment) -> None:
    stream = ChatStream(deployment, show_usage=False)
    for _ in range(2_000):
        stream.feed(chunk("12345678"))
    assert sum(map(len, stream._uncounted)) < 64 * 1024
    assert stream.close().content_bytes == 16_000


def test_tool_calls_and_reasoning_are_generated_text_too(deployment: Deployment) -> None:
    tools = (CASES / "tools.sse").read_bytes()
    _, end = run(deployment, [tools[: tools.index(b'"finish_reason":"tool_calls"')]])
    assert end.content_bytes == len(json.dumps('{"city":"Paris"}')) - 2
    reasoning = b'data: {"choices":[{"delta":{"reasoning_content":"hmm"}}]}\n\n'
    stream = ChatStream(deployment, show_usage=False)
    assert stream.feed(reasoning).has_content
    assert stream.close().content_bytes == 3


def test_without_a_terminator_a_finished_stream_is_whole(deployment: Deployment) -> None:
    out, end = run(deployment, [TEXT.removesuffix(DONE)])
    assert end.error is None
    assert out == run(deployment, [TEXT])[0]
    assert end.last == DONE


def test_a_missing_final_line_end_loses_nothing(deployment: Deployment) -> None:
    assert run(deployment, [TEXT.removesuffix(DONE).rstrip(b"\n")])[1].usage is not None
    assert run(deployment, [TEXT.rstrip(b"\n")])[1].last == DONE


def test_a_stream_cut_off_anywhere_before_its_finish_is_an_error(deployment: Deployment) -> None:
    """And what has been forwarded until then is whole events, nothing else."""
    for cut in range(TEXT.index(b'"finish_reason":"stop"')):
        out, end = run(deployment, [TEXT[:cut]])
        assert end.error is not None
        assert end.last == b""
        assert TEXT.startswith(out)
        assert not out or out.endswith(b"\n\n")


def test_a_stream_cut_off_after_its_finish_is_whole(deployment: Deployment) -> None:
    _, end = run(deployment, [TEXT[: TEXT.index(b'"prompt_tokens"')]])
    assert end.error is None
    assert end.usage is None


def test_an_error_in_mid_stream_ends_it_after_what_came_before(deployment: Deployment) -> None:
    out, end = run(deployment, [(CASES / "error-in-mid-stream.sse").read_bytes() + chunk("never")])
    assert [event["choices"][0]["delta"].get("content") for event in events_of(out)] == ["", "Hel"]
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert end.error.message == "The server had an error while processing your request."
    assert end.last == b""


@pytest.mark.parametrize("show_usage", [False, True])
def test_an_error_after_the_end_is_no_error_and_its_usage_is_told(deployment: Deployment, show_usage: bool) -> None:
    """So OpenRouter ends an answer that the limit has cut off."""
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    late = chunk(finish="length", error={"message": "limit", "code": 502}, usage=usage, id="g")
    out, end = run(deployment, [chunk("a"), chunk(finish="length"), late, DONE], show_usage=show_usage)
    assert (end.error, end.finish_reason) == (None, "length")
    assert events_of(out)[2:] == ([{"choices": [], "usage": usage, "id": "g"}] if show_usage else [])


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (b'data: {"error": {"message": "slow down", "code": 429}}', Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        (b'data: {"error": {"message": "x", "code": "insufficient_quota"}}', Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        (b'data: {"error": "boom"}', Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (b'event: error\ndata: {"message": "boom"}', Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (b'data: {"object": "error", "message": "m", "code": 400}', Reason.ERROR_REASON_PROVIDER_REJECTED),
        (b"data: {not json", Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE),
        (b"data: 7", Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE),
    ],
)
def test_errors_in_a_stream_have_a_reason(deployment: Deployment, event: bytes, reason: Reason) -> None:
    _, end = run(deployment, [event + b"\n\n"])
    assert end.error is not None
    assert end.error.reason == reason


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"{}", b'data: {"choices": []}\n\ndata: [DONE]\n\n', DONE])
def test_what_has_no_choices_is_no_answer(deployment: Deployment, body: bytes) -> None:
    _out, end = run(deployment, [body])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_an_error_in_plain_json_where_a_stream_was_asked_for_is_told(deployment: Deployment) -> None:
    _, end = run(deployment, [b'{"error": {"message": "no', b' capacity", "code": 503}}'])
    assert end.error is not None
    assert (end.error.reason, end.error.message) == (Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "no capacity")


FRAGMENTS = st.sampled_from([b'data: {"', b"choices", b'":[{', b'"delta":', b"[DONE]", b"\n\n", b"\xff"])


@given(data=st.lists(FRAGMENTS).map(b"".join), cuts=CUTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_makes_it_raise(deployment: Deployment, data: bytes, cuts: list[int]) -> None:
    assert_alike_in_pieces(lambda pieces: run(deployment, pieces), data, cuts, as_it_came=True)


def test_text_that_never_closes_its_quotes_costs_no_time(deployment: Deployment) -> None:
    stream = ChatStream(deployment, show_usage=False)
    stream.feed(chunk("a"))
    stream.feed(b'data: {"content": "' + (b"\\\\" + b"a" * 99) * 3_000 + b"\n\n")
    stream.close()


def test_recorded_streams_reach_the_caller_whole(deployment: Deployment, exchanges: Callable[..., Any]) -> None:
    """Every recorded stream: each event but the usage-only one arrives, once, in order; tokens are as expected."""
    for exchange in exchanges(stream=True, ok=True):
        data = exchange["response"]["body"].encode()
        out, end = run(deployment, [data])
        assert end.error is None, exchange["id"]
        wanted = [event for event in events_of(data) if event != "[DONE]"]
        kept = [event for event in wanted if (event.get("choices") or not event.get("usage")) and "error" not in event]
        assert events_of(out) == kept, exchange["id"]
        for name, tokens in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")):
            expect = exchange.get("expect", {})
            if name in expect:
                acceptable = expect.get(f"{name}_any", [expect[name]])
                assert getattr(end.usage, tokens) in acceptable, (exchange["id"], end.usage)


@given(seed=st.integers(0, 10_000), size=st.integers(20, 500))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_recorded_streams_do_not_mind_how_they_are_split(
    deployment: Deployment, exchanges: Callable[..., Any], seed: int, size: int
) -> None:
    chance = random.Random(seed)
    for exchange in chance.sample(exchanges(stream=True, ok=True), 5):
        data = exchange["response"]["body"].encode()
        places = [0]
        while places[-1] < len(data):
            places.append(places[-1] + chance.randint(1, size))
        assert_alike_in_pieces(lambda pieces: run(deployment, pieces), data, places[:-1], as_it_came=True)


def test_nothing_is_read_after_the_terminator(deployment: Deployment) -> None:
    stream = ChatStream(deployment, show_usage=True)
    assert stream.feed(chunk("a", "stop") + DONE).done
    step = stream.feed(chunk("b"))
    assert (step.out, step.done) == (b"", True)


def test_an_event_without_an_end_is_an_invalid_response(deployment: Deployment) -> None:
    stream = ChatStream(deployment, show_usage=True)
    stream.feed(chunk("a"))
    error = stream.feed(b"data: " + b"a" * (MAX_EVENT_BYTES + 1)).error
    assert error is not None
    assert error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
    assert stream.feed(chunk("b")).error is error
    assert stream.close().error is error
