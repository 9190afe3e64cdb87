"""Whole answers; documented ones are in tests/conformance/wire/gemini/answers."""

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
from router.wire.gemini.answered import FINISH_REASONS
from router.wire.gemini.response import decode
from services.errors import GatewayError, Reason
from tests.strategies import SMALL_TEXT, VALUE


@pytest.fixture
def gemini(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="gemini", provider_model="gemini-x", wire="gemini")


def answer_of(deployment: Deployment, **members: Any) -> Answer:
    return decode(json.dumps({"responseId": "r", "modelVersion": "m", **members}).encode(), deployment, created=7)


def candidate(*parts: dict[str, Any], reason: str | None = "STOP", **members: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": list(parts)}, "finishReason": reason, **members}


def message_of(deployment: Deployment, *parts: dict[str, Any], **members: Any) -> Any:
    answer = answer_of(deployment, candidates=[candidate(*parts, **members)])
    return json.loads(answer.body)["choices"][0]["message"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
        ("OTHER", "stop"),
        ("NEVER_HEARD_OF", "stop"),
        (None, "stop"),
    ],
)
def test_finish_reasons(gemini: Deployment, reason: str | None, expected: str) -> None:
    assert answer_of(gemini, candidates=[candidate(reason=reason)]).finish_reason == expected


def test_only_an_answer_that_came_to_its_end_ends_with_calls(gemini: Deployment) -> None:
    call = {"functionCall": {"name": "f"}}
    for reason, word in FINISH_REASONS.items():
        ended = answer_of(gemini, candidates=[candidate(call, reason=reason)]).finish_reason
        assert ended == ("tool_calls" if word == "stop" else word)


def test_thoughts_and_the_prompts_of_googles_tools_are_within_the_totals(gemini: Deployment) -> None:
    usage = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 200,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 3000,
        "thoughtsTokenCount": 500,
        "totalTokenCount": 3710,
    }
    assert answer_of(gemini, candidates=[candidate()], usageMetadata=usage).usage == common_pb2.TokenUsage(
        input_tokens=210, output_tokens=3500, cache_read_tokens=4, reasoning_tokens=500
    )


def test_sound_and_pictures_are_told_apart_from_text_and_from_what_was_cached(gemini: Deployment) -> None:
    """As Google documents `usageMetadata`: the prompt's details hold all that was read, from the cache too."""
    usage: dict[str, Any] = {
        "promptTokenCount": 1000,
        "candidatesTokenCount": 1300,
        "totalTokenCount": 2300,
        "cachedContentTokenCount": 500,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 300},
            {"modality": "AUDIO", "tokenCount": 600},
            {"modality": "IMAGE", "tokenCount": 100},
        ],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 400}, {"modality": "TEXT", "tokenCount": 100}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}, {"modality": None}, {}],
        "serviceTier": "flex",
    }
    expected = common_pb2.TokenUsage(
        input_tokens=1000,
        output_tokens=1300,
        cache_read_tokens=500,
        cache_read_audio_tokens=400,
        input_audio_tokens=200,
        input_image_tokens=100,
        output_image_tokens=1290,
        service_tier=common_pb2.SERVICE_TIER_FLEX,
    )
    answer = answer_of(gemini, candidates=[candidate()], usageMetadata=usage)
    assert answer.usage == expected
    told = json.loads(answer.body)["usage"]
    read = told["prompt_tokens_details"]
    assert (read["cached_tokens"], read["audio_tokens"], read["image_tokens"]) == (500, 600, 100)
    assert told["completion_tokens_details"]["image_tokens"] == 1290
    usage |= {"serviceTier": 5, "trafficType": "ON_DEMAND_PRIORITY"}
    found = answer_of(gemini, candidates=[candidate()], usageMetadata=usage).usage
    assert found is not None
    assert found.service_tier == common_pb2.SERVICE_TIER_PRIORITY


def test_thoughts_that_are_counted_among_the_candidates_are_counted_once(gemini: Deployment) -> None:
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 30, "thoughtsTokenCount": 20, "totalTokenCount": 40}
    found = answer_of(gemini, candidates=[candidate()], usageMetadata=usage).usage
    assert found == common_pb2.TokenUsage(input_tokens=10, output_tokens=30, reasoning_tokens=20)


@pytest.mark.parametrize("usage", [None, {}, {"trafficType": "ON_DEMAND"}, {"candidatesTokenCount": 5}])
def test_no_usage_is_no_usage(gemini: Deployment, usage: dict[str, Any] | None) -> None:
    answer = answer_of(gemini, candidates=[candidate({"text": "日本"})], usageMetadata=usage)
    assert answer.usage is None
    assert "usage" not in json.loads(answer.body)
    assert answer.content_bytes == 6


def test_a_senseless_count_is_none(gemini: Deployment) -> None:
    usage = {"promptTokenCount": -5, "candidatesTokenCount": 1e300, "thoughtsTokenCount": None}
    assert answer_of(gemini, candidates=[candidate()], usageMetadata=usage).usage == common_pb2.TokenUsage()


def test_a_prompt_that_was_blocked_unread_cost_nothing(gemini: Deployment) -> None:
    feedback = {"blockReason": "MODEL_ARMOR", "blockReasonMessage": "An attack."}
    answer = answer_of(gemini, promptFeedback=feedback, usageMetadata={"trafficType": "ON_DEMAND"})
    assert (answer.usage, answer.finish_reason) == (common_pb2.TokenUsage(), "content_filter")
    message = json.loads(answer.body)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "", "refusal": "An attack."}


def test_an_answer_may_be_empty(gemini: Deployment) -> None:
    assert message_of(gemini, {"text": ""}) == {"role": "assistant", "content": ""}
    for content in (None, {}, {"parts": None}):
        body = json.loads(answer_of(gemini, candidates=[{"content": content}]).body)
        assert body["choices"][0]["message"] == {"role": "assistant", "content": ""}


def test_words_beside_calls_are_kept(gemini: Deployment) -> None:
    message = message_of(gemini, {"text": "Look:"}, {"functionCall": {"name": "f", "args": None}})
    assert message["content"] == "Look:"
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_calls_without_ids_get_some_that_no_other_answer_has(gemini: Deployment) -> None:
    call = {"functionCall": {"name": "f"}}
    first = message_of(gemini, call, call)
    ids = [each["id"] for each in first["tool_calls"]]
    assert ids == ["call_r_0", "call_r_1"]
    unnamed = json.loads(answer_of(gemini, candidates=[candidate(call)], responseId="").body)
    assert unnamed["choices"][0]["message"]["tool_calls"][0]["id"] == "call_7_0"


def test_what_google_s_tools_ran_is_left_out(gemini: Deployment) -> None:
    parts: list[dict[str, Any]] = [
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"inlineData": {"mimeType": "video/mp4", "data": "AA"}},
        {"text": "1"},
    ]
    assert message_of(gemini, *parts) == {"role": "assistant", "content": "1"}


def test_sound_that_is_no_base64_does_not_join(gemini: Deployment) -> None:
    sound = [{"inlineData": {"mimeType": "audio/L16", "data": data}} for data in ("YQ==", "*", "Yg==")]
    assert message_of(gemini, *sound)["audio"]["data"] == "YWI="


def test_odd_metadata_is_no_reason_to_lose_the_answer(gemini: Deployment) -> None:
    message = message_of(gemini, {"text": "Yes"}, groundingMetadata=[5], urlContextMetadata={})
    assert message == {
        "role": "assistant",
        "content": "Yes",
        "provider_specific_fields": {"grounding_metadata": [5]},
    }


def test_metadata_that_is_no_text_is_left_out(gemini: Deployment) -> None:
    body = b'{"candidates":[{"groundingMetadata":{"a":"\xff"},"urlContextMetadata":{"b":1}}]}'
    message = json.loads(decode(body, gemini, created=7).body)["choices"][0]["message"]
    assert message["provider_specific_fields"] == {"url_context_metadata": {"b": 1}}


def test_grounds_outside_of_the_text_are_moved_to_its_edge(gemini: Deployment) -> None:
    grounding = {
        "groundingChunks": [{"maps": {"uri": "https://x"}}],
        "groundingSupports": [{"segment": {"startIndex": -5, "endIndex": 999}, "groundingChunkIndices": [0, -1]}],
    }
    message = message_of(gemini, {"text": "é"}, groundingMetadata=grounding)
    (annotation,) = message["annotations"]
    assert annotation["url_citation"] == {"start_index": 0, "end_index": 1, "title": "", "url": "https://x"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"[]", "not an answer"),
        (b"{}", "no candidates"),
        (b'{"candidates":[]}', "no candidates"),
        (b'{"promptFeedback":{}}', "no candidates"),
        (b'{"candidates":[{"content":{"parts":[{"text":5}]}}]}', "not an answer"),
        (b'{"candidates":' + b"[" * 100_000, "not"),
    ],
)
def test_what_is_no_answer_is_an_invalid_response(gemini: Deployment, body: bytes, said: str) -> None:
    with pytest.raises(GatewayError, match=said) as caught:
        decode(body, gemini, created=7)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE


def test_an_error_with_status_200_is_that_error(gemini: Deployment) -> None:
    body = b'{"error":{"code":429,"message":"Slow down","status":"RESOURCE_EXHAUSTED"}}'
    with pytest.raises(GatewayError, match="Slow down") as caught:
        decode(body, gemini, created=7)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_RATE_LIMITED


PART = st.fixed_dictionaries(
    {},
    optional={
        "text": SMALL_TEXT,
        "thought": st.none() | st.booleans(),
        "thoughtSignature": SMALL_TEXT,
        "functionCall": st.fixed_dictionaries({}, optional={"name": st.text(max_size=3), "args": VALUE, "id": VALUE}),
        "inlineData": st.fixed_dictionaries(
            {"mimeType": st.sampled_from(["image/png", "audio/L16", "x"]), "data": st.sampled_from(["", "YQ==", "*"])}
        ),
    },
)
SUPPORT = st.fixed_dictionaries(
    {"groundingChunkIndices": st.lists(st.integers(-1, 2), max_size=2)},
    optional={"segment": st.dictionaries(st.sampled_from(["startIndex", "endIndex", "partIndex"]), st.integers())},
)
GROUNDING = st.fixed_dictionaries(
    {
        "groundingChunks": st.lists(st.just({"web": {"uri": "https://x"}}) | st.just({}), max_size=2),
        "groundingSupports": st.lists(SUPPORT, max_size=2),
    }
)
CANDIDATE = st.fixed_dictionaries(
    {"content": st.fixed_dictionaries({"parts": st.lists(PART, max_size=4)})},
    optional={
        "finishReason": st.none() | st.sampled_from(["STOP", "SAFETY", "X"]),
        "finishMessage": st.text(max_size=3),
        "groundingMetadata": GROUNDING | VALUE,
        "urlContextMetadata": VALUE,
        "citationMetadata": st.fixed_dictionaries(
            {"citations": st.lists(st.fixed_dictionaries({"uri": st.text(max_size=3), "endIndex": st.integers()}))}
        ),
        "logprobsResult": st.just({"chosenCandidates": [{"token": "é", "logProbability": -1}]}) | VALUE,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(candidates=st.lists(CANDIDATE, max_size=2), usage=st.none() | VALUE, feedback=st.none() | VALUE)
def test_any_answer_is_a_completion_that_the_sdk_reads_or_invalid(
    gemini: Deployment, candidates: list[dict[str, Any]], usage: object, feedback: object
) -> None:
    try:
        answer = answer_of(gemini, candidates=candidates, usageMetadata=usage, promptFeedback=feedback)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
        return
    ChatCompletion.model_validate_json(answer.body, strict=True)
