"""Whole answers of Ollama's, and failures; documented answers are in tests/conformance/wire/ollama/answers."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from gateway.v1 import common_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.base import Answer
from router.wire.ollama.response import decode
from services.errors import GatewayError, Reason
from tests.strategies import SMALL_TEXT, VALUE

WRITTEN = "2030-01-01T00:00:00.000000001Z"


@pytest.fixture
def ollama(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="ollama", wire="ollama", provider_model="example:4b")


def answer_of(ollama: Deployment, done_reason: object = "stop", **members: Any) -> Answer:
    given = {"model": "m", "created_at": WRITTEN, "message": {}, "done": True, "done_reason": done_reason, **members}
    return decode(json.dumps(given).encode(), ollama, created=7)


def calls_in(answer: Answer) -> list[dict[str, Any]]:
    calls = json.loads(answer.body)["choices"][0]["message"]["tool_calls"]
    assert isinstance(calls, list)
    return calls


def call(name: str, arguments: object, **members: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **members}


@pytest.mark.parametrize(
    ("done_reason", "calls", "expected"),
    [
        ("stop", [], "stop"),
        ("stop", [call("f", {})], "tool_calls"),
        ("length", [], "length"),
        ("length", [call("f", {})], "length"),
        ("load", [], "stop"),
        ("never heard of", [], "stop"),
        (None, [], "stop"),
        (None, [call("f", {})], "tool_calls"),
    ],
)
def test_reasons_to_stop(ollama: Deployment, done_reason: str | None, calls: list[Any], expected: str) -> None:
    answer = answer_of(ollama, done_reason, message={"tool_calls": calls})
    assert answer.finish_reason == expected
    assert json.loads(answer.body)["choices"][0]["finish_reason"] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"x": [1, "é"]}, {"x": [1, "é"]}),
        ({}, {}),
        (None, {}),
        ('{"x": 1}', {"x": 1}),
        ("", {}),
    ],
)
def test_arguments_are_an_object_whichever_way_they_come(
    ollama: Deployment, arguments: object, expected: object
) -> None:
    (made,) = calls_in(answer_of(ollama, message={"tool_calls": [call("f", arguments)]}))
    assert json.loads(made["function"]["arguments"]) == expected


def test_a_call_without_arguments_has_an_empty_object(ollama: Deployment) -> None:
    (made,) = calls_in(answer_of(ollama, message={"tool_calls": [{"function": {"name": "f"}}]}))
    assert made["function"]["arguments"] == "{}"


def test_ids_are_ollamas_own_or_made_unique_and_the_same_for_the_same_answer(ollama: Deployment) -> None:
    same = {"tool_calls": [call("f", {}), call("f", {}), call("f", {}, id="call_own")]}
    first, again = (answer_of(ollama, message=same) for _ in range(2))
    assert first.body == again.body
    ids = [made["id"] for made in calls_in(first)]
    assert len(set(ids)) == 3
    assert ids[2] == "call_own"
    later = answer_of(ollama, message=same, created_at="2030-01-01T00:00:00.000000002Z")
    assert not set(ids[:2]) & {made["id"] for made in calls_in(later)}
    assert json.loads(first.body)["id"] != json.loads(later.body)["id"]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"prompt_eval_count": 26, "eval_count": 9}, common_pb2.TokenUsage(input_tokens=26, output_tokens=9)),
        ({"eval_count": 9}, common_pb2.TokenUsage(output_tokens=9)),
        ({"prompt_eval_count": 26}, common_pb2.TokenUsage(input_tokens=26)),
        ({"eval_count": -1, "prompt_eval_count": 1e300}, common_pb2.TokenUsage()),
        ({}, None),
    ],
)
def test_usage(ollama: Deployment, counts: dict[str, Any], expected: common_pb2.TokenUsage | None) -> None:
    answer = answer_of(ollama, **counts)
    assert answer.usage == expected
    assert ("usage" in json.loads(answer.body)) is (expected is not None)


def test_what_was_generated_is_counted_for_an_estimate(ollama: Deployment) -> None:
    message = {"content": "日本", "thinking": "Hm", "tool_calls": [call("f", {})]}
    assert answer_of(ollama, message=message).content_bytes == 10


def test_an_answer_names_the_model_that_was_asked_where_ollama_does_not(ollama: Deployment) -> None:
    assert json.loads(answer_of(ollama, model="").body)["model"] == "example:4b"


def test_an_error_with_status_200_is_that_error(ollama: Deployment) -> None:
    with pytest.raises(GatewayError, match="llama runner process has terminated") as caught:
        decode(b'{"error":"llama runner process has terminated"}', ollama, created=7)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"message":5}', b'{"message":{"content":5}}', b"\xff"]
)
def test_what_is_no_answer_is_an_invalid_response(ollama: Deployment, body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(body, ollama, created=7)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("content", "thinking"), SMALL_TEXT),
        "tool_calls": st.lists(
            st.builds(call, st.text(max_size=4), VALUE) | st.builds(call, st.just("f"), VALUE, id=st.text(max_size=4)),
            max_size=2,
        ),
    },
)
LOGPROBS = st.none() | st.lists(st.fixed_dictionaries({"token": st.text(max_size=3), "logprob": st.integers(-9, 0)}))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=MESSAGE, logprobs=LOGPROBS | VALUE, done_reason=SMALL_TEXT, created_at=st.text())
def test_any_message_is_a_completion_that_the_sdk_reads_or_invalid(
    ollama: Deployment, message: dict[str, Any], logprobs: object, done_reason: str | None, created_at: str
) -> None:
    try:
        answer = answer_of(ollama, done_reason, message=message, logprobs=logprobs, created_at=created_at)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
        return
    ChatCompletion.model_validate_json(answer.body, strict=True)
