"""What Gemini is asked; whole requests are in tests/conformance/wire/gemini/requests."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from typing import Any

import pytest

from router.catalog import Deployment
from router.wire.base import HttpRequest
from router.wire.gemini.request import STUDIO, VERTEX, Host, encode, written
from services.errors import GatewayError
from tests.asking import Asking

ASKED = {"messages": [{"role": "user", "content": "Hi"}]}
PING = {"type": "function", "function": {"name": "ping"}}
TOOLS = {"tools": [PING]}
CALLED = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "ping", "arguments": "{}"}}]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "pong"}
HOME = "https://generativelanguage.googleapis.com"


def gemini(model: str = "gemini-2.5-example", **members: Any) -> Deployment:
    base = Deployment("d1", "g", "gemini", model, HOME, "AIza-secret", wire="gemini", auth="header:x-goog-api-key")
    return dataclasses.replace(base, **members)


def asking(host: Host) -> Asking:
    return Asking(partial(encode, host=host), gemini(), ASKED)


def asked(caller: dict[str, Any], to: Deployment | None = None, *, host: Host = STUDIO, **how: Any) -> HttpRequest:
    return asking(host).request(caller, to, **how)


def sent(caller: dict[str, Any], to: Deployment | None = None, *, limit: int = 0, host: Host = STUDIO) -> Any:
    return asking(host).sent(caller, to, limit=limit)


def config(caller: dict[str, Any], to: Deployment | None = None, *, limit: int = 0) -> Any:
    return sent(caller, to, limit=limit).get("generationConfig", {})


def refused(caller: dict[str, Any], to: Deployment | None = None, *, host: Host = STUDIO) -> GatewayError:
    return asking(host).refused(caller, to)


def test_the_request_goes_to_the_model_with_the_key_in_a_header() -> None:
    request = asked({})
    assert (request.method, request.url) == ("POST", f"{HOME}/v1beta/models/gemini-2.5-example:generateContent")
    assert request.headers["x-goog-api-key"] == "AIza-secret"
    assert request.headers["accept-encoding"] == "identity"
    assert "secret" not in repr(request)
    assert json.loads(request.body) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@pytest.mark.parametrize(("options", "shown"), [({"include_usage": True}, True), ({}, False), (None, False)])
def test_a_stream_is_asked_for_in_the_address_and_usage_shown_to_who_asked(
    options: dict[str, bool] | None, shown: bool
) -> None:
    request = asked({"stream": True, "stream_options": options}, stream=True)
    assert request.url == f"{HOME}/v1beta/models/gemini-2.5-example:streamGenerateContent?alt=sse"
    assert request.headers["accept"] == "text/event-stream"
    assert request.show_usage is shown
    assert "stream" not in json.loads(request.body)


def test_vertex_is_asked_in_its_own_place_and_a_key_is_of_its_express_mode() -> None:
    place = {"vertex_project": "p", "vertex_location": "us-east5"}
    to = gemini(api_base="https://us-east5-aiplatform.googleapis.com", api_key="", auth="google", options=place)
    request = asked({}, to, host=VERTEX)
    model = "publishers/google/models/gemini-2.5-example"
    assert request.url == f"{to.api_base}/v1/projects/p/locations/us-east5/{model}:generateContent"
    assert "x-goog-api-key" not in request.headers
    express = dataclasses.replace(to, api_key="key", options={"vertex_location": "us-east5"})
    request = asked({}, express, host=VERTEX)
    assert request.url == f"https://aiplatform.googleapis.com/v1/{model}:generateContent"
    assert request.headers["x-goog-api-key"] == "key"


def allowing(*names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}


@pytest.mark.parametrize(
    ("caller", "limit", "expected"),
    [
        ({}, 0, None),
        ({}, 50, 50),
        ({"max_tokens": 100}, 0, 100),
        ({"max_tokens": 100}, 50, 50),
        ({"max_completion_tokens": 100, "max_tokens": 20}, 0, 20),
        ({"generation_config": {"max_output_tokens": 500}}, 50, 50),
        ({"extra_body": {"generationConfig": {"maxOutputTokens": 500}}}, 50, 50),
        ({"extra_body": {"google": {"max_output_tokens": 500}}}, 50, 50),
    ],
)
def test_no_words_of_any_language_lift_the_limit(caller: dict[str, Any], limit: int, expected: int | None) -> None:
    assert config(caller, limit=limit).get("maxOutputTokens") == expected


@pytest.mark.parametrize(
    ("model", "asked_for", "expected"),
    [
        ("gemini-2.5-flash-x", {"reasoning_effort": "minimal"}, {"includeThoughts": True, "thinkingBudget": 1024}),
        ("gemini-2.5-pro-x", {"reasoning_effort": "low"}, {"includeThoughts": True, "thinkingBudget": 1024}),
        ("gemini-2.5-flash-x", {"reasoning_effort": "max"}, {"includeThoughts": True, "thinkingBudget": 24_576}),
        ("gemini-2.5-flash-x", {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        ("gemini-2.5-pro-x", {"reasoning_effort": "none"}, {"thinkingBudget": 128}),
        ("gemini-3-flash-x", {"reasoning_effort": "none"}, {"thinkingLevel": "minimal"}),
        ("gemini-3.1-pro-x", {"reasoning_effort": "none"}, {"thinkingLevel": "low"}),
        ("gemini-3.1-pro-x", {"reasoning_effort": "minimal"}, {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3-pro-x", {"reasoning_effort": "medium"}, {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-3.1-pro-x", {"reasoning_effort": "medium"}, {"includeThoughts": True, "thinkingLevel": "medium"}),
        ("gemini-3-flash-x", {"reasoning_effort": "medium"}, {"includeThoughts": True, "thinkingLevel": "medium"}),
        ("gemini-3-flash-x", {"reasoning_effort": "xhigh"}, {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-flash-latest", {"reasoning_effort": "high"}, {"includeThoughts": True, "thinkingBudget": 24_576}),
        ("1234567890", {"reasoning_effort": "low"}, {"includeThoughts": True, "thinkingBudget": 1024}),
        ("gemini-2.0-flash-x", {"reasoning_effort": "none"}, None),
        ("gemini-2.0-flash-x", {"thinking": {"type": "disabled"}}, None),
        ("gemini-2.5-flash-x", {"thinking": {"type": "disabled"}}, {"thinkingBudget": 0}),
        (
            "gemini-2.5-flash-x",
            {"thinking": {"type": "enabled", "budget_tokens": 77}, "reasoning_effort": "high"},
            {"includeThoughts": True, "thinkingBudget": 77},
        ),
        ("gemini-3-pro-x", {"thinking": {"type": "adaptive"}}, {"includeThoughts": True}),
        ("gemini-2.5-flash-x", {}, None),
    ],
)
def test_how_much_is_thought(model: str, asked_for: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert config(asked_for, gemini(model)).get("thinkingConfig") == expected


@pytest.mark.parametrize(
    "asked_for", [{"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 1}}]
)
def test_a_model_that_cannot_think_refuses_or_drops_what_asks_for_it(asked_for: dict[str, Any]) -> None:
    (name,) = asked_for
    assert refused(asked_for, gemini("gemini-2.0-x")).param == name
    assert sent(asked_for, gemini("gemini-1.5-x", drop_params=True)) == sent({})


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", {"mode": "AUTO"}),
        ("required", {"mode": "ANY"}),
        ("none", {"mode": "NONE"}),
        ({"type": "function", "function": {"name": "ping"}}, {"mode": "ANY", "allowedFunctionNames": ["ping"]}),
    ],
)
def test_the_choice_among_functions(choice: object, expected: dict[str, Any] | None) -> None:
    body = sent({**TOOLS, "tool_choice": choice})
    assert body.get("toolConfig") == (expected and {"functionCallingConfig": expected})
    assert "toolConfig" not in sent({"tool_choice": choice, "tools": [{"googleSearch": {}}]})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"top_k": 0}, {}),
        ({"top_k": -1}, {}),
        ({"n": 1}, {}),
        ({"n": 2.0}, {"candidateCount": 2}),
        ({"stop": "END"}, {"stopSequences": ["END"]}),
        ({"stop": []}, {}),
        ({"logprobs": False, "top_logprobs": 3}, {}),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"modalities": ["text"]}, {}),
        ({"audio": {"format": "wav"}}, {}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_object", "response_schema": None}},
            {"responseMimeType": "application/json"},
        ),
        ({"user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "store": False, "logit_bias": {}}, {}),
        ({"responseMimeType": "text/x.enum"}, {"responseMimeType": "text/x.enum"}),
        ({"thinking_config": None}, {}),
    ],
)
def test_the_rest_of_the_configuration(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert config(given) == expected


@pytest.mark.parametrize(
    ("tier", "host", "expected"),
    [
        ("auto", STUDIO, None),
        ("default", STUDIO, "standard"),
        ("priority", STUDIO, "priority"),
        ("auto", VERTEX, None),
        ("default", VERTEX, None),
    ],
)
def test_service_tiers(tier: str, host: Host, expected: str | None) -> None:
    assert sent({"service_tier": tier}, host=host).get("serviceTier") == expected


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_vertex_is_told_of_a_tier_in_a_header(tier: str) -> None:
    request = asked({"service_tier": tier}, host=VERTEX)
    assert request.headers["x-vertex-ai-llm-shared-request-type"] == tier
    assert json.loads(request.body) == sent({}, host=VERTEX)
    usual = asked({"service_tier": "default"}, host=VERTEX)
    assert "x-vertex-ai-llm-shared-request-type" not in usual.headers


def test_a_service_tier_that_it_has_not_is_refused_or_dropped() -> None:
    assert refused({"service_tier": "scale"}).param == "service_tier"
    assert refused({"service_tier": "scale"}, host=VERTEX).param == "service_tier"
    assert sent({"service_tier": "scale", "drop_params": True}) == sent({})


@pytest.mark.parametrize(
    "given",
    [
        {"logit_bias": {"1": 5}},
        {"store": True},
        {"prediction": {"type": "content", "content": "x"}},
        {"functions": []},
        {"never_heard_of": 1},
    ],
)
def test_what_it_does_not_take_is_refused_by_name_or_dropped(given: dict[str, Any]) -> None:
    (name,) = given
    error = refused(given)
    assert error.param == name
    assert name in error.message
    assert sent(given, gemini(drop_params=True)) == sent({})


@pytest.mark.parametrize(
    ("caller", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": 1000}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"seed": 1.5}, "seed"),
        ({"max_tokens": 1e300}, "max_tokens"),
        ({"messages": {}}, "messages"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [RESULT]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": "https://x"}]}]},
            "messages[0].content",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{**CALLED, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1]"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"tools": [{"type": "custom"}]}, "tools[0]"),
        ({"tools": [{"type": "custom", "function": {"name": "x"}}]}, "tools[0]"),
        ({"tools": [{"type": 5}]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0]"),
        ({"tools": [PING, {"function": {}}]}, "tools[1].function"),
        ({**TOOLS, "tool_choice": "sometimes"}, "tool_choice"),
        ({**TOOLS, "tool_choice": allowing("ping", "unknown")}, "tool_choice"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"thinking": {"budget_tokens": 5}}, "thinking"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": 5}}},
            "response_format.json_schema.schema",
        ),
        ({"generation_config": 5}, "generation_config"),
        ({"extra_body": 5}, "extra_body"),
        ({"extra_body": {"google": 5}}, "google"),
        ({"messages": [{"role": "assistant", "images": 5}]}, "messages[0].images"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(caller: dict[str, Any], param: str) -> None:
    assert refused({**caller, "drop_params": True}).param == param


def test_a_result_may_name_its_function_where_its_call_is_missing() -> None:
    (turn,) = sent({"messages": [{**RESULT, "name": "ping"}]})["contents"]
    assert turn["parts"][0]["functionResponse"] == {"name": "ping", "response": {"output": "pong"}, "id": "a"}


def test_media_alone_belong_to_the_results_before_them_and_to_nothing_else() -> None:
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,AA"}]}
    turns = sent({"messages": [*ASKED["messages"], picture, CALLED, RESULT, picture, *ASKED["messages"], picture]})
    kinds = [[next(iter(part)) for part in turn["parts"]] for turn in turns["contents"]]
    assert kinds == [
        ["text"],
        ["inlineData"],
        ["functionCall"],
        ["functionResponse", "inlineData"],
        ["text"],
        ["inlineData"],
    ]


def test_a_broken_address_of_a_picture_is_googles_to_refuse() -> None:
    picture = {"type": "image_url", "image_url": "https://[broken"}
    (turn,) = sent({"messages": [{"role": "user", "content": [picture]}]})["contents"]
    assert turn["parts"] == [{"fileData": {"fileUri": "https://[broken", "mimeType": "image/jpeg"}}]


@pytest.mark.parametrize(
    "extra",
    [
        {"provider_specific_fields": {"thought_signature": "sig"}},
        {"extra_content": {"google": {"thought_signature": "sig"}}},
        {"extra_content": {"google": {}}, "provider_specific_fields": {"thought_signatures": ["x", "sig"]}},
        {"extra_content": "odd", "provider_specific_fields": {"thought_signature": "sig"}},
        {"id": "a__thought__sig"},
    ],
)
def test_a_signature_is_found_wherever_the_caller_kept_it(extra: dict[str, Any]) -> None:
    call = {**CALLED["tool_calls"][0], **extra}  # type: ignore[dict-item]
    _, turn = sent({"messages": [*ASKED["messages"], {"role": "assistant", "tool_calls": [call]}]})["contents"]
    assert turn["parts"] == [{"functionCall": {"name": "ping", "args": {}, "id": "a"}, "thoughtSignature": "sig"}]


@pytest.mark.parametrize("extra", [{"provider_specific_fields": 5}, {"provider_specific_fields": {}}, {}])
def test_what_others_keep_there_is_no_signature(extra: dict[str, Any]) -> None:
    message = {**CALLED, "content": "Hm", **extra}
    _, turn = sent({"messages": [*ASKED["messages"], message]})["contents"]
    assert not any("thoughtSignature" in part for part in turn["parts"])


def test_defaults_yield_to_the_caller_and_extra_body_does_not() -> None:
    to = gemini(
        defaults={"temperature": 0.5, "max_tokens": 500, "n": 9},
        extra_body={"top_k": 3, "model": "x", "safety_settings": [{"category": "c"}], "newMember": [1]},
    )
    body = sent({"temperature": 0, "top_k": 1, "safety_settings": []}, to, limit=50)
    assert body["generationConfig"] == {"temperature": 0, "topK": 3, "maxOutputTokens": 50}
    # Words of the provider's own, which the operator insists on.
    assert (body["safetySettings"], body["newMember"]) == ([{"category": "c"}], [1])
    assert "model" not in body


def test_what_is_too_deep_to_be_written_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(GatewayError):
        written({"a": deep})
    # Taken apart by hand: Python would do it by recursion.
    while deep:
        deep = deep[0]
