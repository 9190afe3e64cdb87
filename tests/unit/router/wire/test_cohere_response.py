"""Whole answers of Cohere's; documented ones are in tests/conformance/wire/cohere/answers."""

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
from router.wire.cohere.response import decode
from services.errors import GatewayError, Reason
from tests.strategies import SMALL_TEXT, VALUE

BILLED = {"input_tokens": 5, "output_tokens": 3}
TOKENS = {"input_tokens": 71, "output_tokens": 4, "reasoning_tokens": 9}


@pytest.fixture
def cohere(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="cohere", wire="cohere", provider_model="command-example")


def answer_of(cohere: Deployment, finish_reason: object = "COMPLETE", **members: Any) -> Answer:
    given = {"id": "c14c80c3", "message": {"role": "assistant"}, "finish_reason": finish_reason, **members}
    return decode(json.dumps(given).encode(), cohere, created=7)


def message_in(answer: Answer) -> dict[str, Any]:
    message = json.loads(answer.body)["choices"][0]["message"]
    assert isinstance(message, dict)
    return message


@pytest.mark.parametrize(
    ("finish_reason", "expected"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("TOOL_CALL", "tool_calls"),
        ("MAX_TOKENS", "length"),
        ("ERROR_LIMIT", "length"),
        ("ERROR_TOXIC", "content_filter"),
        ("NEVER_HEARD_OF", "stop"),
        (None, "stop"),
    ],
)
def test_reasons_to_stop(cohere: Deployment, finish_reason: str | None, expected: str) -> None:
    answer = answer_of(cohere, finish_reason)
    assert answer.finish_reason == expected
    assert json.loads(answer.body)["choices"][0]["finish_reason"] == expected


def test_an_answer_without_words_or_calls_is_empty(cohere: Deployment) -> None:
    assert message_in(answer_of(cohere)) == {"role": "assistant", "content": ""}


def test_a_call_with_nothing_beside_it_has_no_content(cohere: Deployment) -> None:
    message = message_in(answer_of(cohere, "TOOL_CALL", message={"tool_calls": [{"id": "a"}]}))
    assert message["content"] is None
    assert message["tool_calls"] == [{"type": "function", "function": {"arguments": "{}", "name": ""}, "id": "a"}]


def test_the_plan_comes_before_the_text_and_moves_what_is_cited(cohere: Deployment) -> None:
    citation = {"start": 1, "end": 2, "sources": [{"id": "https://example.com"}]}
    blocks = [{"type": "hologram"}, {"type": "text", "text": "abc"}]
    message = message_in(
        answer_of(cohere, message={"tool_plan": "Plan. ", "content": blocks, "citations": [citation, None, 5]})
    )
    assert message["content"] == "Plan. abc"
    assert message["annotations"][0]["url_citation"] == {
        "start_index": 7,
        "end_index": 8,
        "title": "",
        "url": "https://example.com",
    }
    assert message["citations"] == [citation]


def test_a_citation_of_an_unknown_form_is_kept_as_it_is(cohere: Deployment) -> None:
    odd = {"start": "here", "sources": [{"document": "text"}]}
    message = message_in(answer_of(cohere, message={"content": [], "citations": [odd]}))
    assert message["citations"] == [odd]
    assert "annotations" not in message


@pytest.mark.parametrize(
    ("usage", "billed", "shown"),
    [
        (
            {"billed_units": BILLED, "tokens": TOKENS, "cached_tokens": 64},
            common_pb2.TokenUsage(input_tokens=5, output_tokens=3, reasoning_tokens=3),
            (71, 4, 64, 4),
        ),
        ({"billed_units": BILLED}, common_pb2.TokenUsage(input_tokens=5, output_tokens=3), (5, 3, 0, 0)),
        # More than was read cannot have been in the cache.
        (
            {"tokens": {"input_tokens": 71, "output_tokens": 4.0}, "cached_tokens": 100},
            common_pb2.TokenUsage(input_tokens=71, output_tokens=4, cache_read_tokens=71),
            (71, 4, 71, 0),
        ),
        ({"billed_units": {"search_units": 1}}, None, None),
        ({"tokens": {"input_tokens": 3}}, None, None),
        ({}, None, None),
        (None, None, None),
    ],
)
def test_callers_are_told_what_was_counted_and_charged_what_is_billed(
    cohere: Deployment,
    usage: dict[str, Any] | None,
    billed: common_pb2.TokenUsage | None,
    shown: tuple[int, int, int, int] | None,
) -> None:
    answer = answer_of(cohere, usage=usage)
    assert answer.usage == billed
    told = json.loads(answer.body).get("usage")
    assert shown == (
        told
        and (
            told["prompt_tokens"],
            told["completion_tokens"],
            told["prompt_tokens_details"]["cached_tokens"],
            told["completion_tokens_details"]["reasoning_tokens"],
        )
    )


def test_what_was_generated_is_counted_for_an_estimate(cohere: Deployment) -> None:
    calls = [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]
    blocks = [{"type": "text", "text": "日本"}, {"type": "thinking", "thinking": "Hm"}]
    assert answer_of(cohere, message={"content": blocks, "tool_calls": calls}).content_bytes == 10


@pytest.mark.parametrize(
    ("finish_reason", "reason"),
    [("ERROR", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE), ("TIMEOUT", Reason.ERROR_REASON_PROVIDER_TIMEOUT)],
)
def test_an_answer_that_broke_off_is_no_short_answer(cohere: Deployment, finish_reason: str, reason: Reason) -> None:
    with pytest.raises(GatewayError) as caught:
        answer_of(cohere, finish_reason, message={"content": [{"type": "text", "text": "Hel"}]})
    assert caught.value.reason == reason


def test_an_error_with_status_200_is_that_error(cohere: Deployment) -> None:
    with pytest.raises(GatewayError, match="Something broke") as caught:
        decode(b'{"id":"1","message":"Something broke"}', cohere, created=7)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"message":5}', b'{"message":{"content":5}}', b"\xff"]
)
def test_what_is_no_answer_is_an_invalid_response(cohere: Deployment, body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(body, cohere, created=7)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "x"])},
    optional=dict.fromkeys(("text", "thinking"), SMALL_TEXT),
)
CITATION = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("start", "end", "content_index"), st.integers(-3, 9)),
        "sources": st.lists(
            st.fixed_dictionaries({"id": st.text(max_size=3)}, optional={"document": VALUE, "tool_output": VALUE}),
            max_size=2,
        ),
    },
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "content": st.none() | st.lists(BLOCK, max_size=4),
        "tool_plan": SMALL_TEXT,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "id": st.none() | st.text(max_size=3),
                    "function": st.fixed_dictionaries(
                        {}, optional=dict.fromkeys(("name", "arguments"), st.none() | st.text(max_size=3))
                    ),
                },
            ),
            max_size=2,
        ),
        "citations": st.lists(CITATION | VALUE, max_size=2),
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=MESSAGE, finish_reason=SMALL_TEXT, usage=st.none() | VALUE)
def test_any_message_is_a_completion_that_the_sdk_reads_or_invalid(
    cohere: Deployment, message: dict[str, Any], finish_reason: str | None, usage: object
) -> None:
    try:
        answer = answer_of(cohere, finish_reason, message=message, usage=usage)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
        return
    ChatCompletion.model_validate_json(answer.body, strict=True)
