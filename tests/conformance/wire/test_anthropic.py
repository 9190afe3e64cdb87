"""Anthropic's Messages held to cases written from its documentation, and to recorded traffic where it is at hand."""

from __future__ import annotations

import importlib.util
import json
import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from router.catalog import Deployment
from router.wire.anthropic import AnthropicWire
from router.wire.base import HttpRequest, StreamEnd

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


def chunks_in(out: bytes) -> list[ChatCompletionChunk]:
    """The events of a stream as the OpenAI SDK reads them."""
    return [
        ChatCompletionChunk.model_validate_json(event.removeprefix("data: "), strict=True)
        for event in out.decode().split("\n\n")
        if event
    ]


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


def assembled(chunks: Iterable[ChatCompletionChunk]) -> dict[str, Any]:
    """What a caller makes of a stream."""
    whole: dict[str, Any] = {"text": "", "reasoning_text": "", "tool_calls": [], "usage": None, "finish_reason": None}
    for chunk in chunks:
        whole["model"], whole["usage"] = chunk.model, chunk.usage or whole["usage"]
        for choice in chunk.choices:
            whole["text"] += choice.delta.content or ""
            whole["reasoning_text"] += getattr(choice.delta, "reasoning_content", None) or ""
            whole["finish_reason"] = choice.finish_reason or whole["finish_reason"]
            for call in choice.delta.tool_calls or ():
                if call.index == len(whole["tool_calls"]):
                    assert call.id
                    whole["tool_calls"].append({"name": "", "arguments": ""})
                assert call.function is not None
                whole["tool_calls"][call.index]["name"] += call.function.name or ""
                whole["tool_calls"][call.index]["arguments"] += call.function.arguments or ""
    return whole


def facts_of(completion: ChatCompletion) -> dict[str, Any]:
    message = completion.choices[0].message
    calls = [call.function for call in message.tool_calls or () if call.type == "function"]
    return {
        "text": message.content or "",
        "reasoning_text": getattr(message, "reasoning_content", ""),
        "tool_calls": [{"name": call.name, "arguments": call.arguments} for call in calls],
        "finish_reason": completion.choices[0].finish_reason,
        "model": completion.model,
        "usage": completion.usage,
    }


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


@pytest.fixture(scope="session")
def recorded() -> list[dict[str, Any]]:
    """Recorded calls of Messages; the test is skipped where the recordings are not at hand."""
    shared = os.environ.get("TOLLHOUSE_SHARED")
    if not shared:
        pytest.skip("TOLLHOUSE_SHARED is not set: the recorded traffic is not part of the project")
    folder = Path(shared) / "traffic" / "exchanges"
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    wanted = [row["id"] for row in rows if row["dialect"] == "anthropic" and row["endpoint"] == "messages"]
    assert wanted
    return [json.loads((folder / f"{name}.json").read_text()) for name in wanted]


@pytest.fixture(scope="session")
def compare(recorded: list[dict[str, Any]]) -> Callable[[dict[str, Any], object], list[dict[str, Any]]]:
    """The recordings' own comparison of request bodies."""
    path = Path(os.environ["TOLLHOUSE_SHARED"]) / "traffic" / "replay.py"
    spec = importlib.util.spec_from_file_location("replay", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    compared: Callable[[dict[str, Any], object], list[dict[str, Any]]] = module.compare
    return compared


def test_recorded_requests_are_translated(
    recorded: list[dict[str, Any]], compare: Callable[[dict[str, Any], object], list[dict[str, Any]]]
) -> None:
    for exchange in recorded:
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
            for each in compare(exchange, body)
            if not (each["at"] == EFFORT_LOST and each.get("extra") == {"effort": caller.get("reasoning_effort")})
        ]
        assert not differences, exchange["id"]


def test_recorded_answers_give_what_is_expected(recorded: list[dict[str, Any]]) -> None:
    for exchange in recorded:
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


def pieces_of(data: bytes) -> list[bytes]:
    rng = random.Random(7)
    pieces = []
    while data:
        size = rng.choice((1, 2, 3, 7, 23, 211))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def assert_expected(name: str, facts: dict[str, Any], expected: dict[str, Any]) -> None:
    usage = facts.pop("usage")
    facts |= {
        "reasoning": facts["reasoning_text"] != "",
        "tool_calls": [{**call, "arguments": json.loads(call["arguments"])} for call in facts["tool_calls"]],
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.prompt_tokens_details.cached_tokens,
        "cache_write_tokens": usage.cache_creation_input_tokens,
    }
    for key, value in expected.items():
        if key in facts:
            assert facts[key] in [value, *expected.get(f"{key}_any", ())], (name, key)


def test_recorded_errors_keep_their_meaning_and_their_words(recorded: list[dict[str, Any]]) -> None:
    failed = [exchange for exchange in recorded if exchange["response"]["status"] != 200]
    assert failed
    for exchange in failed:
        response, expected = exchange["response"], exchange["expect"]["error"]
        body = json.dumps(response["body"]).encode()
        error = wire.decode_error(response["status"], response["headers"], body, deployment())
        assert error.message == expected["message"], exchange["id"]
        assert error.meaning.type in expected["openai_type_any"], exchange["id"]
        assert error.provider_status == expected["status"]
