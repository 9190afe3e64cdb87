"""Cohere's Chat held to cases written from its documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.cohere import CohereWire
from tests.conformance.wire.cases import cases, streams
from tests.recordings import Recordings, answered, assert_error_kept, assert_expected, chunks_in, failed, made_of, run
from tests.streams import assert_alike_in_halves

NOW = 1_700_000_000

wire = CohereWire(lambda: NOW + 0.5)


def deployment(model: str = "command-example") -> Deployment:
    return Deployment("d1", "command", "cohere", model, "https://api.cohere.com", "secret", wire="cohere")


@pytest.mark.parametrize("case", cases("cohere/requests"))
def test_a_documented_request_is_translated(case: dict[str, Any]) -> None:
    request = wire.encode(json.dumps(case["caller"]).encode(), deployment(), stream=False, output_tokens_limit=0)
    assert json.loads(request.body) == case["sent"]


@pytest.mark.parametrize("case", cases("cohere/answers"))
def test_a_documented_answer_is_translated(case: dict[str, Any]) -> None:
    answer = wire.decode(json.dumps(case["provider"]).encode(), deployment())
    choice = {"index": 0, "message": case["message"], "finish_reason": case["finish_reason"]}
    if "logprobs" in case:
        choice["logprobs"] = case["logprobs"]
    completion = json.loads(answer.body)
    assert completion.pop("usage") == case["usage"]
    assert completion == {
        "id": "c14c80c3",
        "object": "chat.completion",
        "created": NOW,
        "model": "command-example",
        "choices": [choice],
    }
    assert answer.usage is not None
    assert [answer.usage.input_tokens, answer.usage.output_tokens] == case["billed"]
    assert answer.finish_reason == case["finish_reason"]
    ChatCompletion.model_validate_json(answer.body, strict=True)


@pytest.mark.parametrize("data", streams("cohere/streams"))
def test_every_split_in_two_of_a_documented_stream_gives_the_same(data: bytes) -> None:
    out, _ = run(wire, deployment(), [data])
    chunks = chunks_in(out)
    assert {chunk.id for chunk in chunks} == {"29f14a5a"}
    assert_alike_in_halves(lambda pieces: run(wire, deployment(), pieces), data)


def test_recorded_requests_are_translated(recordings: Recordings) -> None:
    for exchange in recordings.of("cohere-v2"):
        caller = exchange.get("openai_request")
        if caller is None:
            continue
        request = wire.encode(
            json.dumps(caller).encode(),
            deployment(exchange["model"]),
            stream=caller.get("stream", False),
            output_tokens_limit=0,
        )
        assert recordings.compare(exchange, json.loads(request.body)) == [], exchange["id"]


def test_recorded_answers_give_what_is_expected(recordings: Recordings) -> None:
    for exchange in answered(recordings.of("cohere-v2")):
        assert_expected(exchange["id"], made_of(wire, deployment(), exchange), exchange["expect"])


def test_recorded_errors_keep_their_meaning_and_their_words(recordings: Recordings) -> None:
    for exchange in failed(recordings.of("cohere-v2")):
        assert_error_kept(wire, deployment(), exchange)
