"""Bedrock's Converse and InvokeModel held to cases written from AWS's documentation, and to recorded traffic."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.base import Wire
from router.wire.bedrock import ConverseWire
from router.wire.bedrock.invoke import InvokeWire
from tests.aws_events import events_as_messages
from tests.conformance.wire.cases import cases
from tests.recordings import (
    Exchange,
    Recordings,
    assembled,
    assert_error_kept,
    assert_expected,
    chunks_in,
    failed,
    made_of,
    run,
)
from tests.streams import assert_alike_in_halves

NOW = 1_700_000_000
DIALECTS = ("bedrock-converse", "bedrock-invoke")
# Endpoints of the dialects that answer chats.
ENDPOINTS = ("converse", "converse-stream", "invoke", "invoke-stream")

WIRES: dict[str, Wire] = {
    "converse": ConverseWire(lambda: NOW + 0.5),
    "invoke": InvokeWire(lambda: NOW + 0.5),
}


def deployment(model: str) -> Deployment:
    return Deployment(
        "d1", "group", "bedrock", model, "https://bedrock-runtime.us-east-1.amazonaws.com", wire="bedrock", auth="aws"
    )


@pytest.mark.parametrize("case", cases("bedrock/requests"))
def test_a_documented_request_is_translated(case: dict[str, Any]) -> None:
    wire = WIRES[case.get("api", "converse")]
    request = wire.encode(
        json.dumps(case["caller"]).encode(), deployment(case["model"]), stream=False, output_tokens_limit=0
    )
    assert json.loads(request.body) == case["sent"]


@pytest.mark.parametrize("case", cases("bedrock/answers"))
def test_a_documented_answer_is_translated(case: dict[str, Any]) -> None:
    wire = WIRES[case.get("api", "converse")]
    answer = wire.decode(json.dumps(case["provider"]).encode(), deployment(case["model"]))
    (choice,) = json.loads(answer.body)["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", **case["message"]},
        "finish_reason": case["finish_reason"],
    }
    assert json.loads(answer.body)["created"] == NOW or "created" in case["provider"]
    assert answer.finish_reason == case["finish_reason"]
    counts = answer.usage and (answer.usage.input_tokens, answer.usage.output_tokens)
    assert (list(counts) if counts else None) == case["tokens"]
    ChatCompletion.model_validate_json(answer.body, strict=True)


@pytest.mark.parametrize("case", cases("bedrock/streams"))
def test_every_split_in_two_of_a_documented_stream_gives_the_same(case: dict[str, Any]) -> None:
    wire, to = WIRES[case.get("api", "converse")], deployment(case["model"])
    data = events_as_messages(case["events"])
    out, end = run(wire, to, [data])
    facts = assembled(chunks_in(out))
    assert {key: facts[key] for key in case["facts"]} == case["facts"]
    if "error" in case:
        assert end.error is not None
        assert [end.error.provider_status, end.error.message] == case["error"]
    else:
        assert end.error is None
    assert_alike_in_halves(lambda pieces: run(wire, to, pieces), data, step=3)


def recorded(recordings: Recordings) -> list[tuple[Wire, Exchange]]:
    found = [exchange for exchange in recordings.of(*DIALECTS) if exchange["endpoint"] in ENDPOINTS]
    assert found
    return [(WIRES[exchange["endpoint"].removesuffix("-stream")], exchange) for exchange in found]


def test_recorded_requests_are_translated(recordings: Recordings) -> None:
    for wire, exchange in recorded(recordings):
        caller = exchange.get("openai_request")
        if caller is None:
            continue
        stream = caller.get("stream", False)
        request = wire.encode(
            json.dumps(caller).encode(), deployment(exchange["model"]), stream=stream, output_tokens_limit=0
        )
        assert recordings.compare(exchange, json.loads(request.body)) == [], exchange["id"]
        assert unquote(urlsplit(request.url).path) == unquote(urlsplit(exchange["request"]["url"]).path)


def test_recorded_answers_give_what_is_expected(recordings: Recordings) -> None:
    for wire, exchange in recorded(recordings):
        if exchange["response"]["status"] != 200:
            continue
        expected = dict(exchange["expect"])
        facts = made_of(wire, deployment(exchange["model"]), exchange)
        if exchange["response"]["encoding"] != "json" and runs_tools_of_bedrock(exchange):
            # The recordings count them as calls in streams, not in whole answers. They are never the caller's.
            del expected["tool_calls"]
        if facts["usage"] is None:
            # Bedrock counts whole answers of some models in headers only, which no wire reads.
            assert "prompt_tokens" not in expected, exchange["id"]
            facts["usage"] = NO_USAGE
        assert_expected(exchange["id"], facts, expected)


def runs_tools_of_bedrock(exchange: Exchange) -> bool:
    return "systemTool" in json.dumps(exchange["request"]["body"])


NO_USAGE = ChatCompletion.model_validate_json(
    b'{"id":"","object":"chat.completion","created":0,"model":"","choices":[],"usage":{"prompt_tokens":0,'
    b'"completion_tokens":0,"total_tokens":0,"prompt_tokens_details":{"cached_tokens":0},'
    b'"cache_creation_input_tokens":0}}'
).usage


def test_recorded_errors_keep_their_meaning_and_their_words(recordings: Recordings) -> None:
    of = recorded(recordings)
    assert failed(exchange for _, exchange in of)
    for wire, exchange in of:
        if exchange["response"]["status"] != 200:
            assert_error_kept(wire, deployment(exchange["model"]), exchange)
