"""Version 1 of Cohere's Chat held to cases from its documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.base import HttpRequest, StreamEnd
from router.wire.cohere_v1 import CohereV1Wire
from tests.recordings import Recordings, assembled, assert_expected, chunks_in, facts_of, pieces_of

CASES = Path(__file__).parent / "cohere_v1"
NOW = 1_700_000_000

wire = CohereV1Wire(lambda: NOW + 0.5)
deployment = Deployment(
    "d1", "command", "cohere", "v1/command-example", "https://api.cohere.com", "secret", wire="cohere-v1"
)


def named(folder: str) -> list[str]:
    names = sorted(path.name for path in (CASES / folder).iterdir())
    assert names
    return names


def run(pieces: Iterable[bytes]) -> tuple[bytes, StreamEnd]:
    stream = wire.stream(HttpRequest("POST", "", {}, b"", show_usage=True), deployment)
    out = b""
    for piece in pieces:
        step = stream.feed(piece)
        out += step.out
        if step.done or step.error is not None:
            break
    end = stream.close()
    return out + end.out, end


@pytest.mark.parametrize("name", named("requests"))
def test_a_documented_request_is_translated(name: str) -> None:
    case = json.loads((CASES / "requests" / name).read_text())
    request = wire.encode(json.dumps(case["caller"]).encode(), deployment, stream=False, output_tokens_limit=0)
    assert json.loads(request.body) == case["sent"]


@pytest.mark.parametrize("name", named("answers"))
def test_a_documented_answer_is_translated(name: str) -> None:
    case = json.loads((CASES / "answers" / name).read_text())
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


@pytest.mark.parametrize("name", named("streams"))
def test_every_split_in_two_of_a_documented_stream_gives_the_same(name: str) -> None:
    data = (CASES / "streams" / name).read_bytes()
    out, end = run([data])
    assert {chunk.id for chunk in chunks_in(out)} == {"g1"}
    for at in range(len(data)):
        split_out, split_end = run([data[:at], data[at:]])
        assert split_out == out, at
        assert (split_end.usage, split_end.finish_reason) == (end.usage, end.finish_reason), at


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
    for exchange in recordings.of("cohere-v1"):
        response = exchange["response"]
        if response["status"] != 200:
            continue
        if response["encoding"] == "json":
            answer = wire.decode(json.dumps(response["body"]).encode(), deployment)
            facts = facts_of(ChatCompletion.model_validate_json(answer.body, strict=True))
        else:
            data = response["body"].encode()
            out, end = run(pieces_of(data))
            assert end.error is None, exchange["id"]
            assert run([data])[0] == out
            facts = assembled(chunks_in(out))
        assert_expected(exchange["id"], facts, exchange["expect"])
