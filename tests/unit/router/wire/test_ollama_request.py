"""What Ollama is asked; whole requests are in tests/conformance/wire/ollama/requests."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.ollama.request import encode
from services.errors import GatewayError
from tests.asking import Asking
from tests.strategies import JSON, MESSAGE

USER = {"role": "user", "content": "Hi"}
ASKED = {"messages": [USER]}
PING = {"type": "function", "function": {"name": "ping", "parameters": {"type": "object"}}}
CALL = {"id": "a", "type": "function", "function": {"name": "ping", "arguments": "{}"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
TEXT_FILE = {"type": "file", "file": {"file_data": "data:text/plain;base64,AAAA"}}


def ollama(model: str = "example:4b", **members: Any) -> Deployment:
    base = Deployment("d1", "local", "ollama", model, "http://localhost:11434", wire="ollama")
    return dataclasses.replace(base, **members)


asking = Asking(encode, ollama(), ASKED)
sent, refused = asking.sent, asking.refused


def turns(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    found = sent({"messages": messages})["messages"]
    assert isinstance(found, list)
    return found


def test_the_request_goes_to_its_own_chat_with_a_key_if_there_is_one() -> None:
    request = encode(json.dumps(ASKED).encode(), ollama(), stream=False, output_tokens_limit=0)
    assert (request.method, request.url) == ("POST", "http://localhost:11434/api/chat")
    assert "authorization" not in request.headers
    request = encode(json.dumps(ASKED).encode(), ollama(api_key="secret"), stream=False, output_tokens_limit=0)
    assert request.headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/chat", "/api/generate"])
def test_a_base_may_be_the_whole_address(path: str) -> None:
    to = ollama(api_base=f"http://gpu.example:11434{path}")
    assert encode(json.dumps(ASKED).encode(), to, stream=False, output_tokens_limit=0).url == (
        "http://gpu.example:11434/api/chat"
    )


@pytest.mark.parametrize(("options", "shown"), [({"include_usage": True}, True), ({}, False), (None, False)])
def test_a_stream_is_asked_for_and_usage_shown_to_who_asked(options: dict[str, bool] | None, shown: bool) -> None:
    body = json.dumps({**ASKED, "stream": True, "stream_options": options}).encode()
    request = encode(body, ollama(), stream=True, output_tokens_limit=0)
    assert json.loads(request.body)["stream"] is True
    assert request.headers["accept"] == "application/x-ndjson"
    assert request.show_usage is shown


def test_a_whole_answer_is_asked_for_too_for_streams_are_its_default() -> None:
    assert sent({})["stream"] is False


@pytest.mark.parametrize(
    ("caller", "limit", "expected"),
    [
        ({}, 0, None),
        ({}, 50, 50),
        ({"max_tokens": 100}, 0, 100),
        ({"max_tokens": 100}, 50, 50),
        ({"max_completion_tokens": 100, "max_tokens": 20}, 0, 20),
        ({"num_predict": -1}, 0, -1),
        ({"num_predict": -1}, 50, 50),
        ({"num_predict": 20, "max_tokens": 30}, 50, 20),
        ({"options": {"num_predict": 500}, "max_tokens": 30}, 0, 30),
        ({"options": {"num_predict": -1}, "max_tokens": 30}, 50, 30),
        ({"options": {"num_predict": 500}}, 50, 50),
        ({"options": {"num_predict": 40}}, 50, 40),
        ({"options": {"num_predict": None}}, 50, 50),
        ({"extra_body": {"options": {"num_predict": 500}}}, 50, 50),
    ],
)
def test_no_limit_by_any_name_is_above_what_the_hold_pays_for(
    caller: dict[str, Any], limit: int, expected: int | None
) -> None:
    assert sent(caller, limit=limit).get("options", {}).get("num_predict") == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temperature": 0}, {"options": {"temperature": 0}}),
        ({"stop": "END"}, {"options": {"stop": ["END"]}}),
        ({"stop": []}, {}),
        ({"num_ctx": 4096, "temperature": 1}, {"options": {"temperature": 1, "num_ctx": 4096}}),
        ({"options": {"temperature": 0.1}, "temperature": 1}, {"options": {"temperature": 0.1}}),
        ({"options": {"num_ctx": 1}, "num_ctx": 2}, {"options": {"num_ctx": 1}}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"format": "json"}),
        ({"format": "json"}, {"format": "json"}),
        ({"keep_alive": -1, "truncate": False}, {"keep_alive": -1, "truncate": False}),
        ({"logprobs": True, "top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"service_tier": "auto", "user": "u1", "store": False, "logit_bias": {}, "n": 1}, {}),
    ],
)
def test_options_and_the_rest(given: dict[str, Any], expected: dict[str, Any]) -> None:
    body = sent(given)
    assert {name: value for name, value in body.items() if name not in ("model", "messages", "stream")} == expected


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        ("example:4b", {"reasoning_effort": "none"}, False),
        ("example:4b", {"reasoning_effort": "minimal"}, True),
        ("gpt-oss:20b", {"reasoning_effort": "minimal"}, "low"),
        ("hub.example/me/GPT-OSS:20b", {"reasoning_effort": "max"}, "high"),
        ("gpt-oss:20b", {"reasoning_effort": "none"}, False),
        ("example:4b", {"thinking": {"type": "enabled", "budget_tokens": 9}, "reasoning_effort": "none"}, True),
        ("example:4b", {"thinking": {"type": "disabled"}}, False),
        ("example:4b", {"think": "medium", "reasoning_effort": "none"}, "medium"),
        ("example:4b", {}, None),
    ],
)
def test_an_effort_is_a_level_where_there_are_levels(
    model: str, given: dict[str, Any], expected: bool | str | None
) -> None:
    assert sent(given, ollama(model)).get("think") == expected


def test_tools_that_may_not_be_called_are_not_given() -> None:
    assert "tools" not in sent({"tools": [PING], "tool_choice": "none"})
    assert sent({"tools": [PING], "tool_choice": "auto"})["tools"] == [PING]
    assert "tools" not in sent({"tools": [], "tool_choice": "required"})


def test_a_result_goes_by_the_name_that_the_caller_gives_or_that_of_its_call() -> None:
    said = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    results = [
        {"role": "tool", "content": "1", "tool_call_id": "a"},
        {"role": "tool", "content": "2", "tool_call_id": "a", "name": "own"},
        {"role": "tool", "content": [{"type": "text", "text": "3"}], "tool_call_id": "unknown"},
        {"role": "tool", "content": "4"},
    ]
    assert [(turn["content"], turn.get("tool_name")) for turn in turns(said, *results)[1:]] == [
        ("1", "ping"),
        ("2", "own"),
        ("3", None),
        ("4", None),
    ]


def test_what_was_thought_and_refused_is_kept() -> None:
    assert turns({"role": "assistant", "refusal": "No.", "reasoning_content": "Hm"}) == [
        {"role": "assistant", "content": "No.", "thinking": "Hm"}
    ]


def test_a_picture_may_come_as_a_file_and_with_a_result() -> None:
    file = {"type": "input_file", "file_data": "data:image/png;base64,AAAA"}
    assert turns({"role": "tool", "content": [file]}) == [{"role": "tool", "content": "", "images": ["AAAA"]}]


@pytest.mark.parametrize(
    "given",
    [
        {"logit_bias": {"1": 5}},
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
    assert sent(given, ollama(drop_params=True)) == sent({})
    assert sent({**given, "drop_params": True}) == sent({})


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "ping"}}])
def test_a_call_cannot_be_demanded(choice: object) -> None:
    given = {"tools": [PING], "tool_choice": choice}
    assert refused(given).param == "tool_choice"
    assert sent(given, ollama(drop_params=True)) == sent({"tools": [PING]})


@pytest.mark.parametrize(
    ("caller", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"options": 5}, "options"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [AUDIO]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [TEXT_FILE]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://x"}]}]},
            "messages[0].content[0].image_url",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "["}}]}
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"tools": [{"type": "custom"}]}, "tools[0]"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"extra_body": 5}, "extra_body"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(caller: dict[str, Any], param: str) -> None:
    assert refused({**caller, "drop_params": True}).param == param


def test_a_limit_that_is_no_number_cannot_be_held_to() -> None:
    with pytest.raises(GatewayError) as caught:
        sent({"options": {"num_predict": "many"}}, limit=50)
    assert caught.value.param == "options.num_predict"


def test_defaults_yield_to_the_caller_and_extra_body_does_not() -> None:
    to = ollama(defaults={"temperature": 0.5, "n": 9}, extra_body={"num_ctx": 8192, "model": "x", "beta": [1]})
    body = sent({"temperature": 0, "num_ctx": 1, "extra_body": {"raw": True}}, to)
    assert body["options"] == {"temperature": 0, "num_ctx": 8192}
    assert body["model"] == "example:4b"
    # Words of the provider's own, which the caller or the operator insists on.
    assert (body["raw"], body["beta"]) == (True, [1])


BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=4)},
    optional={
        **dict.fromkeys(("max_tokens", "temperature", "top_k", "stop", "tools", "tool_choice", "n"), JSON),
        **dict.fromkeys(("response_format", "thinking", "reasoning_effort", "extra_body", "stream_options"), JSON),
        **dict.fromkeys(("num_ctx", "think", "format", "num_predict"), JSON),
        "options": JSON | st.fixed_dictionaries({"num_predict": JSON}),
        "drop_params": st.booleans(),
    },
)


@settings(max_examples=400, deadline=None)
@given(BODY, st.integers(0, 3000))
def test_any_body_is_translated_or_refused(caller: dict[str, Any], limit: int) -> None:
    body = asking.translated(caller, limit=limit)
    if body is None:
        return
    assert not limit or 0 < body["options"]["num_predict"] <= limit
    assert all(isinstance(turn["content"], str) for turn in body["messages"])
