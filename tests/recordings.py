"""Recorded traffic of real providers, and what a caller makes of an answer: what every wire is held to.

The recordings are not part of the project: their place is in TOLLHOUSE_SHARED, and tests of them are skipped elsewhere.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
from base64 import b64decode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from router.catalog import Deployment
from router.wire.base import HttpRequest, StreamEnd, Wire
from services.errors import GatewayError
from tests.streams import fed

# One exchange, as the recordings' own README describes it.
Exchange = dict[str, Any]


class Recordings:
    """The recorded exchanges."""

    def __init__(self, traffic: Path) -> None:
        self._folder = traffic / "exchanges"
        path = traffic / "replay.py"
        spec = importlib.util.spec_from_file_location("replay", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        # The recordings' own comparison of a request body: what differs.
        self.compare: Callable[[Exchange, object], list[dict[str, Any]]] = module.compare

    def of(self, *dialects: str, endpoint: str | None = None) -> list[Exchange]:
        """The exchanges in some dialects, at least one."""
        rows = [json.loads(line) for line in (self._folder / "index.jsonl").read_text().splitlines()]
        names = [
            row["id"]
            for row in rows
            if row["dialect"] in dialects and (endpoint is None or row["endpoint"] == endpoint)
        ]
        assert names
        return [json.loads((self._folder / f"{name}.json").read_text()) for name in names]


def answered(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """Those that were no failures, at least one."""
    found = [exchange for exchange in exchanges if exchange["response"]["status"] == 200]
    assert found
    return found


def failed(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """Those that were, at least one."""
    found = [exchange for exchange in exchanges if exchange["response"]["status"] != 200]
    assert found
    return found


@pytest.fixture(scope="session")
def recordings() -> Recordings:
    """Skips the test where the recordings are not at hand."""
    shared = os.environ.get("TOLLHOUSE_SHARED")
    if not shared:
        pytest.skip("TOLLHOUSE_SHARED is not set: the recorded traffic is not part of the project")
    return Recordings(Path(shared) / "traffic")


def chunks_in(out: bytes) -> list[ChatCompletionChunk]:
    """The events of a stream as the OpenAI SDK reads them."""
    return [
        ChatCompletionChunk.model_validate_json(event.removeprefix("data: "), strict=True)
        for event in out.decode().split("\n\n")
        if event
    ]


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
    """What a caller makes of a whole answer."""
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


def run(wire: Wire, deployment: Deployment, pieces: Iterable[bytes]) -> tuple[bytes, StreamEnd]:
    """A whole stream from its pieces, for a caller who asked for the usage."""
    return fed(wire.stream(HttpRequest("POST", "", {}, b"", show_usage=True), deployment), pieces)


def made_of(wire: Wire, deployment: Deployment, exchange: Exchange) -> dict[str, Any]:
    """What a caller makes of a recorded answer; of a stream in the same way whole and in pieces."""
    response = exchange["response"]
    if response["encoding"] == "json":
        answer = wire.decode(json.dumps(response["body"]).encode(), deployment)
        return facts_of(ChatCompletion.model_validate_json(answer.body, strict=True))
    data = b64decode(response["body"]) if response["encoding"] == "base64" else response["body"].encode()
    out, end = run(wire, deployment, pieces_of(data))
    assert end.error is None, exchange["id"]
    assert run(wire, deployment, [data])[0] == out
    return assembled(chunks_in(out))


def assert_error_kept(wire: Wire, deployment: Deployment, exchange: Exchange, *more_types: str) -> GatewayError:
    """A recorded failure keeps its status, its meaning and its words. more_types: right beside the recording's."""
    response, expected = exchange["response"], exchange["expect"]["error"]
    body = response["body"].encode() if isinstance(response["body"], str) else json.dumps(response["body"]).encode()
    error = wire.decode_error(response["status"], response["headers"], body, deployment)
    assert error.message == expected["message"], exchange["id"]
    assert error.meaning.type in (*expected["openai_type_any"], *more_types), exchange["id"]
    assert error.provider_status == expected["status"]
    return error


def pieces_of(data: bytes) -> list[bytes]:
    """The bytes of a stream in pieces of sizes by chance."""
    rng = random.Random(7)
    pieces = []
    while data:
        size = rng.choice((1, 2, 3, 7, 23, 211))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def assert_expected(name: str, facts: dict[str, Any], expected: dict[str, Any]) -> None:
    """What was made of an answer is what the recording's `expect` says, as far as both speak of it."""
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
