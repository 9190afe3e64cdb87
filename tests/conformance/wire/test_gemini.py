"""Gemini held to cases written from Google's documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.base import HttpRequest, StreamEnd
from router.wire.gemini import VERTEX, GeminiWire
from services.errors import Reason
from tests.recordings import Exchange, Recordings, assembled, assert_expected, chunks_in, facts_of, pieces_of

CASES = Path(__file__).parent / "gemini"
NOW = 1_700_000_000
BASES = {
    "gemini": "https://generativelanguage.googleapis.com",
    "vertex": "https://us-central1-aiplatform.googleapis.com",
}

wires = {"gemini": GeminiWire(lambda: NOW + 0.5), "vertex": GeminiWire(lambda: NOW + 0.5, VERTEX)}


def named(folder: str) -> list[str]:
    names = sorted(path.name for path in (CASES / folder).iterdir())
    assert names
    return names


def deployment(model: str = "gemini-2.5-example", provider: str = "gemini") -> Deployment:
    return Deployment(
        "d1", "g", provider, model, BASES[provider], "secret", wire="gemini", auth="header:x-goog-api-key"
    )


def run(pieces: Iterable[bytes]) -> tuple[bytes, StreamEnd]:
    stream = wires["gemini"].stream(HttpRequest("POST", "", {}, b"", show_usage=True), deployment())
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
    host = case.get("host", "gemini")
    to = deployment(case.get("model", "gemini-2.5-example"), host)
    request = wires[host].encode(json.dumps(case["caller"]).encode(), to, stream=False, output_tokens_limit=0)
    assert json.loads(request.body) == case["sent"]


@pytest.mark.parametrize("name", named("answers"))
def test_a_documented_answer_is_translated(name: str) -> None:
    case = json.loads((CASES / "answers" / name).read_text())
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


@pytest.mark.parametrize("name", named("streams"))
def test_every_split_in_two_of_a_documented_stream_gives_the_same(name: str) -> None:
    data = (CASES / "streams" / name).read_bytes()
    out, end = run([data])
    assert {chunk.id for chunk in chunks_in(out)} == {"resp_01"}
    for at in range(len(data)):
        split_out, split_end = run([data[:at], data[at:]])
        assert split_out == out, at
        assert (split_end.usage, split_end.finish_reason) == (end.usage, end.finish_reason), at


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


def _answers(recordings: Recordings) -> list[Exchange]:
    return [exchange for exchange in recordings.of("gemini") if exchange["response"]["status"] == 200]


def test_recorded_answers_give_what_is_expected(recordings: Recordings) -> None:
    for exchange in _answers(recordings):
        response, expected = exchange["response"], exchange["expect"]
        if response["encoding"] == "json":
            wire = wires[exchange["provider"]]
            answer = wire.decode(json.dumps(response["body"]).encode(), deployment())
            completion = ChatCompletion.model_validate_json(answer.body, strict=True)
            facts = facts_of(completion)
            texts = [choice.message.content for choice in completion.choices]
            assert texts == expected.get("choice_texts", texts), exchange["id"]
            assert (completion.choices[0].logprobs is not None) is expected.get("logprobs", False)
        else:
            out, end = run(pieces_of(response["body"].encode()))
            assert end.error is None, exchange["id"]
            facts = assembled(chunks_in(out))
            assert run([response["body"].encode()])[0] == out
        details = facts["usage"].completion_tokens_details
        assert details.reasoning_tokens == expected.get("reasoning_tokens", 0), exchange["id"]
        assert_expected(exchange["id"], facts, expected)


def test_recorded_errors_keep_their_meaning_and_their_words(recordings: Recordings) -> None:
    failed = [exchange for exchange in recordings.of("gemini") if exchange["response"]["status"] != 200]
    assert failed
    for exchange in failed:
        response, expected = exchange["response"], exchange["expect"]["error"]
        body = json.dumps(response["body"]).encode()
        error = wires["gemini"].decode_error(response["status"], response["headers"], body, deployment())
        assert error.message == expected["message"], exchange["id"]
        # What the gateway itself calls a rate limit is LiteLLM's word for it.
        types = [*expected["openai_type_any"], *(["throttling_error"] if expected["status"] == 429 else [])]
        assert error.meaning.type in types, exchange["id"]
        assert error.provider_status == expected["status"]
