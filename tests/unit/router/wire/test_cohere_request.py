"""What Cohere is asked; whole requests are in tests/conformance/wire/cohere/requests."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.cohere.request import encode
from tests.asking import Asking
from tests.strategies import JSON, MESSAGE

USER = {"role": "user", "content": "Hi"}
ASKED = {"messages": [USER]}
PING = {"type": "function", "function": {"name": "ping", "parameters": {"type": "object"}}}
PONG = {"type": "function", "function": {"name": "pong", "parameters": {"type": "object"}, "strict": False}}
CALL = {"id": "a", "type": "function", "function": {"name": "ping", "arguments": "{}"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
PDF = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}


def cohere(model: str = "command-example", **members: Any) -> Deployment:
    base = Deployment("d1", "command", "cohere", model, "https://api.cohere.com", "co-secret", wire="cohere")
    return dataclasses.replace(base, **members)


asking = Asking(encode, cohere(), ASKED)
sent, refused = asking.sent, asking.refused


def turns(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    found = sent({"messages": messages})["messages"]
    assert isinstance(found, list)
    return found


def test_the_request_goes_to_chat_with_its_key() -> None:
    request = encode(json.dumps(ASKED).encode(), cohere(), stream=False, output_tokens_limit=0)
    assert (request.method, request.url) == ("POST", "https://api.cohere.com/v2/chat")
    assert request.headers["authorization"] == "Bearer co-secret"
    assert "co-secret" not in repr(request)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.cohere.com", "https://api.cohere.com/v2/chat"),
        ("https://api.cohere.com/v2/chat", "https://api.cohere.com/v2/chat"),
        ("https://api.cohere.ai/v1/", "https://api.cohere.ai/v2/chat"),
        ("https://proxy.example/cohere", "https://proxy.example/cohere/v2/chat"),
        ("https://proxy.example/cohere/v2", "https://proxy.example/cohere/v2/chat"),
    ],
)
def test_a_base_may_end_with_the_version_or_be_the_whole_address(base: str, url: str) -> None:
    request = encode(json.dumps(ASKED).encode(), cohere(api_base=base), stream=False, output_tokens_limit=0)
    assert request.url == url


@pytest.mark.parametrize(("options", "shown"), [({"include_usage": True}, True), ({}, False), (None, False)])
def test_a_stream_is_asked_for_and_usage_shown_to_who_asked(options: dict[str, bool] | None, shown: bool) -> None:
    body = json.dumps({**ASKED, "stream": True, "stream_options": options}).encode()
    request = encode(body, cohere(), stream=True, output_tokens_limit=0)
    assert json.loads(request.body)["stream"] is True
    assert request.headers["accept"] == "text/event-stream"
    assert request.show_usage is shown


@pytest.mark.parametrize(
    ("caller", "limit", "expected"),
    [
        ({}, 0, None),
        ({}, 50, 50),
        ({"max_tokens": 100}, 0, 100),
        ({"max_tokens": 100}, 50, 50),
        ({"max_completion_tokens": 100, "max_tokens": 20}, 0, 20),
        ({"max_tokens": -1}, 50, 50),
        ({"extra_body": {"max_tokens": 100}}, 50, 50),
    ],
)
def test_the_limit_is_the_lowest(caller: dict[str, Any], limit: int, expected: int | None) -> None:
    assert sent(caller, limit=limit).get("max_tokens") == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temperature": 1.5}, {"temperature": 1.5}),
        ({"top_p": 0.5}, {"p": 0.5}),
        ({"top_p": 1.0}, {"p": 0.99}),
        ({"top_p": 0}, {"p": 0.01}),
        ({"top_p": 0.5, "p": 0.7}, {"p": 0.7}),
        ({"top_k": 5}, {"k": 5}),
        ({"top_k": -1}, {}),
        ({"top_k": 5, "k": 0}, {"k": 0}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": []}, {}),
        ({"frequency_penalty": 0}, {"frequency_penalty": 0}),
        ({"presence_penalty": 2}, {"presence_penalty": 1}),
        ({"logprobs": False, "top_logprobs": 0}, {"logprobs": False}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        ({"service_tier": "default", "user": "u1", "store": False, "logit_bias": {}}, {}),
        ({"priority": 3, "citation_options": {"mode": "OFF"}}, {"priority": 3, "citation_options": {"mode": "OFF"}}),
        ({"documents": []}, {}),
    ],
)
def test_sampling_and_the_rest(given: dict[str, Any], expected: dict[str, Any]) -> None:
    body = sent(given)
    assert {name: value for name, value in body.items() if name not in ("model", "messages", "stream")} == expected


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        ("command-a-reasoning-example", {"reasoning_effort": "none"}, {"type": "disabled"}),
        ("command-a-reasoning-example", {"reasoning_effort": "minimal"}, {"type": "enabled", "token_budget": 1024}),
        ("command-a-reasoning-example", {"reasoning_effort": "medium"}, {"type": "enabled", "token_budget": 4096}),
        ("my-alias", {"reasoning_effort": "high"}, {"type": "enabled"}),
        ("command-r-example", {"reasoning_effort": "none"}, None),
        ("x", {"thinking": {"type": "disabled"}}, {"type": "disabled"}),
        ("x", {"thinking": {"type": "adaptive"}, "reasoning_effort": "none"}, {"type": "enabled"}),
        (
            "x",
            {"thinking": {"type": "enabled", "budget_tokens": 9, "new": 1}},
            {"type": "enabled", "token_budget": 9, "new": 1},
        ),
    ],
)
def test_thinking_in_cohere_words_wins_over_an_effort(
    model: str, given: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    assert sent(given, cohere(model)).get("thinking") == expected


@pytest.mark.parametrize("model", ["command-r", "command-r-plus-example", "command", "command-a-03-2025", "c4ai-aya"])
def test_a_model_that_cannot_think_refuses_an_effort_or_drops_it(model: str) -> None:
    assert refused({"reasoning_effort": "low"}, cohere(model)).param == "reasoning_effort"
    assert "thinking" not in sent({"reasoning_effort": "low"}, cohere(model, drop_params=True))


@pytest.mark.parametrize(
    ("choice", "expected", "names"),
    [
        (None, None, ["ping", "pong"]),
        ("auto", None, ["ping", "pong"]),
        ("required", "REQUIRED", ["ping", "pong"]),
        ("none", "NONE", ["ping", "pong"]),
        ({"type": "function", "function": {"name": "pong"}}, "REQUIRED", ["pong"]),
    ],
)
def test_one_tool_is_demanded_by_giving_no_other(choice: object, expected: str | None, names: list[str]) -> None:
    body = sent({"tools": [PING, PONG], "tool_choice": choice})
    assert body.get("tool_choice") == expected
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert "strict_tools" not in body


def test_a_choice_among_no_tools_is_not_sent() -> None:
    assert sent({"tools": [], "tool_choice": "required"}) == sent({})


def test_strict_schemas_are_strict_for_all_tools() -> None:
    strict = {"type": "function", "function": {"name": "x", "strict": True}}
    assert sent({"tools": [PING, strict]})["strict_tools"] is True
    assert sent({"tools": [PING, strict], "strict_tools": False})["strict_tools"] is False


def test_what_was_said_beside_a_call_and_what_was_thought_is_kept() -> None:
    content = [{"type": "text", "text": "I"}, {"type": "refusal", "refusal": "J"}]
    texts = [{"type": "text", "text": "I"}, {"type": "text", "text": "J"}]
    assert turns({"role": "assistant", "content": content, "reasoning_content": "Hm", "tool_calls": [CALL]}) == [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm"}, *texts], "tool_calls": [CALL]}
    ]
    assert turns({"role": "assistant", "refusal": "No."}) == [{"role": "assistant", "content": "No."}]
    # A call with nothing beside it, and an empty text beside it, are both as they were.
    assert turns({"role": "assistant", "tool_calls": [CALL]}) == [{"role": "assistant", "tool_calls": [CALL]}]
    assert turns({"role": "assistant", "content": "", "tool_calls": [CALL]})[0]["content"] == ""


def test_an_assistant_who_said_nothing_has_no_turn() -> None:
    assert turns(USER, {"role": "assistant", "content": None}, {"role": "assistant", "content": ""}) == [USER]


@pytest.mark.parametrize(
    ("blocks", "thoughts"),
    [
        ([{"type": "thinking", "thinking": "a"}, {"type": "thinking", "thinking": "b"}], "ab"),
        ([{"type": "thinking", "thinking": "a", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}], None),
        ([], "ab"),
    ],
)
def test_thinking_that_another_provider_signed_stays_away(blocks: list[Any], thoughts: str | None) -> None:
    message = {"role": "assistant", "content": "So.", "reasoning_content": "ab", "thinking_blocks": blocks}
    (turn,) = turns(message)
    expected = (
        "So." if thoughts is None else [{"type": "thinking", "thinking": thoughts}, {"type": "text", "text": "So."}]
    )
    assert turn["content"] == expected


def test_a_picture_may_come_as_a_file() -> None:
    file = {"type": "input_file", "file_data": "data:image/jpg;base64,AAAA", "filename": "a.jpg"}
    assert turns({"role": "user", "content": [file]})[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}}
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"logit_bias": {"1": 5}},
        {"top_logprobs": 2},
        {"presence_penalty": -0.5},
        {"frequency_penalty": -1},
        {"store": True},
        {"modalities": ["text", "audio"]},
        {"functions": []},
        {"never_heard_of": 1},
        {"service_tier": "flex"},
    ],
)
def test_what_it_does_not_take_is_refused_by_name_or_dropped(given: dict[str, Any]) -> None:
    (name,) = given
    error = refused(given)
    assert error.param == name
    assert name in error.message
    assert sent(given, cohere(drop_params=True)) == sent({})
    assert sent({**given, "drop_params": True}) == sent({})


@pytest.mark.parametrize(
    ("caller", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [AUDIO]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [PDF]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_url": "https://x"}}]}]},
            "messages[0].content[0].type",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "input_file", "file_data": "data:text/x;base64,gA=="}]}
                ]
            },
            "messages[0].content[0].file_data",
        ),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": "https://x"}]}]},
            "messages[0].content",
        ),
        ({"tools": [{"type": "custom"}]}, "tools[0]"),
        ({"tools": [PING], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"documents": "x"}, "documents"),
        ({"strict_tools": 1}, "strict_tools"),
        ({"extra_body": 5}, "extra_body"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(caller: dict[str, Any], param: str) -> None:
    assert refused({**caller, "drop_params": True}).param == param


def test_defaults_yield_to_the_caller_and_extra_body_does_not() -> None:
    to = cohere(defaults={"temperature": 0.5, "n": 9}, extra_body={"k": 3, "model": "x", "beta": [1]})
    body = sent({"temperature": 0, "top_k": 1, "extra_body": {"connectors": "c", "k": 9}}, to)
    assert (body["temperature"], body["k"], body["model"]) == (0, 3, "command-example")
    # Words of the provider's own, which the caller or the operator insists on.
    assert (body["connectors"], body["beta"]) == ("c", [1])


BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=4)},
    optional={
        **dict.fromkeys(("max_tokens", "temperature", "top_k", "top_p", "stop", "tools", "tool_choice", "n"), JSON),
        **dict.fromkeys(("response_format", "thinking", "reasoning_effort", "extra_body", "stream_options"), JSON),
        **dict.fromkeys(("documents", "k", "strict_tools", "service_tier", "presence_penalty"), JSON),
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
    assert "system" not in [turn["role"] for turn in body["messages"][1:]]
