"""Whole answers; documented ones are in tests/conformance/wire/anthropic/answers."""

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
from router.wire.anthropic.response import decode
from router.wire.base import Answer
from services.errors import GatewayError, Reason
from tests.strategies import SMALL_TEXT, VALUE


@pytest.fixture
def anthropic(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="anthropic", wire="anthropic")


def answer_of(deployment: Deployment, **members: Any) -> Answer:
    body = {"id": "msg_1", "type": "message", "model": "m", "content": [], "stop_reason": "end_turn", **members}
    return decode(json.dumps(body).encode(), deployment, created=7)


def message_of(deployment: Deployment, *blocks: dict[str, Any]) -> Any:
    return json.loads(answer_of(deployment, content=list(blocks)).body)["choices"][0]["message"]


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("never_heard_of", "stop"),
        (None, "stop"),
    ],
)
def test_stop_reasons(anthropic: Deployment, stop_reason: str | None, finish_reason: str) -> None:
    assert answer_of(anthropic, stop_reason=stop_reason).finish_reason == finish_reason


def test_usage_counts_the_cache_within_the_input(anthropic: Deployment) -> None:
    usage = {
        "input_tokens": 1,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 300,
        "output_tokens": 4000,
    }
    assert answer_of(anthropic, usage=usage).usage == common_pb2.TokenUsage(
        input_tokens=321, output_tokens=4000, cache_read_tokens=20, cache_write_tokens=300
    )


def test_what_is_kept_for_an_hour_and_the_tier_are_told_apart(anthropic: Deployment) -> None:
    """As Anthropic documents `usage` of its prompt caching, its service tiers and its fast mode."""
    usage: dict[str, Any] = {
        "input_tokens": 1,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 4,
        "service_tier": "batch",
    }
    expected = common_pb2.TokenUsage(
        input_tokens=301, output_tokens=4, cache_write_tokens=300, cache_write_1h_tokens=100
    )
    expected.service_tier = common_pb2.SERVICE_TIER_BATCH
    assert answer_of(anthropic, usage=usage).usage == expected
    expected.service_tier = common_pb2.SERVICE_TIER_FAST
    assert answer_of(anthropic, usage={**usage, "service_tier": "priority", "speed": "fast"}).usage == expected
    expected.service_tier = common_pb2.SERVICE_TIER_UNSPECIFIED
    assert answer_of(anthropic, usage={**usage, "service_tier": "standard", "speed": ["fast"]}).usage == expected


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": 5}])
def test_no_usage_is_no_usage(anthropic: Deployment, usage: dict[str, Any] | None) -> None:
    answer = answer_of(anthropic, usage=usage, content=[{"type": "text", "text": "日本"}])
    assert answer.usage is None
    assert "usage" not in json.loads(answer.body)
    assert answer.content_bytes == 6


def test_a_senseless_count_is_none(anthropic: Deployment) -> None:
    usage = {"input_tokens": -5, "output_tokens": 1e300, "cache_read_input_tokens": None}
    assert answer_of(anthropic, usage=usage).usage == common_pb2.TokenUsage()


def test_an_empty_answer_has_empty_text_and_a_call_alone_has_none(anthropic: Deployment) -> None:
    assert message_of(anthropic) == {"role": "assistant", "content": ""}
    assert message_of(anthropic, {"type": "tool_use", "id": "a", "name": "f"}) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}, "id": "a"}],
    }


def test_omitted_thinking_keeps_its_signature(anthropic: Deployment) -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": "c2ln"}
    message = message_of(anthropic, thinking, {"type": "text", "text": "4"})
    assert message == {"role": "assistant", "content": "4", "thinking_blocks": [thinking]}


def test_an_unknown_kind_of_citation_reaches_the_caller_all_the_same(anthropic: Deployment) -> None:
    citations = [{"type": "new", "title": 5}, "odd", {"url": "https://x"}]
    message = message_of(anthropic, {"type": "text", "text": "Yes", "citations": citations})
    assert message["citations"] == citations
    assert [each["url_citation"]["title"] for each in message["annotations"]] == [""]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"[]", "not a message"),
        (b"{}", "no content"),
        (b'{"content":null}', "no content"),
        (b'{"content":[{"type":"text","text":5}]}', "not a message"),
        (b'{"content":[{"text":"no type"}]}', "not a message"),
        (b'{"content":' + b"[" * 100_000, "not"),
    ],
)
def test_what_is_no_message_is_an_invalid_response(anthropic: Deployment, body: bytes, said: str) -> None:
    with pytest.raises(GatewayError, match=said) as caught:
        decode(body, anthropic, created=7)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_an_error_with_status_200_is_that_error(anthropic: Deployment) -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}'
    with pytest.raises(GatewayError, match="Slow down") as caught:
        decode(body, anthropic, created=7)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_RATE_LIMITED


BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "x"])},
    optional={
        **dict.fromkeys(("text", "thinking", "signature", "data", "id", "name"), SMALL_TEXT),
        "input": VALUE,
        "citations": st.none() | st.lists(VALUE, max_size=2),
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(BLOCK, max_size=4), stop_reason=SMALL_TEXT, usage=st.none() | VALUE)
def test_any_message_is_a_completion_that_the_sdk_reads_or_invalid(
    anthropic: Deployment, content: list[dict[str, Any]], stop_reason: str | None, usage: object
) -> None:
    try:
        answer = answer_of(anthropic, content=content, stop_reason=stop_reason, usage=usage)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
        return
    ChatCompletion.model_validate_json(answer.body, strict=True)
