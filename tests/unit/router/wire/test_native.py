"""Wires of hosts that wrap or vary another language: what no case of tests/conformance/wire/native says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire import WIRES
from router.wire.base import HttpRequest, StreamEnd
from services.errors import GatewayError, Reason
from tests.aws_events import exception, message
from tests.strategies import ANY_BYTES, JSON
from tests.streams import fed

HI = [{"role": "user", "content": "Hi"}]
MODELS = {
    "replicate": "owner/example",
    "sagemaker": "endpoint",
    "sagemaker-chat": "endpoint",
    "tgi": "org/example",
    "watsonx": "ibm/example",
    "anthropic-hosted": "claude-example-4-5",
}
TOKEN = {"index": 1, "token": {"id": 1, "text": "Hi", "special": False}, "generated_text": None, "details": None}
LAST = {**TOKEN, "generated_text": "Hi", "details": {"finish_reason": "eos_token", "generated_tokens": 1}}
CHUNK = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}


def host(wire: str, model: str = "", **members: Any) -> Deployment:
    url = "https://host.example/ml/v1/text/chat?version=1"
    provider = wire.partition("-")[0]
    return Deployment(
        "d", "g", provider, model or MODELS[wire], "https://host.example", wire=wire, chat_url=url, **members
    )


def sent(wire: str, caller: dict[str, Any], *, model: str = "", limit: int = 0) -> dict[str, Any]:
    body = json.dumps({"model": "g", "messages": HI, **caller}).encode()
    request = WIRES[wire](lambda: 7.0).encode(body, host(wire, model), stream=False, output_tokens_limit=limit)
    decoded = json.loads(request.body)
    assert isinstance(decoded, dict)
    return decoded


def refused(wire: str, caller: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        sent(wire, caller)
    assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST
    return caught.value


def run(wire: str, *pieces: bytes) -> tuple[bytes, StreamEnd]:
    return fed(WIRES[wire](lambda: 7.0).stream(HttpRequest("POST", "", {}, b""), host(wire)), pieces)


def sse(said: object, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + f"data: {json.dumps(said)}\n\n".encode()


def part(data: bytes) -> bytes:
    return message({":message-type": "event", ":event-type": "PayloadPart"}, data)


# --- what is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["tgi", "sagemaker"])
def test_values_that_tgi_refuses_and_that_ask_for_nothing_are_not_sent(wire: str) -> None:
    nothing = {"temperature": 0, "top_p": 1, "top_k": -1, "frequency_penalty": 0, "stop": [], "presence_penalty": 0}
    assert sent(wire, nothing) == sent(wire, {})


@pytest.mark.parametrize("wire", ["tgi", "sagemaker", "replicate"])
def test_a_finished_prompt_knows_no_tools_and_no_pictures(wire: str) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    assert refused(wire, {"tools": [tool]}).param == "tools"
    called = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}
    assert refused(wire, {"messages": [*HI, called]}).param == "messages[1]"
    picture = {"type": "image_url", "image_url": {"url": "https://e.com/a.png"}}
    assert refused(wire, {"messages": [{"role": "user", "content": [picture]}]}).param == "messages[0].content"
    assert refused(wire, {"response_format": {"type": "json_object"}}).param == "response_format"
    assert refused(wire, {"service_tier": "flex"}).param == "service_tier"


@pytest.mark.parametrize(
    ("model", "prompt"),
    [
        ("meta-llama/Llama-2-7b-chat-hf", "[INST] Hi [/INST]\n"),
        (
            "meta-llama/Meta-Llama-3-8B",
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("mistralai/Mixtral-8x7B", "[INST] Hi [/INST]\n"),
        ("google/gemma-2b", "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"),
        ("HuggingFaceH4/zephyr-7b-beta", "<|user|>\nHi</s>\n<|assistant|>\n"),
        ("deepseek-ai/DeepSeek-R1", "<｜User｜>Hi<｜Assistant｜><think>\n"),
        ("nobody/knows", "User: Hi\nAssistant:"),
    ],
)
def test_the_prompt_is_what_the_family_reads(model: str, prompt: str) -> None:
    assert sent("tgi", {}, model=model)["inputs"] == prompt


@pytest.mark.parametrize("base", ["https://t", "https://t/generate", "https://t/generate_stream/"])
def test_a_base_of_tgi_may_be_either_address(base: str) -> None:
    deployment = Deployment("d", "g", "huggingface", "m", base, wire="tgi")
    body = json.dumps({"messages": HI}).encode()
    wire = WIRES["tgi"](lambda: 7.0)
    for stream, path in ((False, "generate"), (True, "generate_stream")):
        assert wire.encode(body, deployment, stream=stream, output_tokens_limit=0).url == f"https://t/{path}"


@pytest.mark.parametrize(
    ("wire", "where"),
    [
        ("tgi", ("parameters", "max_new_tokens")),
        ("sagemaker", ("parameters", "max_new_tokens")),
        ("replicate", ("input", "max_tokens")),
        ("watsonx", ("max_tokens",)),
        ("sagemaker-chat", ("max_tokens",)),
    ],
)
def test_what_the_hold_pays_for_bounds_the_answer(wire: str, where: tuple[str, ...]) -> None:
    for caller in ({}, {"max_tokens": 100}, {"extra_body": {"max_tokens": 100}}):
        found: Any = sent(wire, caller, limit=50)
        for name in where:
            found = found[name]
        assert found == 50


def test_no_other_word_of_a_models_for_its_limit_goes_past_the_hold() -> None:
    for name in ("max_new_tokens", "max_length"):
        for caller in ({name: 100}, {"extra_body": {name: 100}}):
            assert sent("replicate", caller, limit=50)["input"] == {"prompt": "Hi", "max_tokens": 50}
            assert sent("replicate", caller)["input"] == {"prompt": "Hi", "max_tokens": 100}
    llama = sent("replicate", {"extra_body": {"max_new_tokens": 20}}, model="meta/llama-2-7b-chat", limit=50)
    assert llama["input"]["max_new_tokens"] == 20


def test_who_pays_at_watsonx_is_a_project_or_a_space() -> None:
    wire = WIRES["watsonx"](lambda: 7.0)
    for options, expected in (
        ({"project_id": "p", "space_id": "s"}, {"project_id": "p"}),
        ({"space_id": "s"}, {"space_id": "s"}),
        ({}, {}),
    ):
        body = wire.encode(
            json.dumps({"messages": HI}).encode(),
            host("watsonx", options=options),
            stream=False,
            output_tokens_limit=0,
        ).body
        assert json.loads(body) == {"messages": HI, "model_id": "ibm/example", **expected}


CALLER = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["system", "user", "assistant", "tool", "x"])}, optional={"content": JSON}
            ),
            max_size=3,
        )
        | JSON
    },
    optional={
        **dict.fromkeys(("max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "n", "tools"), JSON),
        "tool_choice": st.sampled_from(["auto", "none"]) | JSON,
        "response_format": st.fixed_dictionaries({"type": st.sampled_from(["text", "json_schema"])}) | JSON,
        "stream_options": JSON,
        "drop_params": st.booleans(),
        "extra_body": JSON,
    },
)


@pytest.mark.parametrize("wire", MODELS)
@given(CALLER)
@settings(max_examples=60, deadline=None)
def test_any_request_is_sent_or_refused(wire: str, caller: dict[str, Any]) -> None:
    try:
        sent(wire, caller)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST


# --- what is answered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", MODELS)
@given(ANY_BYTES)
@settings(max_examples=60, deadline=None)
def test_no_bytes_are_an_answer_by_chance_and_any_failure_is_a_typed_error(wire: str, body: bytes) -> None:
    speaks = WIRES[wire](lambda: 7.0)
    with pytest.raises(GatewayError):
        speaks.decode(body, host(wire))
    error = speaks.decode_error(500, {}, body, host(wire))
    assert error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    _, end = run(wire, body)
    assert end.error is not None
    assert end.last == b""


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (422, "validation", Reason.ERROR_REASON_PROVIDER_REJECTED),
        (429, "overloaded", Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        (424, "generation", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (500, "incomplete_generation", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    ],
)
def test_tgi_means_the_same_before_a_stream_and_in_it(status: int, kind: str, reason: Reason) -> None:
    said = {"error": "No.", "error_type": kind}
    error = WIRES["tgi"](lambda: 7.0).decode_error(status, {}, json.dumps(said).encode(), host("tgi"))
    assert (error.reason, error.message, error.provider_status) == (reason, "No.", status)
    for pieces in ([sse(TOKEN), sse(said)], [json.dumps(said).encode()]):
        _, end = run("tgi", *pieces)
        assert end.error is not None
        assert (end.error.reason, end.error.message) == (reason, "No.")
    wait = json.dumps({"error": "Model m is currently loading", "estimated_time": 20.5}).encode()
    assert WIRES["tgi"](lambda: 7.0).decode_error(503, {}, wait, host("tgi")).retry_after_seconds == 20.5


def test_marks_of_the_model_are_no_text_and_a_stream_without_details_ends_with_its_text() -> None:
    mark = {"token": {"text": "</s>", "special": True}}
    out, end = run("tgi", b": comment\r\n\r\n", sse(TOKEN), sse({**LAST, **mark, "details": None})[:-2])
    assert (end.error, end.finish_reason, end.content_bytes) == (None, "stop", 2)
    assert b"</s>" not in out
    assert end.usage is None


def test_a_container_fails_with_its_own_status_and_words() -> None:
    wire = WIRES["sagemaker"](lambda: 7.0)
    inner = {"error": "`inputs` must have less than 1024 tokens", "error_type": "validation"}
    said = {"ErrorCode": "X", "Message": "Received client error", "OriginalStatusCode": 422}
    body = json.dumps({**said, "OriginalMessage": json.dumps(inner)}).encode()
    error = wire.decode_error(424, {}, body, host("sagemaker"))
    assert (error.reason, error.message) == (Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED, inner["error"])
    silent = wire.decode_error(424, {}, b'{"Message":"Model failed"}', host("sagemaker"))
    assert (silent.reason, silent.message) == (Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "Model failed")
    signed = wire.decode_error(
        403, {"x-amzn-errortype": "AccessDeniedException"}, b'{"Message":"No"}', host("sagemaker")
    )
    assert signed.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION


@pytest.mark.parametrize(
    ("wire", "first", "last"),
    [
        ("sagemaker", sse(TOKEN), sse(LAST)),
        (
            "sagemaker-chat",
            sse(CHUNK),
            sse({"choices": [{"delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n",
        ),
    ],
)
def test_an_exception_in_the_envelope_ends_an_answer_but_not_one_that_is_over(
    wire: str, first: bytes, last: bytes
) -> None:
    broken = exception("ModelStreamError", "StreamBroken")
    out, end = run(wire, part(first), broken)
    assert end.error is not None
    assert (end.error.reason, end.error.message) == (Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "StreamBroken")
    assert b'"Hi"' in out
    assert run(wire, part(first), part(last), broken)[1].error is None
    assert run(wire, part(first), part(last)[:-1])[1].error is not None


def test_an_error_event_of_watsonx_ends_its_stream() -> None:
    said = {"errors": [{"code": "token_quota_reached", "message": "No more"}], "trace": "t", "status_code": 403}
    for pieces in ([sse(CHUNK), sse(said, "error")], [sse(CHUNK), sse(said)], [json.dumps(said).encode()]):
        _, end = run("watsonx", *pieces)
        assert end.error is not None
        assert end.error.message == "No more"
        assert end.last == b""


def test_events_of_watsonx_reach_the_caller_without_their_numbers() -> None:
    out, end = run("watsonx", b"id: 1\nevent: message\n" + sse(CHUNK))
    assert out.startswith(b'data: {"object":"chat.completion.chunk","model":"ibm/example"')
    assert out.count(b"\n\n") == 1
    assert end.error is not None


def test_a_stream_without_end_is_given_up() -> None:
    endless = [b"data: {" + b" " * 1024 * 1024] * 9
    for wire, pieces in (("watsonx", endless), ("watsonx", [sse(CHUNK), *endless]), ("replicate", endless)):
        _, end = run(wire, *pieces)
        assert end.error is not None
        assert end.error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_nothing_is_read_of_a_stream_of_watsonx_that_is_over() -> None:
    stream = WIRES["watsonx"](lambda: 7.0).stream(HttpRequest("POST", "", {}, b""), host("watsonx"))
    assert stream.feed(sse({"errors": [{"message": "No more"}]}, "error")).error is not None
    assert stream.feed(sse(CHUNK)).out == b""


def test_an_answer_of_tgi_with_status_200_may_be_an_error() -> None:
    with pytest.raises(GatewayError, match="No more") as caught:
        WIRES["tgi"](lambda: 7.0).decode(b'{"error": "No more", "generated_text": "Hi"}', host("tgi"))
    assert caught.value.provider == "tgi"


@pytest.mark.parametrize(
    ("prediction", "reason", "words"),
    [
        ({"status": "processing"}, Reason.ERROR_REASON_PROVIDER_TIMEOUT, "60 seconds"),
        ({"status": "starting"}, Reason.ERROR_REASON_PROVIDER_TIMEOUT, "60 seconds"),
        ({"status": "failed", "error": "CUDA"}, Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "CUDA"),
        ({"status": "canceled", "error": None}, Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "canceled"),
        ({"status": "succeeded", "output": None}, Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE, "no prediction"),
        ({"status": "succeeded", "output": {"a": 1}}, Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE, "prediction"),
    ],
)
def test_a_prediction_that_did_not_succeed_is_an_error(prediction: dict[str, Any], reason: Reason, words: str) -> None:
    body = json.dumps({"id": "p", **prediction}).encode()
    with pytest.raises(GatewayError) as caught:
        WIRES["replicate"](lambda: 7.0).decode(body, host("replicate"))
    _, end = run("replicate", body)
    assert end.error is not None
    for error in (caught.value, end.error):
        assert error.reason == reason
        assert words in error.message
