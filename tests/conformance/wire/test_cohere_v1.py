"""Version 1 of Cohere's Chat held to cases from its documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.cohere_v1 import CohereV1Wire
from tests.conformance.wire.cases import cases, streams
from tests.recordings import Recordings, answered, assert_expected, chunks_in, made_of, run
from tests.streams import assert_alike_in_halves

NOW = 1_700_000_000

wire = CohereV1Wire(lambda: NOW + 0.5)
deployment = Deployment(
    "d1", "command", "cohere", "v1/command-example", "https://api.cohere.com", "secret", wire="cohere-v1"
)


@pytest.mark.parametrize("case", cases("cohere_v1/requests"))
def test_a_documented_request_is_translated(case: dict[str, Any]) -> None:
    request = wire.encode(json.dumps(case["caller"]).encode(), deployment, stream=False, output_tokens_limit=0)
    assert json.loads(request.body) == case["sent"]


@pytest.mark.parametrize("case", cases("cohere_v1/answers"))
def test_a_documented_answer_is_translated(case: dict[str, Any]) -> None:
    answer = wire.decode(json.dumps(case["provider"]).encode(), deployment)
    completion = json.loads(answer.body)
    calls = completion["choices"][0]["message"].get("tool_calls", ())
    assert len({call.pop("id") for call in calls}) == len(calls)
    choice = {"index": 0, "message": case["message"], "finish_reason": case["finish_reason"]}
    assert completion == {
        "id": "g1",
        "object": "chat.completion",
        "created": NOW,
        "model": "command-example",
        "choices": [choice],
        "usage": case["usage"],
    }
    assert answer.finish_reason == case["finish_reason"]
    ChatCompletion.model_validate_json(answer.body, strict=True)


@pytest.mark.parametrize("data", streams("cohere_v1/streams"))
def test_every_split_in_two_of_a_documented_stream_gives_the_same(data: bytes) -> None:
    out, _ = run(wire, deployment, [data])
    assert {chunk.id for chunk in chunks_in(out)} == {"g1"}
    assert_alike_in_halves(lambda pieces: run(wire, deployment, pieces), data)


# Members of a recorded request that a caller can give as they are. None was recorded with what its caller said.
SAME = ("temperature", "stream", "raw_prompting")


def test_recorded_requests_of_one_message_are_made_of_it(recordings: Recordings) -> None:
    compared = 0
    for exchange in recordings.of("cohere-v1"):
        body = exchange["request"]["body"]
        if not body.keys() <= {"model", "message", "chat_history", "stop_sequences", *SAME} or body.get("chat_history"):
            continue
        caller = {name: body[name] for name in SAME if name in body}
        caller |= {"messages": [{"role": "user", "content": body["message"]}], "stop": body.get("stop_sequences")}
        to = Deployment(
            "d1", "command", "cohere", f"v1/{exchange['model']}", "https://api.cohere.com", wire="cohere-v1"
        )
        stream = body.get("stream") is True
        request = wire.encode(json.dumps(caller).encode(), to, stream=stream, output_tokens_limit=0)
        assert recordings.compare(exchange, json.loads(request.body)) == [], exchange["id"]
        compared += 1
    assert compared


def test_recorded_answers_give_what_is_expected(recordings: Recordings) -> None:
    for exchange in answered(recordings.of("cohere-v1")):
        assert_expected(exchange["id"], made_of(wire, deployment, exchange), exchange["expect"])
