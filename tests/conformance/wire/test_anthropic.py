"""Anthropic's Messages held to cases written from its documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.anthropic import AnthropicWire
from tests.conformance.wire.cases import cases, streams
from tests.recordings import Recordings, answered, assert_error_kept, assert_expected, chunks_in, failed, made_of, run
from tests.streams import assert_alike_in_halves

NOW = 1_700_000_000

# Their bodies were recorded without the effort that the call asked for; the recording's own notes say that it is due.
EFFORT_LOST = "/outputConfig"

wire = AnthropicWire(lambda: NOW + 0.5)


def deployment(model: str = "claude-example-4-5") -> Deployment:
    return Deployment("d1", "claude", "anthropic", model, "https://api.anthropic.com", "secret", wire="anthropic")


@pytest.mark.parametrize("case", cases("anthropic/requests"))
def test_a_documented_request_is_translated(case: dict[str, Any]) -> None:
    request = wire.encode(json.dumps(case["caller"]).encode(), deployment(), stream=False, output_tokens_limit=0)
    assert json.loads(request.body) == case["sent"]


@pytest.mark.parametrize("case", cases("anthropic/answers"))
def test_a_documented_answer_is_translated(case: dict[str, Any]) -> None:
    answer = wire.decode(json.dumps(case["provider"]).encode(), deployment())
    choice = {"index": 0, "message": case["message"], "finish_reason": case["finish_reason"]}
    assert json.loads(answer.body) == {
        "id": "msg_01",
        "object": "chat.completion",
        "created": NOW,
        "model": "claude-example-4-5-20300101",
        "choices": [choice],
        "usage": case["usage"],
    }
    assert answer.finish_reason == case["finish_reason"]
    ChatCompletion.model_validate_json(answer.body, strict=True)


@pytest.mark.parametrize("data", streams("anthropic/streams"))
def test_every_split_in_two_of_a_documented_stream_gives_the_same(data: bytes) -> None:
    out, _ = run(wire, deployment(), [data])
    chunks = chunks_in(out)
    assert {chunk.id for chunk in chunks} == {"msg_01"}
    assert_alike_in_halves(lambda pieces: run(wire, deployment(), pieces), data)


def test_recorded_requests_are_translated(recordings: Recordings) -> None:
    for exchange in recordings.of("anthropic", endpoint="messages"):
        caller = exchange.get("openai_request")
        if caller is None:
            continue
        request = wire.encode(
            json.dumps(caller).encode(),
            deployment(exchange["model"]),
            stream=caller.get("stream", False),
            output_tokens_limit=0,
        )
        body = json.loads(request.body)
        if exchange["provider"] == "vertex":
            # There the model is in the path.
            del body["model"]
            body["anthropic_version"] = exchange["request"]["body"]["anthropic_version"]
        differences = [
            each
            for each in recordings.compare(exchange, body)
            if not (each["at"] == EFFORT_LOST and each.get("extra") == {"effort": caller.get("reasoning_effort")})
        ]
        assert not differences, exchange["id"]


def test_recorded_answers_give_what_is_expected(recordings: Recordings) -> None:
    for exchange in answered(recordings.of("anthropic", endpoint="messages")):
        assert_expected(exchange["id"], made_of(wire, deployment(), exchange), exchange["expect"])


def test_recorded_errors_keep_their_meaning_and_their_words(recordings: Recordings) -> None:
    for exchange in failed(recordings.of("anthropic", endpoint="messages")):
        assert_error_kept(wire, deployment(), exchange)
