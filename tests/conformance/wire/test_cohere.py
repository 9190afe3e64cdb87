"""Cohere's Chat held to cases written from its documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.base import HttpRequest, StreamEnd
from router.wire.cohere import CohereWire
from tests.recordings import Recordings, assembled, assert_expected, chunks_in, facts_of, pieces_of

CASES = Path(__file__).parent / "cohere"
NOW = 1_700_000_000

wire = CohereWire(lambda: NOW + 0.5)


def named(folder: str) -> list[str]:
    names = sorted(path.name for path in (CASES / folder).iterdir())
    assert names
    return names


def deployment(model: str = "command-example") -> Deployment:
    return Deployment("d1", "command", "cohere", model, "https://api.cohere.com", "secret", wire="cohere")


def run(pieces: Iterable[bytes]) -> tuple[bytes, StreamEnd]:
    stream = wire.stream(HttpRequest("POST", "", {}, b"", show_usage=True), deployment())
    out = b""
    for piece in pieces:
        step = stream.feed(piece)
        out += step.out
        if step.done or step.error is not None:
            break
    end = stream.close()
    return out + end.out, end


def made_of(exchange: dict[str, Any]) -> dict[str, Any]:
    """What a caller makes of a recorded answer; of a stream in the same way whole and in pieces."""
    response = exchange["response"]
    if response["encoding"] == "json":
        answer = wire.decode(json.dumps(response["body"]).encode(), deployment())
        return facts_of(ChatCompletion.model_validate_json(answer.body, strict=True))
    data = response["body"].encode()
    out, end = run(pieces_of(data))
    assert end.error is None, exchange["id"]
    assert run([data])[0] == out
    return assembled(chunks_in(out))


@pytest.mark.parametrize("name", named("requests"))
def test_a_documented_request_is_translated(name: str) -> None:
    case = json.loads((CASES / "requests" / name).read_text())
    request = wire.encode(json.dumps(case["caller"]).encode(), deployment(), stream=False, output_tokens_limit=0)
    assert json.loads(request.body) == case["sent"]


@pytest.mark.parametrize("name", named("answers"))
def test_a_documented_answer_is_translated(name: str) -> None:
    case = json.loads((CASES / "answers" / name).read_text())
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


@pytest.mark.parametrize("name", named("streams"))
def test_every_split_in_two_of_a_documented_stream_gives_the_same(name: str) -> None:
    data = (CASES / "streams" / name).read_bytes()
    out, end = run([data])
    chunks = chunks_in(out)
    assert {chunk.id for chunk in chunks} == {"29f14a5a"}
    for at in range(len(data)):
        split_out, split_end = run([data[:at], data[at:]])
        assert split_out == out, at
        assert (split_end.usage, split_end.finish_reason) == (end.usage, end.finish_reason), at


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
    for exchange in recordings.of("cohere-v2"):
        if exchange["response"]["status"] == 200:
            assert_expected(exchange["id"], made_of(exchange), exchange["expect"])


def test_recorded_errors_keep_their_meaning_and_their_words(recordings: Recordings) -> None:
    failed = [exchange for exchange in recordings.of("cohere-v2") if exchange["response"]["status"] != 200]
    assert failed
    for exchange in failed:
        response, expected = exchange["response"], exchange["expect"]["error"]
        body = json.dumps(response["body"]).encode()
        error = wire.decode_error(response["status"], response["headers"], body, deployment())
        assert error.message == expected["message"], exchange["id"]
        assert error.meaning.type in expected["openai_type_any"], exchange["id"]
        assert error.provider_status == expected["status"]
