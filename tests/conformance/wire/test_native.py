"""Hosts with a language, or an envelope, of their own, held to cases written from their documentation (`about` says
which), through their rows: address, headers, request, answer and stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway.v1 import common_pb2
from openai.types.chat import ChatCompletion

from router.catalog import Deployment, build
from router.wire import WIRES
from router.wire.base import HttpRequest, StreamEnd, Wire
from services.config import parse
from tests.aws_events import message
from tests.recordings import assembled, chunks_in, pieces_of
from tests.recordings import run as run_of

CASES = Path(__file__).parent / "native"
NOW = 1_700_000_000


def cases(kind: str) -> list[Any]:
    read = {path.stem: json.loads(path.read_text()) for path in sorted(CASES.iterdir())}
    found = [pytest.param(case, id=name) for name, case in read.items() if kind in case]
    assert found
    return found


def no_prices() -> Any:
    raise AssertionError("the price is given")


def deployment_of(case: dict[str, Any]) -> Deployment:
    params = {"api_key": "key", "input_cost_per_token": 0, "output_cost_per_token": 0, **case["params"]}
    text = json.dumps({"model_list": [{"model_name": "group", "litellm_params": params}]})
    (deployment,) = build(parse(text, name="f.yaml", environ={}), {}, no_prices).groups["group"]
    return deployment


def wire_of(deployment: Deployment) -> Wire:
    return WIRES[deployment.wire](lambda: NOW + 0.5)


def encoded(case: dict[str, Any], *, stream: bool) -> HttpRequest:
    deployment = deployment_of(case)
    caller = {"model": "group", **case["caller"], **({"stream": True} if stream else {})}
    return wire_of(deployment).encode(json.dumps(caller).encode(), deployment, stream=stream, output_tokens_limit=0)


def run(case: dict[str, Any], pieces: Iterable[bytes]) -> tuple[bytes, StreamEnd]:
    deployment = deployment_of(case)
    return run_of(wire_of(deployment), deployment, pieces)


def streams_of(case: dict[str, Any]) -> Iterator[bytes]:
    """The stream in its envelope: cut where its events are, and, in an envelope, anywhere."""
    pieces = [each.encode() for each in case["stream"]]
    name = case.get("envelope")
    if name is None:
        yield b"".join(pieces)
        return
    headers = {":message-type": "event", ":event-type": name, ":content-type": "application/octet-stream"}
    for parts in (pieces, pieces_of(b"".join(pieces))):
        yield b"".join(message(headers, part) for part in parts)


@pytest.mark.parametrize("case", cases("sent"))
def test_a_documented_request_is_sent(case: dict[str, Any]) -> None:
    for stream in (False, True):
        request = encoded(case, stream=stream)
        assert request.url == case["stream_url" if stream else "url"]
        assert json.loads(request.body) == {**case["sent"], **(case.get("sent_stream", {}) if stream else {})}
        assert request.dropped == ()
        assert {name: request.headers[name] for name in case.get("headers", {})} == case.get("headers", {})


@pytest.mark.parametrize("case", cases("answer"))
def test_a_documented_answer_is_translated(case: dict[str, Any]) -> None:
    deployment = deployment_of(case)
    answer = wire_of(deployment).decode(json.dumps(case["answer"]).encode(), deployment)
    ChatCompletion.model_validate_json(answer.body, strict=True)
    completion = json.loads(answer.body)
    (choice,) = completion["choices"]
    assert choice["message"] == case["message"]
    assert choice["finish_reason"] == answer.finish_reason == case["finish_reason"]
    assert completion["model"]
    assert answer.usage == used(case)
    # Counted where nobody else has.
    assert answer.usage is not None or answer.content_bytes == len(case["message"]["content"])


@pytest.mark.parametrize("case", cases("stream"))
def test_a_documented_stream_is_translated_however_it_is_split(case: dict[str, Any]) -> None:
    outs = set()
    for nth, data in enumerate(streams_of(case)):
        out, end = run(case, [data])
        assert end.error is None
        whole = assembled(chunks_in(out))
        assert whole["text"] == (case["message"]["content"] or "")
        wanted = [call["function"] for call in case["message"].get("tool_calls", ())]
        assert whole["tool_calls"] == wanted
        assert whole["finish_reason"] == end.finish_reason == case["finish_reason"]
        assert (end.usage, end.last) == (used(case), b"data: [DONE]\n\n")
        assert (whole["usage"] is not None) is (case["usage"] is not None)
        outs.add(out)
        assert run(case, pieces_of(data))[0] == out
        for at in range(1, len(data)) if nth == 0 else ():
            split, split_end = run(case, [data[:at], data[at:]])
            assert (split, split_end.finish_reason, split_end.error) == (out, case["finish_reason"], None), at
    assert len(outs) == 1


@pytest.mark.parametrize("case", cases("stream"))
def test_a_stream_that_is_cut_is_an_error_and_no_short_answer(case: dict[str, Any]) -> None:
    data = next(streams_of(case))
    out, end = run(case, [data[: len(data) // 2]])
    assert end.error is not None
    assert end.last == b""
    assert b"[DONE]" not in out


def used(case: dict[str, Any]) -> common_pb2.TokenUsage | None:
    if case["usage"] is None:
        return None
    read, written = case["usage"]
    return common_pb2.TokenUsage(input_tokens=read, output_tokens=written)
