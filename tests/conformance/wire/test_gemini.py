"""Gemini held to cases written from Google's documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.gemini import VERTEX, GeminiWire
from services.errors import Reason
from tests.conformance.wire.cases import cases, streams
from tests.recordings import (
    Exchange,
    Recordings,
    answered,
    assert_error_kept,
    assert_expected,
    chunks_in,
    failed,
    made_of,
    run,
)
from tests.streams import assert_alike_in_halves

NOW = 1_700_000_000
BASES = {
    "gemini": "https://generativelanguage.googleapis.com",
    "vertex": "https://us-central1-aiplatform.googleapis.com",
}

wires = {"gemini": GeminiWire(lambda: NOW + 0.5), "vertex": GeminiWire(lambda: NOW + 0.5, VERTEX)}


def deployment(model: str = "gemini-2.5-example", provider: str = "gemini") -> Deployment:
    return Deployment(
        "d1", "g", provider, model, BASES[provider], "secret", wire="gemini", auth="header:x-goog-api-key"
    )


@pytest.mark.parametrize("case", cases("gemini/requests"))
def test_a_documented_request_is_translated(case: dict[str, Any]) -> None:
    host = case.get("host", "gemini")
    to = deployment(case.get("model", "gemini-2.5-example"), host)
    request = wires[host].encode(json.dumps(case["caller"]).encode(), to, stream=False, output_tokens_limit=0)
    assert json.loads(request.body) == case["sent"]


@pytest.mark.parametrize("case", cases("gemini/answers"))
def test_a_documented_answer_is_translated(case: dict[str, Any]) -> None:
    answer = wires["gemini"].decode(json.dumps(case["provider"]).encode(), deployment())
    assert json.loads(answer.body) == {
        "id": "resp_01",
        "object": "chat.completion",
        "created": NOW,
        "model": "gemini-2.5-example-001",
        "choices": case["choices"],
        "usage": case["usage"],
    }
    assert answer.finish_reason == case["choices"][0]["finish_reason"]
    ChatCompletion.model_validate_json(answer.body, strict=True)


@pytest.mark.parametrize("data", streams("gemini/streams"))
def test_every_split_in_two_of_a_documented_stream_gives_the_same(data: bytes) -> None:
    out, _ = run(wires["gemini"], deployment(), [data])
    assert {chunk.id for chunk in chunks_in(out)} == {"resp_01"}
    assert_alike_in_halves(lambda pieces: run(wires["gemini"], deployment(), pieces), data)


def test_a_documented_error_is_one() -> None:
    body = b'{"error":{"code":404,"message":"models/x is not found","status":"NOT_FOUND"}}'
    error = wires["vertex"].decode_error(404, {}, body, deployment(provider="vertex"))
    assert (error.reason, error.message) == (Reason.ERROR_REASON_PROVIDER_NOT_FOUND, "models/x is not found")


def test_recorded_requests_are_translated(recordings: Recordings) -> None:
    for exchange in recordings.of("gemini"):
        caller = exchange.get("openai_request")
        if caller is None:
            continue
        request = wires[exchange["provider"]].encode(
            json.dumps(caller).encode(),
            deployment(exchange["model"].removeprefix("models/"), exchange["provider"]),
            stream=caller.get("stream", False),
            output_tokens_limit=0,
        )
        assert recordings.compare(exchange, _as_recorded(exchange, json.loads(request.body))) == [], exchange["id"]
        model = exchange["model"].removeprefix("models/")
        assert request.url.rpartition("/")[2].partition("?")[0] in exchange["request"]["url"]
        assert f"/models/{model}:" in request.url


def _as_recorded(exchange: Exchange, body: dict[str, Any]) -> dict[str, Any]:
    """gRPC's JSON, which one client wrote, repeats the model of the address in the body."""
    return {**body, "model": exchange["request"]["body"]["model"]} if "model" in exchange["request"]["body"] else body


def test_recorded_answers_give_what_is_expected(recordings: Recordings) -> None:
    for exchange in answered(recordings.of("gemini")):
        wire, expected = wires[exchange["provider"]], exchange["expect"]
        facts = made_of(wire, deployment(), exchange)
        details = facts["usage"].completion_tokens_details
        assert details.reasoning_tokens == expected.get("reasoning_tokens", 0), exchange["id"]
        assert_expected(exchange["id"], facts, expected)
        if exchange["response"]["encoding"] == "json":
            answer = wire.decode(json.dumps(exchange["response"]["body"]).encode(), deployment())
            choices = json.loads(answer.body)["choices"]
            texts = [choice["message"].get("content") for choice in choices]
            assert texts == expected.get("choice_texts", texts), exchange["id"]
            assert bool(choices[0].get("logprobs")) is expected.get("logprobs", False), exchange["id"]


def test_recorded_errors_keep_their_meaning_and_their_words(recordings: Recordings) -> None:
    for exchange in failed(recordings.of("gemini")):
        # What the gateway itself calls a rate limit is LiteLLM's word for it.
        words = ("throttling_error",) if exchange["response"]["status"] == 429 else ()
        assert_error_kept(wires["gemini"], deployment(), exchange, *words)
