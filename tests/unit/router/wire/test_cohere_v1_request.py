"""What version 1 of Cohere's Chat is asked; whole requests are in tests/conformance/wire/cohere_v1/requests."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.cohere_v1.request import encode
from tests.asking import Asking
from tests.strategies import JSON, MESSAGE

ASKED = {"messages": [{"role": "user", "content": "Hi"}]}
SENT = {"model": "command-example", "message": "Hi", "stream": False}
PING = {"type": "function", "function": {"name": "ping"}}
CALL = {"id": "a", "type": "function", "function": {"name": "ping", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": "https://x"}


def cohere(**members: Any) -> Deployment:
    base = Deployment("d1", "command", "cohere", "v1/command-example", "https://api.cohere.com", "k", wire="cohere-v1")
    return dataclasses.replace(base, **members)


asking = Asking(encode, cohere(), ASKED)
sent, refused = asking.sent, asking.refused


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/chat", "/v2/chat"])
def test_a_base_may_end_with_a_version_or_be_the_whole_address(path: str) -> None:
    to = cohere(api_base=f"https://proxy.example/cohere{path}")
    request = encode(json.dumps({**ASKED, "stream": True}).encode(), to, stream=True, output_tokens_limit=0)
    assert request.url == "https://proxy.example/cohere/v1/chat"
    assert request.headers["accept"] == "application/stream+json"
    assert request.headers["authorization"] == "Bearer k"
    assert json.loads(request.body)["stream"] is True


@pytest.mark.parametrize(("caller", "limit", "expected"), [({}, 50, 50), ({"max_tokens": 9}, 50, 9), ({}, 0, None)])
def test_the_limit_is_the_lowest(caller: dict[str, Any], limit: int, expected: int | None) -> None:
    assert sent(caller, limit=limit).get("max_tokens") == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        ({"preamble": "Own.", "documents": [{"id": "a"}]}, {"preamble": "Own.", "documents": [{"id": "a"}]}),
        ({"reasoning_effort": "none", "logprobs": False, "service_tier": "auto", "user": "u"}, {}),
        ({"tools": [PING], "tool_choice": "none"}, {}),
        ({"extra_body": {"new": 1}}, {"new": 1}),
    ],
)
def test_the_rest(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(given) == SENT | expected


def test_where_the_assistant_had_the_last_word_nothing_is_new() -> None:
    body = sent({"messages": [*ASKED["messages"], {"role": "assistant", "refusal": "No."}]})
    assert body["message"] == ""
    assert body["chat_history"] == [{"role": "USER", "message": "Hi"}, {"role": "CHATBOT", "message": "No."}]
    assert sent({"messages": []}) == {**SENT, "message": ""}


@pytest.mark.parametrize(
    "given",
    [
        {"logprobs": True},
        {"reasoning_effort": "low"},
        {"presence_penalty": -1},
        {"never_heard_of": 1},
        {"service_tier": "flex"},
    ],
)
def test_what_it_does_not_take_is_refused_by_name_or_dropped(given: dict[str, Any]) -> None:
    (name,) = given
    assert refused(given).param == name
    assert sent(given, cohere(drop_params=True)) == SENT


def test_a_call_cannot_be_demanded() -> None:
    assert refused({"tools": [PING], "tool_choice": "required"}).param == "tool_choice"


@pytest.mark.parametrize(
    ("caller", "param"),
    [
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "a"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0].type"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": 5}}}]},
            "tools[0].function.parameters.properties",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"required": "x"}}}]},
            "tools[0].function.parameters.required",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(caller: dict[str, Any], param: str) -> None:
    assert refused({**caller, "drop_params": True}).param == param


PROPERTY = st.fixed_dictionaries({}, optional={"type": st.sampled_from(["string", "x"]) | JSON, "description": JSON})
TOOL = st.builds(
    lambda properties, required: {
        "type": "function",
        "function": {"name": "f", "parameters": {"properties": properties, "required": required}},
    },
    st.dictionaries(st.text(max_size=3), PROPERTY, max_size=2) | JSON,
    st.lists(st.text(max_size=3), max_size=2) | JSON,
)
BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=4)},
    optional={
        **dict.fromkeys(("max_tokens", "temperature", "stop", "tool_choice", "response_format", "preamble"), JSON),
        "tools": st.lists(TOOL, max_size=2),
        "drop_params": st.booleans(),
    },
)


@settings(max_examples=400, deadline=None)
@given(BODY, st.integers(0, 3000))
def test_any_body_is_translated_or_refused(caller: dict[str, Any], limit: int) -> None:
    body = asking.translated(caller, limit=limit)
    if body is None:
        return
    assert not limit or 0 < body["max_tokens"] <= limit
    assert not (body["message"] and body.get("tool_results"))
