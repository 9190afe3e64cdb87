"""Whole answers of Converse, beyond the cases of tests/conformance/wire/bedrock/answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway.v1 import common_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.bedrock.response import decode
from services.errors import GatewayError, Reason
from tests.strategies import SMALL_TEXT, VALUE

BEDROCK = Deployment("d1", "g", "bedrock", "converse/us.model-1", "https://host.example", wire="bedrock")


def answered(**members: Any) -> bytes:
    return json.dumps({"output": {"message": {"role": "assistant", "content": [{"text": "a"}]}}, **members}).encode()


def test_an_answer_is_named_after_the_model_and_has_an_id_of_its_own() -> None:
    first, again, other = (
        json.loads(decode(answered(stopReason="end_turn", metrics={"latencyMs": at}), BEDROCK, created=7).body)
        for at in (1, 1, 2)
    )
    assert (first["model"], first["created"], first["object"]) == ("us.model-1", 7, "chat.completion")
    assert first["id"] == again["id"] != other["id"]
    assert first["id"].startswith("chatcmpl-")


def test_usage_counts_as_openai_does() -> None:
    usage = {"inputTokens": 5, "outputTokens": 3, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20}
    answer = decode(answered(usage=usage), BEDROCK, created=7)
    assert answer.usage == common_pb2.TokenUsage(
        input_tokens=125, output_tokens=3, cache_read_tokens=100, cache_write_tokens=20
    )
    shown = json.loads(answer.body)["usage"]
    assert (shown["prompt_tokens"], shown["prompt_tokens_details"]["cached_tokens"]) == (125, 100)
    assert decode(answered(usage={"inputTokens": 5}), BEDROCK, created=7).usage is None


def test_what_is_kept_for_an_hour_and_the_tier_are_told_apart() -> None:
    """As AWS documents TokenUsage, CacheDetail and ServiceTier."""
    details = [{"ttl": "1h", "inputTokens": 15}, {"ttl": "5m", "inputTokens": 5}]
    usage = {"inputTokens": 5, "outputTokens": 3, "cacheWriteInputTokens": 20, "cacheDetails": details}
    answer = decode(answered(usage=usage, serviceTier={"type": "flex"}), BEDROCK, created=7)
    assert answer.usage == common_pb2.TokenUsage(
        input_tokens=25,
        output_tokens=3,
        cache_write_tokens=20,
        cache_write_1h_tokens=15,
        service_tier=common_pb2.SERVICE_TIER_FLEX,
    )
    usual = decode(answered(usage=usage, serviceTier={"type": "default"}), BEDROCK, created=7).usage
    assert usual is not None
    assert usual.service_tier == common_pb2.SERVICE_TIER_UNSPECIFIED


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_tool_use", "stop"),
        ("tool_use", "stop"),
        ("of the future", "stop"),
    ],
)
def test_reasons_to_stop(reason: str, meant: str) -> None:
    assert decode(answered(stopReason=reason), BEDROCK, created=7).finish_reason == meant


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"output":{}}', b'{"output":{"message":{}}}', b"[" * 9999]
)
def test_what_is_no_answer_is_an_invalid_response(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(body, BEDROCK, created=7)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_an_error_with_status_200_is_that_error() -> None:
    body = {"Output": {"__type": "x"}, "__type": "com.amazon.coral.service#ThrottlingException", "message": "Slow down"}
    with pytest.raises(GatewayError) as caught:
        decode(json.dumps(body).encode(), BEDROCK, created=7)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert caught.value.message == "Slow down"


BLOCK = st.fixed_dictionaries(
    {},
    optional={
        "text": SMALL_TEXT,
        "toolUse": st.fixed_dictionaries(
            {},
            optional={
                "toolUseId": st.text(max_size=3),
                "name": st.sampled_from(["f", "json_tool_call"]),
                "input": VALUE,
            },
        ),
        "reasoningContent": st.fixed_dictionaries(
            {},
            optional={
                "reasoningText": st.fixed_dictionaries({}, optional={"text": SMALL_TEXT, "signature": SMALL_TEXT}),
                "redactedContent": SMALL_TEXT,
            },
        ),
        "citationsContent": st.fixed_dictionaries(
            {},
            optional={
                "content": st.lists(st.fixed_dictionaries({}, optional={"text": SMALL_TEXT}), max_size=2),
                "citations": st.lists(VALUE, max_size=2),
            },
        ),
        "image": VALUE,
    },
)
COUNT = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.none()
BODY = st.fixed_dictionaries(
    {"output": st.fixed_dictionaries({"message": st.fixed_dictionaries({"content": st.lists(BLOCK, max_size=3)})})},
    optional={
        "stopReason": SMALL_TEXT | st.just("tool_use"),
        "usage": st.fixed_dictionaries({}, optional=dict.fromkeys(("inputTokens", "outputTokens"), COUNT)),
    },
)


@settings(max_examples=300, deadline=None)
@given(BODY)
def test_any_answer_is_one_that_the_sdk_reads(body: dict[str, Any]) -> None:
    answer = decode(json.dumps(body).encode(), BEDROCK, created=7)
    ChatCompletion.model_validate_json(answer.body, strict=True)
