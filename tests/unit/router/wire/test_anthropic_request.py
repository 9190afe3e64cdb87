"""What Anthropic is asked; whole requests are in tests/conformance/wire/anthropic/requests."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.anthropic.request import encode
from services.errors import GatewayError
from tests.asking import Asking
from tests.strategies import JSON, MESSAGE

ASKED = {"messages": [{"role": "user", "content": "Hi"}]}
PING = {"type": "function", "function": {"name": "ping"}}
TOOLS = {"tools": [PING]}
CALLED = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "ping", "arguments": "{}"}}]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "pong"}


AUTH = "header:x-api-key"
WAV = {"data": "AAAA", "format": "wav"}


def anthropic(model: str = "claude-example-4-5", **members: Any) -> Deployment:
    base = Deployment(
        "d1", "claude", "anthropic", model, "https://api.anthropic.com", "sk-ant-secret", wire="anthropic", auth=AUTH
    )
    return dataclasses.replace(base, **members)


asking = Asking(encode, anthropic(), ASKED)
sent, refused = asking.sent, asking.refused


def test_the_request_goes_to_messages_with_key_and_version() -> None:
    request = encode(json.dumps(ASKED).encode(), anthropic(), stream=False, output_tokens_limit=0)
    assert (request.method, request.url) == ("POST", "https://api.anthropic.com/v1/messages")
    assert request.headers["x-api-key"] == "sk-ant-secret"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["accept-encoding"] == "identity"
    assert "authorization" not in request.headers
    assert "sk-ant-secret" not in repr(request)


@pytest.mark.parametrize("base", ["https://x.example", "https://x.example/v1/", "https://x.example/v1/messages"])
def test_a_base_may_end_with_the_version_or_be_the_whole_address(base: str) -> None:
    request = encode(json.dumps(ASKED).encode(), anthropic(api_base=base), stream=False, output_tokens_limit=0)
    assert request.url == "https://x.example/v1/messages"


def test_a_deployments_headers_win_and_no_key_sends_none() -> None:
    to = anthropic(api_key="", extra_headers={"Anthropic-Version": "2030-01-01", "anthropic-beta": "x"})
    headers = encode(json.dumps(ASKED).encode(), to, stream=False, output_tokens_limit=0).headers
    assert headers["anthropic-version"] == "2030-01-01"
    assert headers["anthropic-beta"] == "x"
    assert "x-api-key" not in headers


@pytest.mark.parametrize(("options", "shown"), [({"include_usage": True}, True), ({}, False), (None, False)])
def test_a_stream_is_asked_for_and_usage_shown_to_who_asked(options: dict[str, bool] | None, shown: bool) -> None:
    body = json.dumps({**ASKED, "stream": True, "stream_options": options}).encode()
    request = encode(body, anthropic(), stream=True, output_tokens_limit=0)
    assert json.loads(request.body)["stream"] is True
    assert request.headers["accept"] == "text/event-stream"
    assert request.show_usage is shown


def allowing(*names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}


@pytest.mark.parametrize(
    ("caller", "known", "limit", "expected"),
    [
        ({}, 0, 0, 4096),
        ({}, 64_000, 0, 64_000),
        ({}, 64_000, 50, 50),
        ({}, 0, 5000, 4096),
        ({"max_tokens": 100}, 64_000, 0, 100),
        ({"max_tokens": 100}, 0, 50, 50),
        ({"max_tokens": 10.0}, 0, 50, 10),
        ({"max_completion_tokens": 100, "max_tokens": 20}, 0, 0, 20),
        ({"max_completion_tokens": None, "max_tokens": 20}, 0, 0, 20),
        ({"max_tokens": -1}, 0, 0, -1),
        ({"max_tokens": -1}, 0, 50, 50),
        ({"thinking": {"type": "enabled", "budget_tokens": 6000}}, 0, 0, 10_096),
    ],
)
def test_the_limit_is_the_lowest_and_always_there(
    caller: dict[str, Any], known: int, limit: int, expected: int
) -> None:
    assert sent(caller, anthropic(max_output_tokens=known), limit=limit)["max_tokens"] == expected


@pytest.mark.parametrize(
    ("max_tokens", "limit", "budget"),
    [(20_000, 0, 8000), (20_000, 5000, 4999), (8000, 0, 7999), (20_000, 1025, 1024), (20_000, 1024, None)],
)
def test_a_thinking_budget_stays_below_the_limit(max_tokens: int, limit: int, budget: int | None) -> None:
    caller = {"max_tokens": max_tokens, "thinking": {"type": "enabled", "budget_tokens": 8000}}
    thinking = sent(caller, limit=limit).get("thinking")
    assert thinking == (budget and {"type": "enabled", "budget_tokens": budget})


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "output_config"),
    [
        ("claude-3-7-example", "low", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-example-4-20300101", "medium", {"type": "enabled", "budget_tokens": 2048}, None),
        ("eu.anthropic.claude-example-4-5-20300101-v1:0", "high", {"type": "enabled", "budget_tokens": 4096}, None),
        ("claude-example-4-5", "none", None, None),
        ("claude-example-4-6", "minimal", {"type": "adaptive"}, {"effort": "low"}),
        ("claude-example-5", "max", {"type": "adaptive"}, {"effort": "max"}),
        ("claude-example-5", "none", {"type": "disabled"}, None),
        ("my-alias", "high", {"type": "adaptive"}, {"effort": "high"}),
        ("claude-3-5-example-20300101", "none", None, None),
    ],
)
def test_an_effort_is_a_budget_for_models_that_need_one_and_an_effort_for_later_ones(
    model: str, effort: str, thinking: dict[str, Any] | None, output_config: dict[str, Any] | None
) -> None:
    body = sent({"reasoning_effort": effort, "max_tokens": 20_000}, anthropic(model))
    assert body.get("thinking") == thinking
    assert body.get("output_config") == output_config


def test_a_model_that_cannot_think_refuses_an_effort_or_drops_it() -> None:
    caller, old = {"reasoning_effort": "low"}, anthropic("claude-3-5-example")
    assert refused(caller, old).param == "reasoning_effort"
    assert "thinking" not in sent(caller, dataclasses.replace(old, drop_params=True))


def test_thinking_in_anthropics_own_words_wins_over_an_effort() -> None:
    own = {"type": "enabled", "budget_tokens": 2000, "display": "summarized"}
    body = sent({"thinking": own, "reasoning_effort": "high"})
    assert body["thinking"] == own
    assert "output_config" not in body
    adaptive = sent({"thinking": {"type": "adaptive"}, "reasoning_effort": "high", "output_config": {"x": 1}})
    assert adaptive["output_config"] == {"x": 1, "effort": "high"}


@pytest.mark.parametrize("budget", ["many", 1.5, True, None])
def test_a_budget_that_is_none_is_for_anthropic_to_refuse(budget: object) -> None:
    own = {"type": "enabled", "budget_tokens": budget}
    assert sent({"thinking": own, "max_tokens": 20})["thinking"] == own


def test_no_budget_is_given_in_a_tool_loop_whose_thinking_the_caller_dropped() -> None:
    loop = [{"role": "user", "content": "Go"}, CALLED, RESULT]
    assert "thinking" not in sent({"messages": loop, **TOOLS, "reasoning_effort": "low"})
    kept = [loop[0], {**CALLED, "thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]}, RESULT]
    assert "thinking" in sent({"messages": kept, **TOOLS, "reasoning_effort": "low"})
    over = [*loop, {"role": "assistant", "content": "Done"}, {"role": "user", "content": "Thanks"}]
    assert "thinking" in sent({"messages": over, **TOOLS, "reasoning_effort": "low"})


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", True, {"type": "auto", "disable_parallel_tool_use": False}),
        ("required", None, {"type": "any"}),
        ("none", False, {"type": "none"}),
        ({"type": "function", "function": {"name": "ping"}}, None, {"type": "tool", "name": "ping"}),
    ],
)
def test_tool_choice_and_parallel_calls_are_one_choice(
    choice: object, parallel: bool | None, expected: dict[str, Any] | None
) -> None:
    body = sent({**TOOLS, "tool_choice": choice, "parallel_tool_calls": parallel})
    assert body.get("tool_choice") == expected
    assert "tool_choice" not in sent({"tool_choice": choice, "parallel_tool_calls": parallel, "tools": []})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temperature": 2}, {"temperature": 1}),
        ({"temperature": 1.0}, {"temperature": 1.0}),
        ({"temperature": -5.0}, {"temperature": -5.0}),
        ({"top_p": 1.5}, {"top_p": 1}),
        ({"top_k": 5}, {"top_k": 5}),
        ({"top_k": -1}, {}),
        ({"top_k": 0}, {}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": []}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"user": "u1", "safety_identifier": "hash"}, {"metadata": {"user_id": "hash"}}),
        ({"user": "bob@example.com"}, {}),
        ({"user": "+49 (30) 123-4567"}, {}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"cache_control": {"type": "ephemeral"}, "speed": "fast"},
            {"cache_control": {"type": "ephemeral"}, "speed": "fast"},
        ),
        ({"inference_geo": "us", "container": "c"}, {"inference_geo": "us", "container": "c"}),
    ],
)
def test_sampling_and_the_rest(given: dict[str, Any], expected: dict[str, Any]) -> None:
    body = sent(given)
    assert {name: value for name, value in body.items() if name not in ("model", "messages", "max_tokens")} == expected


@pytest.mark.parametrize(
    "given",
    [
        {"logit_bias": {"1": 5}},
        {"logprobs": True},
        {"presence_penalty": 0.5},
        {"frequency_penalty": 1},
        {"seed": 1},
        {"store": True},
        {"modalities": ["text", "audio"]},
        {"prediction": {"type": "content", "content": "x"}},
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
    assert sent(given, anthropic(drop_params=True)) == sent({})
    assert sent({**given, "drop_params": True}) == sent({})


def test_what_was_dropped_is_told() -> None:
    body = json.dumps({"model": "claude", **ASKED, "seed": 1, "user": "u", "additional_drop_params": ["user"]}).encode()
    request = encode(body, anthropic(drop_params=True), stream=False, output_tokens_limit=0)
    assert request.dropped == ("user", "seed")
    assert "metadata" not in json.loads(request.body)


def test_what_is_allowed_is_passed_on_as_it_is() -> None:
    assert sent({"seed": 1, "allowed_openai_params": ["seed"]}) == {**sent({}), "seed": 1}
    assert sent({"seed": 1}, anthropic(allowed_openai_params=("seed",))) == {**sent({}), "seed": 1}


def test_what_is_not_taken_and_no_text_either_is_refused_by_name() -> None:
    with pytest.raises(GatewayError) as caught:
        encode(b'{"messages":[],"logit_bias":"\xff"}', anthropic(), stream=False, output_tokens_limit=0)
    assert caught.value.param == "logit_bias"


def test_all_that_is_not_taken_is_named_at_once() -> None:
    assert "seed, logit_bias" in refused({"seed": 1, "logit_bias": {"1": 1}}).message


@pytest.mark.parametrize(
    ("caller", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1e300}, "max_tokens"),
        ({"messages": {}}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].input_audio"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": WAV}]}]},
            "messages[0].content[0].type",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": "https://x"}]}]},
            "messages[0].content",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "data:text,x"}]}]},
            "messages[0].content[0].image_url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
            "messages[0].content[0].file.file_id",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_file", "file_data": "data:a/b;base64,eA=="}]}]},
            "messages[0].content[0].file_data",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/x;base64,*"}}]}
                ]
            },
            "messages[0].content[0].file.file_data",
        ),
        (
            {"messages": [{**CALLED, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1]"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"tools": [{"type": "custom"}]}, "tools[0]"),
        ({**TOOLS, "tool_choice": "sometimes"}, "tool_choice"),
        ({**TOOLS, "tool_choice": allowing("ping", "unknown")}, "tool_choice"),
        ({**TOOLS, "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"extra_body": 5}, "extra_body"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(caller: dict[str, Any], param: str) -> None:
    assert refused({**caller, "drop_params": True}).param == param


def test_defaults_yield_to_the_caller_and_extra_body_does_not() -> None:
    to = anthropic(
        defaults={"temperature": 0.5, "max_tokens": 500, "n": 9}, extra_body={"top_k": 3, "model": "x", "beta": [1]}
    )
    body = sent(
        {"temperature": 0, "top_k": 1, "extra_body": {"container": "c", "top_k": 9, "max_tokens": 9}}, to, limit=50
    )
    assert (body["temperature"], body["top_k"], body["max_tokens"], body["model"]) == (0, 3, 50, "claude-example-4-5")
    # Words of the provider's own, which the caller or the operator insists on.
    assert (body["container"], body["beta"]) == ("c", [1])


def test_a_marked_message_without_words_marks_nothing() -> None:
    body = sent(
        {"messages": [{"role": "user", "content": "", "cache_control": {"type": "ephemeral"}}, *ASKED["messages"]]}
    )
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]


BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=4)},
    optional={
        **dict.fromkeys(("max_tokens", "temperature", "top_k", "stop", "tools", "tool_choice", "user", "n"), JSON),
        **dict.fromkeys(("response_format", "thinking", "reasoning_effort", "extra_body", "stream_options"), JSON),
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
    roles = [turn["role"] for turn in body["messages"]]
    assert all(before != after for before, after in itertools.pairwise(roles))
    assert all(turn["content"] for turn in body["messages"])


def test_a_document_that_is_no_text_is_refused_where_it_stands() -> None:
    part = {"type": "file", "file": {"file_data": "data:text/plain;base64,gA=="}}
    error = refused({"messages": [{"role": "user", "content": [part]}]})
    assert (error.param, "not text in base64" in error.message) == ("messages[0].content[0].file.file_data", True)
