"""Ollama's own chat held to cases written from its documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.ollama import OllamaWire
from tests.conformance.wire.cases import cases, streams
from tests.recordings import Recordings, answered, assert_expected, chunks_in, made_of, run
from tests.streams import assert_alike_in_halves

NOW = 1_700_000_000

# Ollama streams unless it is told not to, and some clients say nothing where we say so.
STREAM_BY_DEFAULT = {"at": "/stream", "extra": True}

wire = OllamaWire(lambda: NOW + 0.5)


def deployment(model: str = "example:4b") -> Deployment:
    return Deployment("d1", "local", "ollama", model, "http://localhost:11434", wire="ollama")


@pytest.mark.parametrize("case", cases("ollama/requests"))
def test_a_documented_request_is_translated(case: dict[str, Any]) -> None:
    request = wire.encode(json.dumps(case["caller"]).encode(), deployment(), stream=False, output_tokens_limit=0)
    assert json.loads(request.body) == case["sent"]


@pytest.mark.parametrize("case", cases("ollama/answers"))
def test_a_documented_answer_is_translated(case: dict[str, Any]) -> None:
    answer = wire.decode(json.dumps(case["provider"]).encode(), deployment())
    completion = json.loads(answer.body)
    (choice,) = completion.pop("choices")
    for call in choice["message"].get("tool_calls", ()):
        assert call.pop("id").startswith("call_")
    assert choice.pop("logprobs", None) == case.get("logprobs")
    assert choice == {"index": 0, "message": case["message"], "finish_reason": case["finish_reason"]}
    assert completion.pop("id").startswith("chatcmpl-")
    usage = completion.pop("usage")
    assert [usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]] == case["usage"]
    assert completion == {"object": "chat.completion", "created": NOW, "model": "example:4b"}
    assert answer.finish_reason == case["finish_reason"]
    ChatCompletion.model_validate_json(answer.body, strict=True)


@pytest.mark.parametrize("data", streams("ollama/streams"))
def test_every_split_in_two_of_a_documented_stream_gives_the_same(data: bytes) -> None:
    out, _ = run(wire, deployment(), [data])
    assert len({chunk.id for chunk in chunks_in(out)}) == 1
    assert_alike_in_halves(lambda pieces: run(wire, deployment(), pieces), data)


def test_recorded_requests_are_translated(recordings: Recordings) -> None:
    for exchange in recordings.of("ollama"):
        caller = exchange.get("openai_request")
        if caller is None:
            continue
        request = wire.encode(
            json.dumps(caller).encode(),
            deployment(exchange["model"]),
            stream=caller.get("stream", False),
            output_tokens_limit=0,
        )
        differences = recordings.compare(exchange, json.loads(request.body))
        assert [each for each in differences if each != STREAM_BY_DEFAULT] == [], exchange["id"]


def test_recorded_answers_give_what_is_expected(recordings: Recordings) -> None:
    for exchange in answered(recordings.of("ollama")):
        assert_expected(exchange["id"], made_of(wire, deployment(), exchange), exchange["expect"])
