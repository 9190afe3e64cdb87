"""The form of an answer, and what steers the choice of words, by what a version of Claude takes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.anthropic import AnthropicWire
from router.wire.anthropic.request import encode
from router.wire.anthropic.schema import closed_schema_of
from router.wire.base import HttpRequest

wire = AnthropicWire(lambda: 7.0)
HI = [{"role": "user", "content": "Hi"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = {**CITY, "additionalProperties": False}
PING = {"type": "function", "function": {"name": "ping"}}
NEW, OLD = "claude-example-4-5", "claude-example-4"


def claude(model: str = NEW) -> Deployment:
    return Deployment("d", "g", "anthropic", model, "https://api.anthropic.com", "key", wire="anthropic")


def asked(caller: dict[str, Any], model: str = NEW) -> HttpRequest:
    body = json.dumps({"messages": HI, **caller}).encode()
    return encode(body, claude(model), stream=False, output_tokens_limit=0)


def sent(caller: dict[str, Any], model: str = NEW) -> dict[str, Any]:
    decoded = json.loads(asked(caller, model).body)
    assert isinstance(decoded, dict)
    return decoded


def form(schema: object) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (CLOSED, CLOSED),
        (CITY, CLOSED),
        (
            {**CLOSED, "properties": {"city": {"type": "string", "maxLength": 9, "description": "A city"}}},
            {**CLOSED, "properties": {"city": {"type": "string", "description": "A city (maxLength: 9)"}}},
        ),
        (
            {**CLOSED, "properties": {"city": {"type": "string", "format": "city"}}},
            {**CLOSED, "properties": {"city": {"type": "string", "description": '(format: "city")'}}},
        ),
        (
            {**CLOSED, "properties": {"city": {"oneOf": [CITY, {"type": "null"}]}}},
            {**CLOSED, "properties": {"city": {"anyOf": [CLOSED, {"type": "null"}]}}},
        ),
        (
            {**CLOSED, "properties": {"city": {"type": "array", "minItems": 1, "maxItems": 3, "items": CITY}}},
            {
                **CLOSED,
                "properties": {
                    "city": {"type": "array", "minItems": 1, "items": CLOSED, "description": "(maxItems: 3)"}
                },
            },
        ),
        (
            {**CLOSED, "$defs": {"c": CITY}, "properties": {"city": {"$ref": "#/$defs/c"}}},
            {**CLOSED, "$defs": {"c": CLOSED}, "properties": {"city": {"$ref": "#/$defs/c"}}},
        ),
        # Maps with any keys, schemas that refer to themselves or elsewhere, and conditions.
        ({"type": "object"}, None),
        ({**CITY, "additionalProperties": {"type": "string"}}, None),
        ({**CITY, "additionalProperties": True}, None),
        ({**CITY, "$defs": {"c": {"items": {"$ref": "#/$defs/c"}}}}, None),
        ({**CITY, "properties": {"city": {"$ref": "#"}}}, None),
        ({**CITY, "properties": {"city": {"$ref": "https://example.com"}}}, None),
        ({**CITY, "properties": {"city": True}}, None),
        ({**CITY, "not": {}}, None),
    ],
)
def test_a_schema_is_closed_or_left_to_a_tool(schema: dict[str, Any], said: dict[str, Any] | None) -> None:
    body = sent(form(schema))
    if said is not None:
        assert body["output_config"] == {"format": {"type": "json_schema", "schema": said}}
        assert "tools" not in body
    else:
        assert "output_config" not in body
        assert [(tool["name"], tool["input_schema"]) for tool in body["tools"]] == [("json_tool_call", schema)]
        assert body["tool_choice"] == {"type": "tool", "name": "json_tool_call"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    ["type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "enum", "format", "minItems", "not"]
)
SCHEMA = st.recursive(
    JSON | st.just({"$ref": "#/$defs/a"}) | st.just({"type": "object"}),
    lambda inner: st.dictionaries(WORDS | st.just("a"), inner | st.lists(inner, max_size=2), max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, SCHEMA, max_size=5))
def test_any_schema_is_said_or_not_and_what_is_said_stays_as_it_is(schema: dict[str, Any]) -> None:
    found = closed_schema_of(msgspec.Raw(json.dumps(schema).encode()), "schema")
    if found is not None:
        assert closed_schema_of(found, "schema") == found


def test_a_bottomless_schema_is_left_to_a_tool() -> None:
    deep = b'{"items":' * 200 + b"{}" + b"}" * 200
    assert closed_schema_of(msgspec.Raw(deep), "s") is None
    # What is nested in a value is the caller's own affair, down to where nobody can read it.
    for depth in (100, 900):
        within = b'{"type":"string","default":' + b"[" * depth + b"]" * depth + b"}"
        closed_schema_of(msgspec.Raw(b'{"properties":{"a":%s}}' % within), "s")


@pytest.mark.parametrize(
    ("choice", "tools", "expected"),
    [
        (None, [], {"type": "tool", "name": "json_tool_call"}),
        ("auto", [PING], {"type": "any"}),
        ("none", [PING], {"type": "tool", "name": "json_tool_call"}),
        ({"type": "function", "function": {"name": "ping"}}, [PING], {"type": "tool", "name": "ping"}),
    ],
)
def test_an_older_model_is_held_to_a_schema_by_a_tool(choice: object, tools: list[Any], expected: object) -> None:
    body = sent({**form(CITY), "tool_choice": choice, "tools": tools}, OLD)
    assert body["tool_choice"] == expected
    assert [tool["name"] for tool in body["tools"]] == ["ping"] * len(tools) + ["json_tool_call"]
    assert body["tools"][-1]["input_schema"] == CITY


def test_a_model_that_thinks_cannot_be_made_to_call() -> None:
    assert "tool_choice" not in sent({**form(CITY), "reasoning_effort": "low"}, OLD)


ANSWER = {"type": "tool_use", "id": "t", "name": "json_tool_call", "input": {"city": "Oslo"}}
CALL = {"type": "tool_use", "id": "u", "name": "ping", "input": {}}


@pytest.mark.parametrize(
    ("blocks", "content", "calls", "reason"),
    [
        ([ANSWER], '{"city":"Oslo"}', [], "stop"),
        ([{"type": "text", "text": "So: "}, ANSWER], 'So: {"city":"Oslo"}', [], "stop"),
        ([ANSWER, CALL], '{"city":"Oslo"}', ["ping"], "tool_calls"),
        ([CALL], None, ["ping"], "tool_calls"),
    ],
)
def test_the_call_of_that_tool_is_the_answer(
    blocks: list[dict[str, Any]], content: str | None, calls: list[str], reason: str
) -> None:
    message = {"type": "message", "id": "m", "model": "c", "content": blocks, "stop_reason": "tool_use"}
    (choice,) = json.loads(wire.decode(msgspec.json.encode(message), claude()).body)["choices"]
    told = choice["message"]
    assert (told["content"], choice["finish_reason"]) == (content, reason)
    assert [call["function"]["name"] for call in told.get("tool_calls", ())] == calls

    stream = wire.stream(asked({}), claude())
    events = stream.feed(b"".join(map(event, _streamed(blocks)))).out + stream.close().out
    deltas = [json.loads(each.removeprefix("data: ")) for each in events.decode().split("\n\n") if each]
    assert "".join(each["choices"][0]["delta"].get("content") or "" for each in deltas) == (content or "")
    begun = [call for each in deltas for call in each["choices"][0]["delta"].get("tool_calls", ()) if call.get("id")]
    assert [call["function"]["name"] for call in begun] == calls
    assert deltas[-1]["choices"][0]["finish_reason"] == reason


def event(said: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (said["type"].encode(), msgspec.json.encode(said))


def _streamed(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "model": "c"}}]
    for at, block in enumerate(blocks):
        arguments = msgspec.json.encode(block.get("input")).decode()
        events.append({"type": "content_block_start", "index": at, "content_block": {**block, "input": {}}})
        if block["type"] == "tool_use":
            delta = {"type": "input_json_delta", "partial_json": arguments}
            events.append({"type": "content_block_delta", "index": at, "delta": delta})
        events.append({"type": "content_block_stop", "index": at})
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}}
    return [*events, end, {"type": "message_stop"}]


@pytest.mark.parametrize(
    ("model", "given_", "expected", "dropped"),
    [
        (OLD, {"temperature": 0.2, "top_p": 0.5, "top_k": 5}, {"temperature": 0.2, "top_p": 0.5, "top_k": 5}, []),
        (NEW, {"temperature": 0.2, "top_p": 1}, {"temperature": 0.2}, []),
        (NEW, {"top_p": 1}, {"top_p": 1}, []),
        (NEW, {"temperature": 0.2, "top_p": 0.5}, {"temperature": 0.2}, ["top_p"]),
        ("claude-example-5", {"temperature": 1, "top_p": 1}, {"temperature": 1}, []),
        (
            "claude-example-4-8",
            {"temperature": 0, "top_p": 0.5, "top_k": 5},
            {},
            ["temperature", "top_p", "top_k"],
        ),
        (
            NEW,
            {"reasoning_effort": "low", "temperature": 0, "top_p": 0.96, "top_k": 1},
            {"top_p": 0.96},
            ["temperature", "top_k"],
        ),
        (
            "any-server",
            {"temperature": 0.2, "top_p": 0.5, "top_k": 5},
            {"temperature": 0.2, "top_p": 0.5, "top_k": 5},
            [],
        ),
    ],
)
def test_sampling_that_a_version_refuses_is_dropped_or_anthropics_to_refuse(
    model: str, given_: dict[str, Any], expected: dict[str, Any], dropped: list[str]
) -> None:
    names = ("temperature", "top_p", "top_k")
    request = asked({**given_, "drop_params": True}, model)
    body = json.loads(request.body)
    assert {name: body[name] for name in names if name in body} == expected
    assert list(request.dropped) == dropped
    left = {name: given_[name] for name in dropped}
    body = sent(given_, model)
    assert {name: body[name] for name in names if name in body} == {**expected, **left}


@pytest.mark.parametrize(
    ("model", "effort"),
    [("claude-example-4-6", "high"), ("claude-example-4-7", "xhigh"), ("claude-example-5", "xhigh"), ("own", "xhigh")],
)
def test_an_effort_that_a_version_lacks_is_the_next_lower(model: str, effort: str) -> None:
    assert sent({"reasoning_effort": "xhigh"}, model)["output_config"] == {"effort": effort}


@pytest.mark.parametrize(
    ("model", "function", "strict"),
    [
        (NEW, {"parameters": CLOSED, "strict": True}, True),
        (NEW, {"parameters": CITY, "strict": True}, True),
        (NEW, {"parameters": {**CITY, "additionalProperties": True}, "strict": True}, None),
        (NEW, {"parameters": CITY, "strict": False}, False),
        (OLD, {"parameters": CLOSED, "strict": True}, None),
    ],
)
def test_a_strict_tool_is_strict_where_it_can_be(model: str, function: dict[str, Any], strict: bool | None) -> None:
    (tool,) = sent({"tools": [{"type": "function", "function": {"name": "f", **function}}]}, model)["tools"]
    assert tool.get("strict") == strict
    assert tool["input_schema"] == (CLOSED if strict else function["parameters"])


@pytest.mark.parametrize(("text", "begun"), [("So: \n", "So:"), ("So", "So"), (" ", " ")])
def test_a_begun_answer_does_not_end_with_blanks(text: str, begun: str) -> None:
    turns = sent({"messages": [*HI, {"role": "assistant", "content": text}]})["messages"]
    assert turns[-1]["content"][-1]["text"] == begun
    kept = sent({"messages": [*HI, {"role": "assistant", "content": text}, *HI]})["messages"]
    assert kept[1]["content"][-1]["text"] == text
