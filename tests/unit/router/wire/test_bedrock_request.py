"""Requests to Converse, beyond the cases of tests/conformance/wire/bedrock/requests."""

from __future__ import annotations

import itertools
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.bedrock.request import encode
from services.errors import GatewayError
from tests.asking import Asking
from tests.strategies import JSON, MESSAGE

CLAUDE, NOVA, LLAMA = "anthropic.claude-example-4-5-v1:0", "us.amazon.nova-example-v1:0", "meta.llama3-example-v1:0"
HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def bedrock(model: str = CLAUDE, **others: Any) -> Deployment:
    return Deployment("d1", "g", "bedrock", model, "https://host.example", auth="aws", wire="bedrock", **others)


asking = Asking(encode, bedrock(), {})
request = asking.request


def sent(caller: dict[str, Any], model: str = CLAUDE, limit: int = 0, **others: Any) -> dict[str, Any]:
    return asking.sent(caller, bedrock(model, **others), limit=limit)


def refused(caller: dict[str, Any], model: str = CLAUDE) -> GatewayError:
    return asking.refused(caller, bedrock(model))


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (CLAUDE, "anthropic.claude-example-4-5-v1%3A0"),
        (f"converse/{NOVA}", "us.amazon.nova-example-v1%3A0"),
        (f"us-east-1/{CLAUDE}", "anthropic.claude-example-4-5-v1%3A0"),
        (f"converse/us-gov-west-1/{CLAUDE}", "anthropic.claude-example-4-5-v1%3A0"),
        ("eu-central-1/1-month-commitment/anthropic.claude-v2", "anthropic.claude-v2"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc",
        ),
    ],
)
def test_the_model_is_one_segment_of_the_path(model: str, path: str) -> None:
    body = {"model": "g", "messages": HI}
    assert request(body, bedrock(model)).url == f"https://host.example/model/{path}/converse"
    assert request(body, bedrock(model), stream=True).url == f"https://host.example/model/{path}/converse-stream"


def test_a_profile_stands_in_for_the_model_whose_name_says_what_it_can() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    asked = request({"messages": HI, "top_k": 3}, bedrock(f"converse/{NOVA}", options={"model_id": arn}))
    assert asked.url == f"https://host.example/model/{quote(arn, safe='')}/converse"
    assert json.loads(asked.body)["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}}


def test_a_stream_is_asked_for_by_path_and_media_type_alone() -> None:
    asked = request({"messages": HI, "stream": True, "stream_options": {"include_usage": True}}, bedrock(), stream=True)
    assert asked.headers["accept"] == "application/vnd.amazon.eventstream"
    assert "authorization" not in asked.headers
    assert asked.show_usage
    assert json.loads(asked.body) == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    assert request({"messages": HI}, bedrock()).headers["accept"] == "application/json"


def test_the_hold_is_the_upper_limit() -> None:
    assert sent({"messages": HI}, limit=50)["inferenceConfig"] == {"maxTokens": 50}
    assert sent({"messages": HI, "max_tokens": 99}, limit=50)["inferenceConfig"] == {"maxTokens": 50}
    assert sent({"messages": HI, "max_tokens": 9}, limit=50)["inferenceConfig"] == {"maxTokens": 9}
    # Neither in Converse's own words.
    own = sent({"messages": HI, "inferenceConfig": {"maxTokens": 99}}, limit=50)
    assert own["inferenceConfig"] == {"maxTokens": 50}


def test_defaults_yield_to_the_caller_and_extra_body_does_not() -> None:
    body = sent(
        {"messages": HI, "temperature": 0.1},
        defaults={"temperature": 0.9, "top_p": 0.5},
        extra_body={"guardrailConfig": {"guardrailIdentifier": "g"}, "min_p": 0.1},
    )
    assert body["inferenceConfig"] == {"temperature": 0.1, "topP": 0.5}
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g"}
    assert body["additionalModelRequestFields"] == {"min_p": 0.1}


@pytest.mark.parametrize(
    "asked",
    [
        {"seed": 1},
        {"logprobs": True, "top_logprobs": 2},
        {"frequency_penalty": 0.5},
        {"logit_bias": {"1": 2}},
        {"modalities": ["text", "audio"]},
        {"web_search_options": {}},
        {"verbosity": "low"},
    ],
)
def test_what_bedrock_does_not_take_is_refused_by_name_or_dropped(asked: dict[str, Any]) -> None:
    error = refused({"messages": HI, **asked})
    assert error.param == next(iter(asked))
    assert all(name in error.message for name in asked)
    assert sent({"messages": HI, "drop_params": True, **asked}) == sent({"messages": HI})


def test_what_asks_for_nothing_is_left_out() -> None:
    nothing = {"frequency_penalty": 0, "logprobs": False, "n": 1, "user": "u", "seed": None, "prompt_cache_key": "k"}
    assert sent({"messages": HI, **nothing}) == sent({"messages": HI})


@pytest.mark.parametrize(
    ("model", "asked", "param"),
    [
        (LLAMA, {"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
        (NOVA, {"tools": [TOOL, TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
        (LLAMA, {"reasoning_effort": "low"}, "reasoning_effort"),
        ("openai.gpt-oss-example", {"reasoning_effort": "none"}, "reasoning_effort"),
        ("anthropic.claude-3-5-example", {"reasoning_effort": "low"}, "reasoning_effort"),
    ],
)
def test_what_a_model_cannot_be_told_is_refused_or_dropped(model: str, asked: dict[str, Any], param: str) -> None:
    assert refused({"messages": HI, **asked}, model).param == param
    dropped = sent({"messages": HI, "drop_params": True, **asked}, model)
    assert "additionalModelRequestFields" not in dropped
    assert "toolChoice" not in dropped.get("toolConfig", {})


def test_none_after_a_call_cannot_be_told_to_all() -> None:
    called = [
        *HI,
        {"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "t", "content": "x"},
    ]
    assert refused({"messages": called, "tools": [TOOL], "tool_choice": "none"}, NOVA).param == "tool_choice"


def test_a_model_that_thinks_is_not_made_to_call_the_tool_that_is_the_answer() -> None:
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    asked = {"messages": HI, "response_format": form, "reasoning_effort": "low"}
    assert "toolChoice" not in sent(asked, "anthropic.claude-opus-4-1-example")["toolConfig"]


def test_ids_are_cleaned_alike_in_calls_and_results_and_stay_apart() -> None:
    long = "x" * 80
    messages = [
        *HI,
        {"role": "assistant", "tool_calls": [{"id": each, "function": {"name": "f"}} for each in (long + "1", long)]},
        {"role": "tool", "tool_call_id": long, "content": ""},
        {"role": "tool", "tool_call_id": long + "1", "content": ""},
    ]
    _, calls, results = sent({"messages": messages, "tools": [TOOL]})["messages"]
    called = [block["toolUse"]["toolUseId"] for block in calls["content"]]
    assert [block["toolResult"]["toolUseId"] for block in results["content"]] == called[::-1]
    assert called[0] != called[1]
    assert all(len(each) == 64 for each in called)


def called(name: str, arguments: str) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": name, "arguments": arguments}}]}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("caller", "param"),
    [
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [called("f", "[")]}, "messages[0].tool_calls[0].function.arguments"),
        (user(image("https://example.com/a.png")), "messages[0].content[0].image_url"),
        (user(image("data:image/bmp;base64,AAAA")), "messages[0].content[0].image_url"),
        (user({"type": "file", "file": {"file_id": "file-1"}}), "messages[0].content[0].file.file_id"),
        (user({"type": "hologram"}), "messages[0].content[0].type"),
        ({"messages": [{"role": "system", "content": [image("s3://b/a.png")]}]}, "messages[0].content"),
        ({"messages": HI, "n": 2}, "n"),
        ({"messages": HI, "tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"messages": HI, "tool_choice": "some"}, "tool_choice"),
        ({"messages": HI, "service_tier": "scale"}, "service_tier"),
        ({"messages": HI, "guardrailConfig": "x"}, "guardrailConfig"),
        ({"messages": HI, "response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"messages": HI, "reasoning_effort": "huge"}, "reasoning_effort"),
    ],
)
@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_what_cannot_be_meant_is_refused_where_it_stands(caller: dict[str, Any], param: str, model: str) -> None:
    assert refused(caller, model).param == param


def test_a_form_that_is_no_object_is_refused_where_a_tool_stands_in_for_it() -> None:
    form = {"type": "json_schema", "json_schema": {"schema": 5}}
    assert refused({"messages": HI, "response_format": form}, NOVA).param == "response_format.json_schema.schema"


def test_an_unknown_tier_is_dropped_where_that_was_asked() -> None:
    assert sent({"messages": HI, "service_tier": "scale", "drop_params": True}) == sent({"messages": HI})


OBJECT = st.dictionaries(st.text(max_size=8), JSON, max_size=2)
BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=4)},
    optional={
        **dict.fromkeys(("max_tokens", "temperature", "top_k", "stop", "user", "n", "parallel_tool_calls"), JSON),
        **dict.fromkeys(("thinking", "reasoning_effort", "extra_body", "guardrailConfig", "outputConfig"), JSON),
        "tools": st.just([TOOL]) | JSON,
        "tool_choice": st.sampled_from(["auto", "none", "required"]) | JSON,
        "response_format": st.builds(lambda of: {"type": "json_schema", "json_schema": {"schema": of}}, JSON) | JSON,
        "additionalModelRequestFields": OBJECT | JSON,
        "drop_params": st.booleans(),
    },
)


@settings(max_examples=400, deadline=None)
@given(BODY, st.integers(0, 3000), st.sampled_from([CLAUDE, NOVA, LLAMA, "openai.gpt-oss-example", "arn:x/y"]))
def test_any_body_is_translated_or_refused(caller: dict[str, Any], limit: int, model: str) -> None:
    body = asking.translated(caller, bedrock(model), limit=limit)
    if body is None:
        return
    assert not limit or 0 < body["inferenceConfig"]["maxTokens"] <= limit
    roles = [turn["role"] for turn in body["messages"]]
    assert all(before != after for before, after in itertools.pairwise(roles))
    assert all(turn["content"] for turn in body["messages"])
    # A block is a union: exactly one member, and no blank text.
    for block in [each for turn in body["messages"] for each in turn["content"]] + body.get("system", []):
        assert len(block) == 1
        assert "text" not in block or block["text"].strip()


def test_a_model_that_cannot_be_told_to_call_takes_its_tools_all_the_same() -> None:
    config = sent({"messages": HI, "tools": [TOOL], "tool_choice": "auto"}, LLAMA)["toolConfig"]
    assert list(config) == ["tools"]


def test_a_claude_that_must_call_one_tool_at_most_is_told_both() -> None:
    body = sent({"messages": HI, "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False})
    choice = {"type": "any", "disable_parallel_tool_use": True}
    assert body["additionalModelRequestFields"]["tool_choice"] == choice


def test_a_strict_tool_that_bedrock_cannot_hold_to_is_described() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True}
    function = {"name": "f", "parameters": schema, "strict": True}
    body = sent({"tools": [{"type": "function", "function": function}]}, "anthropic.claude-example-4-5-v1:0")
    assert body["toolConfig"]["tools"] == [{"toolSpec": {"name": "f", "inputSchema": {"json": schema}}}]
