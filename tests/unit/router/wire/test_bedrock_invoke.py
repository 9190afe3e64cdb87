"""InvokeModel: whose language a model speaks, and what its envelope does to a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from gateway.v1 import common_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.base import HttpRequest, StreamEnd
from router.wire.bedrock.invoke import InvokeWire
from services.errors import GatewayError, Reason
from tests.aws_events import chunk, event, exception, message
from tests.strategies import CUTS, JSON
from tests.streams import DONE, as_values, assert_alike_in_pieces, events_in, fed

wire = InvokeWire(lambda: 7.5)
HI = [{"role": "user", "content": "Hi"}]
# One of each language.
CLAUDE, NOVA, CHAT, LLAMA = "anthropic.claude-example-4-5", "amazon.nova-x", "openai.gpt-oss-x", "meta.llama3-x"
MODELS = (CLAUDE, NOVA, CHAT, LLAMA, "cohere.command-r-x", "amazon.titan-text-x")
METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 10, "outputTokenCount": 5}}


def bedrock(model: str) -> Deployment:
    return Deployment(
        "d1", "g", "bedrock", f"invoke/{model}", "https://host.example", wire="bedrock_invoke", auth="aws"
    )


def encoded(caller: dict[str, Any], model: str, *, stream: bool = False, limit: int = 0) -> HttpRequest:
    return wire.encode(json.dumps(caller).encode(), bedrock(model), stream=stream, output_tokens_limit=limit)


def sent(caller: dict[str, Any], model: str, limit: int = 0) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encoded(caller, model, limit=limit).body)
    return body


def run(model: str, pieces: Iterable[bytes]) -> tuple[bytes, StreamEnd]:
    return fed(wire.stream(HttpRequest("POST", "", {}, b"", show_usage=True), bedrock(model)), pieces)


def chunk_of(**members: Any) -> bytes:
    return chunk(json.dumps(members).encode())


def chat_chunk(choice: dict[str, Any], **others: Any) -> bytes:
    object_name = "chat.completion.chunk"
    return chunk_of(id="c", object=object_name, created=1, model="m", choices=[{"index": 0, **choice}], **others)


STREAMS = {
    CLAUDE: [
        chunk_of(type="message_start", message={"id": "m", "model": "c", "usage": {"input_tokens": 10}}),
        chunk_of(type="content_block_delta", index=0, delta={"text": "Hi"}),
        chunk_of(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
        chunk_of(type="message_stop", **METRICS),
    ],
    NOVA: [
        chunk_of(messageStart={"role": "assistant"}),
        chunk_of(contentBlockDelta={"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
        chunk_of(messageStop={"stopReason": "end_turn"}),
        chunk_of(metadata={"usage": {"inputTokens": 10, "outputTokens": 5}}, **METRICS),
    ],
    CHAT: [
        chat_chunk({"delta": {"content": "Hi"}}),
        chat_chunk({"delta": {}, "finish_reason": "stop"}, **METRICS),
    ],
    LLAMA: [
        chunk_of(generation="H", prompt_token_count=10, generation_token_count=1, stop_reason=None),
        chunk_of(generation="i", generation_token_count=2, stop_reason="stop", **METRICS),
    ],
}


@pytest.mark.parametrize("model", STREAMS)
def test_a_stream_in_any_language_tells_its_text_and_its_usage(model: str) -> None:
    out, end = run(model, STREAMS[model])
    text = "".join(each["choices"][0]["delta"].get("content") or "" for each in events_in(out) if each["choices"])
    assert text == "Hi"
    assert (end.finish_reason, end.error, end.last) == ("stop", None, DONE)
    assert end.usage == common_pb2.TokenUsage(input_tokens=10, output_tokens=5)
    assert events_in(out)[-1]["usage"]["prompt_tokens"] == 10


@pytest.mark.parametrize("model", STREAMS)
def test_an_exception_in_mid_stream_ends_it_in_any_language(model: str) -> None:
    failing = [*STREAMS[model][: -1 if model in (CHAT, LLAMA) else 2], exception("throttlingException", "Slow down")]
    out, end = run(model, [*failing, *STREAMS[model]])
    assert end.error is not None
    assert (end.error.reason, end.error.message, end.last) == (
        Reason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "Slow down",
        b"",
    )
    assert run(model, [b"".join(failing)])[0] == out


@pytest.mark.parametrize("model", STREAMS)
def test_an_exception_after_the_end_of_the_answer_takes_nothing_from_it(model: str) -> None:
    answered = STREAMS[model][: 3 if model in (CLAUDE, NOVA) else 2]
    late = exception("internalServerException", "x")
    expected = run(model, answered)
    for pieces in ([*answered, late], [b"".join(answered) + late]):
        out, end = run(model, pieces)
        assert out == expected[0]
        assert as_values(end) == as_values(expected[1])
    assert expected[1].error is None


@pytest.mark.parametrize("model", STREAMS)
def test_a_cut_or_damaged_stream_is_an_error_in_any_language(model: str) -> None:
    first, second, *_ = STREAMS[model]
    for data in (first, first + second[:20], first + b"x" * 20, first + event("chunk", bytes="!"), b"", b"<html>"):
        _, end = run(model, [data])
        assert end.error is not None
        assert end.last == b""


@pytest.mark.parametrize("model", STREAMS)
def test_messages_that_are_no_chunks_are_passed_over(model: str) -> None:
    other = message({":event-type": "ping", ":message-type": "event"}, b"x")
    assert run(model, [other, *STREAMS[model], other]) == run(model, STREAMS[model])


def test_nothing_follows_the_terminator() -> None:
    stream = wire.stream(HttpRequest("POST", "", {}, b""), bedrock(CLAUDE))
    whole = b"".join(STREAMS[CLAUDE])
    assert stream.feed(whole + whole).done
    assert stream.feed(whole).out == b""
    assert stream.close().error is None


def test_an_event_over_several_lines_is_one() -> None:
    broken = chunk(b'{"type":\n"content_block_delta","index":0,\r\n"delta":{"text":"Hi"}}')
    first, _, *rest = STREAMS[CLAUDE]
    assert run(CLAUDE, [first, broken, *rest]) == run(CLAUDE, STREAMS[CLAUDE])


@pytest.mark.parametrize("model", [NOVA, LLAMA])
def test_an_event_that_is_no_json_is_an_invalid_response(model: str) -> None:
    _, end = run(model, [STREAMS[model][0], chunk(b"no JSON")])
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_usage_of_the_models_own_is_not_counted_again() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    first, last = STREAMS[CHAT]
    own = chunk_of(object="chat.completion.chunk", choices=[], usage=usage, **METRICS)
    _, end = run(CHAT, [first, last, own])
    assert end.usage == common_pb2.TokenUsage(input_tokens=3, output_tokens=2)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (CLAUDE, CLAUDE),
        (f"us-east-1/global.{CLAUDE}-v1:0", f"global.{CLAUDE}-v1%3A0"),
        (f"arn:aws:bedrock:us-east-1:1:inference-profile/us.{CLAUDE}", None),
    ],
)
def test_the_address_says_the_model_and_whether_it_streams(model: str, path: str | None) -> None:
    path = path or f"arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.{CLAUDE}"
    asked = encoded({"messages": HI, "stream": True, "stream_options": {"include_usage": True}}, model, stream=True)
    assert asked.url == f"https://host.example/model/{path}/invoke-with-response-stream"
    assert asked.headers["accept"] == "application/vnd.amazon.eventstream"
    assert asked.show_usage
    assert not {"model", "stream", "stream_options"} & json.loads(asked.body).keys()
    assert encoded({"messages": HI}, model).url == f"https://host.example/model/{path}/invoke"


def test_a_claude_is_asked_in_anthropics_words() -> None:
    extra = {"anthropic_beta": ["x-2030-01-01"]}
    body = sent({"messages": HI, "reasoning_effort": "low", "extra_body": extra, "service_tier": "auto"}, CLAUDE, 2000)
    assert body == {
        "anthropic_version": "bedrock-2023-05-31",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        **extra,
    }


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        (NOVA, {"inferenceConfig": {"maxTokens": 9}}),
        (CHAT, {"max_tokens": 9}),
        (LLAMA, {"max_gen_len": 9}),
        ("amazon.titan-text-x", {"textGenerationConfig": {"maxTokenCount": 9}}),
        ("anthropic.claude-instant-v1", {"max_tokens_to_sample": 9}),
    ],
)
def test_the_hold_is_the_upper_limit_in_any_language(model: str, limit: dict[str, Any]) -> None:
    body = sent({"messages": HI, "max_tokens": 50}, model, 9)
    assert {name: body[name] for name in limit} == limit


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        (NOVA, {"additionalModelRequestFields": {"messages": [], "inferenceConfig": {"maxTokens": 99}}}),
        (NOVA, {"inferenceConfig": {"maxTokens": 99}}),
        (LLAMA, {"max_gen_len": 99, "prompt": "x"}),
    ],
)
def test_no_words_of_the_provider_undo_the_limit_or_the_conversation(model: str, extra: dict[str, Any]) -> None:
    assert sent({"messages": HI, "extra_body": extra}, model, 9) == sent({"messages": HI}, model, 9)


def test_what_nova_has_beside_the_limit_comes_to_stand_there() -> None:
    own = {"additionalModelRequestFields": {"inferenceConfig": {"topK": 5, "maxTokens": 99}, "reasoningConfig": {}}}
    body = sent({"messages": HI, **own}, NOVA, 9)
    assert (body["inferenceConfig"], body["reasoningConfig"]) == ({"topK": 5, "maxTokens": 9}, {})
    with pytest.raises(GatewayError) as caught:
        sent({"messages": HI, "additionalModelRequestFields": {"inferenceConfig": 5}}, NOVA, 9)
    assert caught.value.param == "inferenceConfig"


@pytest.mark.parametrize("counts", [{}, {"inputTokenCount": 1}, {"outputTokenCount": 1}])
def test_half_a_count_is_none(counts: dict[str, int]) -> None:
    first, _ = STREAMS[CHAT]
    last = chat_chunk({"delta": {}, "finish_reason": "stop"}, **{"amazon-bedrock-invocationMetrics": counts})
    assert run(CHAT, [first, last])[1].usage is None


@pytest.mark.parametrize("model", ["example", "arn:aws:bedrock:us-east-1:1:imported-model/abc", ""])
def test_a_model_of_no_known_family_is_refused(model: str) -> None:
    with pytest.raises(GatewayError) as caught:
        encoded({"messages": HI}, model)
    assert (caught.value.reason, caught.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, "model")


@pytest.mark.parametrize(
    ("caller", "param"),
    [
        ({"messages": [{"role": "tool", "tool_call_id": "t", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": "f"}}]}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "messages[0].content"),
        ({"messages": HI, "tools": []}, "tools"),
        ({"messages": HI, "stop": ["x"]}, "stop"),
        ({"messages": HI, "seed": 1}, "seed"),
        ({"messages": HI, "n": 2}, "n"),
    ],
)
def test_what_a_text_cannot_say_is_refused_where_it_stands(caller: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        encoded(caller, LLAMA)
    assert (caught.value.reason, caught.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, param)


def test_what_a_text_cannot_say_is_dropped_where_that_was_asked() -> None:
    plain = sent({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}, LLAMA)
    assert sent({"messages": HI, "seed": 1, "stop": "x", "tools": [], "drop_params": True}, LLAMA) == plain


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'{"outputs":[]}'])
@pytest.mark.parametrize("model", [*MODELS, "mistral.mistral-7b-x"])
def test_what_is_no_answer_is_an_invalid_response(model: str, body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        wire.decode(body, bedrock(model))
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_an_error_with_status_200_is_that_error() -> None:
    with pytest.raises(GatewayError) as caught:
        wire.decode(b'{"__type":"ThrottlingException","message":"Slow down"}', bedrock(LLAMA))
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_RATE_LIMITED


NAMES = st.sampled_from(
    ["generation", "outputs", "results", "text", "completion", "stop_reason", "choices", "output", "usage", "content"]
)
BODY = st.fixed_dictionaries(
    {"messages": st.lists(st.fixed_dictionaries({"role": st.text(max_size=5), "content": JSON}), max_size=3) | JSON},
    optional=dict.fromkeys(
        ("max_tokens", "temperature", "stop", "extra_body", "tools", "thinking", "drop_params"), JSON
    ),
)


@settings(max_examples=300, deadline=None)
@given(BODY | JSON, st.sampled_from(MODELS), st.integers(0, 2000), st.booleans())
def test_any_body_is_translated_or_refused(caller: Any, model: str, limit: int, stream: bool) -> None:
    try:
        wire.encode(json.dumps(caller).encode(), bedrock(model), stream=stream, output_tokens_limit=limit)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, JSON | st.just([{"text": "a"}]) | st.text(), max_size=4), st.sampled_from(MODELS))
def test_any_answer_is_one_that_the_sdk_reads_or_an_error(body: dict[str, Any], model: str) -> None:
    try:
        answer = wire.decode(json.dumps(body).encode(), bedrock(model))
    except GatewayError:
        return
    if model != CHAT:
        # OpenAI's language passes as it came.
        ChatCompletion.model_validate_json(answer.body, strict=True)


EVENTS = st.one_of(
    *(st.sampled_from(stream) for stream in STREAMS.values()),
    st.dictionaries(NAMES, JSON, max_size=3).map(lambda members: chunk_of(**members)),
    st.builds(exception, st.sampled_from(["throttlingException", "x"]), st.text(max_size=4)),
    st.binary(max_size=12).map(chunk),
    st.binary(max_size=6),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=6).map(b"".join), CUTS, st.sampled_from(MODELS))
def test_any_bytes_in_any_pieces_give_the_same_chunks_that_the_sdk_reads(
    data: bytes, cuts: list[int], model: str
) -> None:
    # OpenAI's language passes as it came.
    assert_alike_in_pieces(lambda pieces: run(model, pieces), data, cuts, as_it_came=model == CHAT)


def test_of_a_chat_event_that_is_no_json_there_is_no_count() -> None:
    end = run(CHAT, [chunk(b"no json")])[1]
    assert end.error is not None
    assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
    assert end.usage is None
