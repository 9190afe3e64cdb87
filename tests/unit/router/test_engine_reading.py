"""Embeddings and rerank in the attempt loop: who is asked, and what becomes of the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway.v1 import common_pb2, ledger_pb2

from router.catalog import Deployment
from router.languages import MAX_INLINE_BYTES
from services.errors import Reason
from tests.reading import EMBEDDINGS, RERANK, whole_deployment
from tests.unit.router.test_engine import Bench, Script

BODY = b'{"model":"group","input":"hi"}'
RERANK_BODY = b'{"model":"group","query":"q","documents":["a"]}'
ANSWER = b'{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":7,"total_tokens":7}}'


def named(name: str, **params: Any) -> Deployment:
    """It costs 1,000 nano-USD a token."""
    priced = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6, **params}
    return whole_deployment(priced, name=name)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.deployments = [named("a", model="openai/e"), named("b", model="anthropic/claude")]
    bench.providers.scripts["a"] = Script([ANSWER])
    return bench


async def test_a_call_is_answered_once_its_entry_is_committed(bench: Bench) -> None:
    caller = bench.caller(body=BODY, operation=EMBEDDINGS)
    await bench.engine.run(caller)
    assert bench.events == ["opened", "sent a", "entry", "committed", "head", "data", "result"]
    assert caller.out == ANSWER
    assert bench.providers.requests == [("a", {"input": "hi", "model": "e"})]
    entry = bench.entry
    assert (entry.operation, entry.status) == (EMBEDDINGS, ledger_pb2.ENTRY_STATUS_SUCCESS)
    assert entry.usage == common_pb2.TokenUsage(input_tokens=7)
    assert entry.cost_nano_usd == 7_000


async def test_only_deployments_that_offer_the_operation_are_asked(bench: Bench) -> None:
    bench.providers.scripts["a"] = Script([b"oops"], status=500)
    caller = bench.caller(body=BODY, operation=EMBEDDINGS)
    error = await bench.fails(caller)
    assert error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert {name for name, _ in bench.providers.requests} == {"a"}


async def test_where_nobody_offers_it_nothing_is_sent(bench: Bench) -> None:
    del bench.deployments[0]
    error = await bench.fails(bench.caller(body=BODY, operation=EMBEDDINGS))
    assert (error.reason, error.param) == (Reason.ERROR_REASON_INVALID_REQUEST, "model")
    assert "do not offer embeddings" in error.message
    assert not bench.providers.requests
    assert not bench.entry.attempts


async def test_a_provider_that_does_not_chat_is_not_asked_to(bench: Bench) -> None:
    bench.deployments = [named("a", model="voyage/v")]
    error = await bench.fails(bench.caller(operation=common_pb2.OPERATION_CHAT_COMPLETIONS))
    assert "do not offer chat completions" in error.message


async def test_an_answer_of_many_vectors_is_the_same_answer(bench: Bench) -> None:
    vector = [0.5] * 1_000
    count = MAX_INLINE_BYTES // (5 * len(vector)) + 1
    said = {"data": [{"embedding": vector}] * count, "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    bench.providers.scripts["a"] = Script([json.dumps(said).encode()])
    asked = json.dumps({"model": "group", "input": ["hi"] * count, "encoding_format": "base64"}).encode()
    caller = bench.caller(body=asked, operation=EMBEDDINGS)
    await bench.engine.run(caller)
    rows = json.loads(caller.out)["data"]
    assert len(rows) == count
    assert all(isinstance(row["embedding"], str) for row in rows)


async def test_what_cannot_be_read_is_an_error_with_an_entry(bench: Bench) -> None:
    bench.providers.scripts["a"] = Script([b"<html>"])
    error = await bench.fails(bench.caller(body=BODY, operation=EMBEDDINGS))
    assert error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
    assert bench.entry.status == ledger_pb2.ENTRY_STATUS_FAILURE


@pytest.mark.parametrize(
    ("operation", "body"), [(EMBEDDINGS, b'{"model":"group","input":["a","b"]}'), (RERANK, RERANK_BODY)]
)
async def test_a_mock_answers_without_a_provider(bench: Bench, operation: common_pb2.Operation, body: bytes) -> None:
    bench.deployments = [named("a", model="cohere/c", mock_response="unused")]
    caller = bench.caller(body=body, operation=operation)
    await bench.engine.run(caller)
    answer = json.loads(caller.out)
    if operation == EMBEDDINGS:
        assert [row["embedding"] for row in answer["data"]] == [[0.25, 0.5, -0.5]] * 2
    else:
        assert answer["results"] == [{"index": 0, "relevance_score": 0.5}]
    assert bench.entry.usage.input_tokens == 10
    assert not bench.providers.requests


async def test_a_hold_that_does_not_pay_for_the_input_asks_nobody(bench: Bench) -> None:
    hold = common_pb2.Hold(held_nano_usd=999_999, epoch="e", choices=1)
    error = await bench.fails(bench.caller(body=BODY, operation=EMBEDDINGS, hold=hold))
    assert error.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED
    assert not bench.providers.requests
    hold.held_nano_usd = 1_000_000
    bench.log.entries.clear()
    await bench.engine.run(bench.caller(body=BODY, operation=EMBEDDINGS, hold=hold))
    assert bench.entry.cost_nano_usd == 7_000
