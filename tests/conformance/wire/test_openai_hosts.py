"""Hosts that depart from OpenAI's language, held to cases written from their documentation (`about` says which)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.providers.provider import PROVIDERS
from router.wire.base import HttpRequest
from router.wire.openai import OpenAIWire
from tests.conformance.wire.test_openai import assembled, chunks_in
from tests.recordings import run
from tests.streams import assert_alike_in_halves

CASES = Path(__file__).parent / "openai" / "hosts"
# What every chunk has, and cases do not repeat.
FRAME = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}

wire = OpenAIWire()


def cases(kind: str) -> list[Any]:
    read = {path.stem: json.loads(path.read_text()) for path in sorted(CASES.iterdir())}
    found = [pytest.param(case, id=name) for name, case in read.items() if kind in case]
    assert found
    return found


def deployment_of(case: dict[str, Any]) -> Deployment:
    name, _, model = case["model"].partition("/")
    row = PROVIDERS[name]
    bare = Deployment("d1", "group", name, row.name_of(model), "https://host.example/v1")
    return dataclasses.replace(bare, quirks=row.quirks_of(model))


@pytest.mark.parametrize("case", cases("sent"))
def test_a_documented_request_is_sent(case: dict[str, Any]) -> None:
    caller = case["caller"]
    stream = caller.get("stream") is True
    request = wire.encode(json.dumps(caller).encode(), deployment_of(case), stream=stream, output_tokens_limit=0)
    assert json.loads(request.body) == case["sent"]
    assert list(request.dropped) == case.get("dropped", [])


@pytest.mark.parametrize("case", cases("answer"))
def test_a_documented_answer_is_made_openais(case: dict[str, Any]) -> None:
    answer = wire.decode(json.dumps(case["answer"]).encode(), deployment_of(case))
    ChatCompletion.model_validate_json(answer.body, strict=True)
    (choice,) = json.loads(answer.body)["choices"]
    assert choice["message"] == case["message"]
    assert choice["finish_reason"] == answer.finish_reason == case["finish_reason"]


@pytest.mark.parametrize("case", cases("events"))
def test_a_documented_stream_is_made_openais_however_it_is_split(case: dict[str, Any]) -> None:
    events = [json.dumps({**FRAME, **event}) for event in case["events"]]
    data = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()
    deployment = deployment_of(case)
    out, end = run(wire, deployment, [data])
    assert end.error is None
    (choice,) = assembled(chunks_in(out))["choices"]
    calls = [call["function"] for call in choice["message"].pop("tool_calls")]
    wanted = {**case["message"]}
    assert [(each["name"], each["arguments"]) for each in calls] == [
        (each["name"], each["arguments"]) for each in wanted.pop("tool_calls", ())
    ]
    assert choice["message"] == wanted
    assert choice["finish_reason"] == end.finish_reason == case["finish_reason"]
    assert_alike_in_halves(lambda pieces: run(wire, deployment, pieces), data)


def test_a_stream_that_breaks_off_is_an_error_and_gives_what_it_had() -> None:
    deployment = dataclasses.replace(deployment_of({"model": "perplexity/m"}))
    event = json.dumps({**FRAME, "choices": [{"index": 0, "delta": {"content": "<think>why</think>be"}}]})
    stream = wire.stream(HttpRequest("POST", "", {}, b""), deployment)
    step = stream.feed(f"data: {event}\n\ndata: {event[:20]}".encode())
    assert b'"reasoning_content":"why"' in step.out
    assert stream.close().error is not None
