"""What holds for callers of every wire that translates: what is dropped is told, what is said otherwise is the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from router.catalog import Deployment
from router.wire import WIRES
from router.wire.base import HttpRequest
from services.errors import GatewayError, Reason

# Each wire that does not take `logit_bias`, with a model of its language.
MODELS = {
    "anthropic": "claude-example-4-5",
    "anthropic-hosted": "claude-example-4-5",
    "anthropic-vertex": "claude-example-4-5",
    "bedrock": "anthropic.claude-example-v1:0",
    "bedrock_invoke": "invoke/anthropic.claude-example-v1:0",
    "cohere": "command-example",
    "cohere-v1": "v1/command-example",
    "gemini": "gemini-example",
    "gemini-vertex": "gemini-example",
    "ollama": "example",
    "replicate": "owner/example",
    "sagemaker": "example",
    "tgi": "org/example",
}
# Those that can be told neither to call one function at a time, nor to answer several times.
CALLS_AT_ONCE = sorted(MODELS.keys() & {"cohere", "cohere-v1", "gemini", "gemini-vertex", "ollama"})
ANSWERS_ONCE = sorted(MODELS.keys() - {"gemini", "gemini-vertex"})
FUNCTIONS = [{"type": "function", "function": {"name": name}} for name in ("ping", "pong")]
ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def test_every_wire_that_translates_is_here() -> None:
    passed_through = {"openai", "sagemaker-chat", "watsonx"}
    assert MODELS.keys() == WIRES.keys() - passed_through


def asked_of(name: str, **members: object) -> HttpRequest:
    wire = WIRES[name](lambda: 0.0)
    deployment = Deployment("d", "m", "provider", MODELS[name], "https://provider.example", "key", wire=name)
    return wire.encode(json.dumps({**ASKED, **members}).encode(), deployment, stream=False, output_tokens_limit=0)


def assert_refused_or_dropped(
    name: str, param: str, members: Mapping[str, object], without: Mapping[str, object]
) -> None:
    with pytest.raises(GatewayError) as caught:
        asked_of(name, **members)
    assert (caught.value.reason, caught.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, param)
    request = asked_of(name, **members, drop_params=True)
    assert request.dropped == (param,)
    assert request.body == asked_of(name, **without).body


@pytest.mark.parametrize("name", MODELS)
def test_what_a_provider_does_not_take_is_named_or_dropped_and_told(name: str) -> None:
    assert_refused_or_dropped(name, "logit_bias", {"logit_bias": {"50256": -100}}, {})


@pytest.mark.parametrize("name", ANSWERS_ONCE)
def test_several_answers_are_refused_or_one_is_given(name: str) -> None:
    assert_refused_or_dropped(name, "n", {"n": 2}, {})


@pytest.mark.parametrize("name", CALLS_AT_ONCE)
def test_calls_one_after_the_other_can_be_asked_for_where_there_is_but_one_function(name: str) -> None:
    several, one = {"tools": FUNCTIONS}, {"tools": FUNCTIONS[:1]}
    assert_refused_or_dropped(name, "parallel_tool_calls", {**several, "parallel_tool_calls": False}, several)
    request = asked_of(name, **one, parallel_tool_calls=False)
    assert (request.dropped, request.body) == ((), asked_of(name, **one).body)
    assert asked_of(name, parallel_tool_calls=False).body == asked_of(name).body


@pytest.mark.parametrize("name", MODELS)
def test_thinking_among_the_parts_is_thinking(name: str) -> None:
    signed = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
    said = {"type": "text", "text": "Hi"}
    hidden = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
    bodies = [
        asked_of(name, messages=[*ASKED["messages"], {"role": "assistant", **turn}, *ASKED["messages"]]).body
        for turn in (
            {"content": [signed, hidden, said]},
            {"content": [said], "thinking_blocks": [signed, hidden]},
            {"content": [signed, said], "thinking_blocks": [signed, hidden]},
        )
    ]
    assert bodies[1:] == bodies[:1] * 2


@pytest.mark.parametrize("name", MODELS)
def test_an_empty_text_stops_nothing(name: str) -> None:
    assert asked_of(name, stop=["", "END"]).body == asked_of(name, stop="END").body
    assert asked_of(name, stop="").body == asked_of(name).body


@pytest.mark.parametrize("name", ["anthropic", "anthropic-hosted", "anthropic-vertex", "bedrock", "bedrock_invoke"])
def test_a_function_with_the_name_of_the_tool_that_is_the_answer_is_refused(name: str) -> None:
    for more in ({}, {"drop_params": True}, {"response_format": {"type": "json_object"}}):
        with pytest.raises(GatewayError) as caught:
            asked_of(name, tools=[{"type": "function", "function": {"name": "json_tool_call"}}], **more)
        assert (caught.value.reason, caught.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, "tools")


# Those that can demand a call.
DEMAND_CALLS = sorted(
    MODELS.keys() & {"anthropic", "anthropic-hosted", "anthropic-vertex", "bedrock", "cohere", "gemini"}
)


@pytest.mark.parametrize("name", DEMAND_CALLS)
def test_any_is_another_word_for_required(name: str) -> None:
    asked = [asked_of(name, tools=FUNCTIONS, tool_choice=choice).body for choice in ("any", "required", "auto")]
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize("name", ["bedrock", "gemini", "gemini-vertex"])
def test_a_film_by_its_own_part_is_one_by_a_files(name: str) -> None:
    data = "data:video/mp4;base64,AAAA"
    parts = [
        {"type": "video_url", "video_url": {"url": data}},
        {"type": "video_url", "video_url": data},
        {"type": "file", "file": {"file_data": data}},
    ]
    bodies = [asked_of(name, messages=[{"role": "user", "content": [part]}]).body for part in parts]
    assert b"mp4" in bodies[0]
    assert bodies[1:] == bodies[:1] * 2
