"""Anthropic's Messages held to cases written from its documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.anthropic import AnthropicWire
from router.wire.base import HttpRequest, StreamEnd
from tests.recordings import Recordings, assembled, assert_expected, chunks_in, facts_of, pieces_of

CASES = Path(__file__).parent / "anthropic"
NOW = 1_700_000_000

# Their bodies were recorded without the effort that the call asked for; the recording's own notes say that it is due.
EFFORT_LOST = "/outputConfig"

wire = AnthropicWire(lambda: NOW + 0.5)


def named(folder: str) -> list[str]:
    names = sorted(path.name for path in (CASES / folder).iterdir())
    assert names
    return names


def deployment(model: str = "claude-example-4-5") -> Deployment:
    return Deployment("d1", "claude", "anthropic", model, "https://api.anthropic.com", "secret", wire="anthropic")


def run(pieces: Iterable[bytes], *, model: str = "claude-example-4-5") -> tuple[bytes, StreamEnd]:
    stream = wire.stream(HttpRequest("POST", "", {}, b"", show_usage=True), deployment(model))
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
    request = wire.encode(json.dumps(case["caller"]).encode(), deployment(), stream=False, output_tokens_limit=0)
    assert json.loads(request.body) == case["sent"]


@pytest.mark.parametrize("name", named("answers"))
def test_a_documented_answer_is_translated(name: str) -> None:
    case = json.loads((CASES / "answers" / name).read_text())
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


@pytest.mark.parametrize("name", named("streams"))
def test_every_split_in_two_of_a_documented_stream_gives_the_same(name: str) -> None:
    data = (CASES / "streams" / name).read_bytes()
    out, end = run([data])
    chunks = chunks_in(out)
    assert {chunk.id for chunk in chunks} == {"msg_01"}
    for at in range(len(data)):
        split_out, split_end = run([data[:at], data[at:]])
        assert split_out == out, at
        assert (split_end.usage, split_end.finish_reason) == (end.usage, end.finish_reason), at


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
    for exchange in recordings.of("anthropic", endpoint="messages"):
        response = exchange["response"]
        if response["status"] != 200:
            continue
        if response["encoding"] == "json":
            answer = wire.decode(json.dumps(response["body"]).encode(), deployment())
            facts = facts_of(ChatCompletion.model_validate_json(answer.body, strict=True))
        else:
            out, end = run(pieces_of(response["body"].encode()))
            assert end.error is None, exchange["id"]
            facts = assembled(chunks_in(out))
        assert_expected(exchange["id"], facts, exchange["expect"])


def test_recorded_errors_keep_their_meaning_and_their_words(recordings: Recordings) -> None:
    exchanges = recordings.of("anthropic", endpoint="messages")
    failed = [exchange for exchange in exchanges if exchange["response"]["status"] != 200]
    assert failed
    for exchange in failed:
        response, expected = exchange["response"], exchange["expect"]["error"]
        body = json.dumps(response["body"]).encode()
        error = wire.decode_error(response["status"], response["headers"], body, deployment())
        assert error.message == expected["message"], exchange["id"]
        assert error.meaning.type in expected["openai_type_any"], exchange["id"]
        assert error.provider_status == expected["status"]
