from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.openai.response import decode, usage_of
from services.errors import GatewayError, Reason

ANSWER = (Path(__file__).parents[3] / "conformance" / "wire" / "openai" / "answer.json").read_bytes()


def usage(text: bytes) -> common_pb2.TokenUsage | None:
    return usage_of(msgspec.Raw(text))


def test_an_answer_passes_through_byte_for_byte(deployment: Deployment) -> None:
    answer = decode(ANSWER, deployment)
    assert answer.body is ANSWER
    assert answer.finish_reason == "stop"
    assert answer.usage == common_pb2.TokenUsage(
        input_tokens=19, output_tokens=5, cache_read_tokens=8, reasoning_tokens=2
    )


def test_generated_text_is_counted_where_no_usage_is_reported(deployment: Deployment) -> None:
    answer = decode(ANSWER.replace(b'"usage"', b'"other"'), deployment)
    assert answer.usage is None
    assert answer.content_bytes == len("Hello!")


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b"<html></html>", b'{"choices":[]}', b'{"choices":null}', b'{"choices":"x"}', b"\xff"],
)
def test_what_is_no_completion_is_an_invalid_response(deployment: Deployment, body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(body, deployment)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
    assert "Empty or invalid response" in caught.value.message


def test_an_error_with_status_200_is_an_error(deployment: Deployment) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(b'{"error":{"message":"no capacity","code":503},"choices":[{}]}', deployment)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (b"", None),
        (b"null", None),
        (b"{}", None),
        (b'"many"', None),
        (b'{"prompt_tokens":"3"}', None),
        (b'{"total_tokens":3}', None),
        (b'{"prompt_tokens":3}', common_pb2.TokenUsage(input_tokens=3)),
        (b'{"prompt_tokens":3.0,"completion_tokens":null}', common_pb2.TokenUsage(input_tokens=3)),
        (b'{"prompt_tokens":-3,"completion_tokens":1e30}', common_pb2.TokenUsage()),
        (
            b'{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2}}',
            common_pb2.TokenUsage(input_tokens=9, cache_read_tokens=4, cache_write_tokens=2),
        ),
        (
            b'{"prompt_tokens":9,"prompt_tokens_details":null,"prompt_cache_hit_tokens":4}',
            common_pb2.TokenUsage(input_tokens=9, cache_read_tokens=4),
        ),
    ],
)
def test_usage_is_read_from_what_hosts_send(text: bytes, tokens: common_pb2.TokenUsage | None) -> None:
    assert usage(text) == tokens


def test_sound_pictures_and_the_tier_that_was_served_are_told_apart(deployment: Deployment) -> None:
    """As OpenAI documents `usage` of models that hear and speak, and `service_tier` of the answer."""
    body = (
        b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"service_tier":"priority","usage":{'
        b'"prompt_tokens":30,"completion_tokens":20,"prompt_tokens_details":{"audio_tokens":7,"image_tokens":5},'
        b'"completion_tokens_details":{"audio_tokens":9,"image_tokens":null,"reasoning_tokens":2}}}'
    )
    assert decode(body, deployment).usage == common_pb2.TokenUsage(
        input_tokens=30,
        output_tokens=20,
        reasoning_tokens=2,
        input_audio_tokens=7,
        input_image_tokens=5,
        output_audio_tokens=9,
        service_tier=common_pb2.SERVICE_TIER_PRIORITY,
    )


@pytest.mark.parametrize("tier", [b'"default"', b'"auto"', b"null", b"5", b'["flex"]', b'"flex\\u0000"', b'"\xff"'])
def test_any_other_word_for_a_tier_is_the_usual_one(tier: bytes) -> None:
    found = usage_of(msgspec.Raw(b'{"prompt_tokens":3}'), msgspec.Raw(tier))
    assert found == common_pb2.TokenUsage(input_tokens=3)


def test_reasoning_that_a_host_counts_beside_the_completion_is_added_to_it() -> None:
    """xAI's totals show which of the two it does."""
    details = b'"completion_tokens_details":{"reasoning_tokens":5}'
    beside = usage(b'{"prompt_tokens":10,"completion_tokens":2,"total_tokens":17,' + details + b"}")
    within = usage(b'{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,' + details + b"}")
    assert beside == within == common_pb2.TokenUsage(input_tokens=10, output_tokens=7, reasoning_tokens=5)


def test_recorded_answers_pass_through_with_their_tokens(deployment: Deployment, exchanges: Callable[..., Any]) -> None:
    for exchange in exchanges(stream=False, ok=True):
        recorded = exchange["response"]["body"]
        body = recorded.encode() if isinstance(recorded, str) else msgspec.json.encode(recorded)
        answer = decode(body, deployment)
        assert answer.body is body
        expect = exchange.get("expect", {})
        for name, tokens in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")):
            if name in expect and answer.usage is not None:
                acceptable = expect.get(f"{name}_any", [expect[name]])
                assert getattr(answer.usage, tokens) in acceptable, (exchange["id"], answer.usage)
