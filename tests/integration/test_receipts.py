"""A receipt says of one call what it came to, by what prices, and why: over a real gateway, in both shapes."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from services.money import usd_text
from tests.fake_provider import Behaviour, FakeProvider
from tests.stack import SHAPES

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/first, api_base: "{base}", api_key: k, weight: 1}}
    model_info: {{id: d-first, input_cost_per_token: 0.00001, output_cost_per_token: 0.00002}}
  - model_name: gpt
    litellm_params: {{model: openai/second, api_base: "{base}", api_key: k, weight: 0}}
    model_info: {{id: d-second, input_cost_per_token: 0.00001, output_cost_per_token: 0.00002}}
  - model_name: spare
    litellm_params: {{model: openai/spare, api_base: "{base}", api_key: k}}
    model_info:
      {{id: d-spare, input_cost_per_token: 0.000003, output_cost_per_token: 0.000004000000005,
        output_cost_per_token_above_1k_tokens: 0.000006}}
  - model_name: free
    litellm_params: {{model: openai/gpt-unknown, api_base: "{base}", api_key: k}}
    model_info: {{id: d-free}}
router_settings: {{num_retries: 1, cooldown_time: 60, fallbacks: [{{gpt: [spare]}}]}}
litellm_settings: {{cost_margin_config: {{openai: 0.1}}}}
"""
CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
LIMITED = Behaviour(429, {"content-type": "application/json"}, b'{"error": {"message": "slow down"}}')
# Eleven tokens in, six out.
TOKENS = {"input": 11, "output": 6}


@pytest.fixture(params=SHAPES)
async def client(request, stack, fake_provider: FakeProvider):
    gateway = await stack(CONFIG.format(base=fake_provider.base_url), shape=request.param)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        yield client


async def receipt_of(client: httpx.AsyncClient, call_id: str, **options: Any) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (answer := await client.get(f"/v1/receipts/{call_id}", **options)).status_code == 404:
            await asyncio.sleep(0.05)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_receipt_says_what_happened_and_why(client, fake_provider: FakeProvider) -> None:
    made = (await client.post("/key/generate", json={"max_budget": 1, "user_id": "ada"})).json()
    own = {"Authorization": f"Bearer {made['key']}"}
    fake_provider.behave("first", LIMITED)
    fake_provider.behave("second", LIMITED)
    answer = await client.post("/v1/chat/completions", json={"model": "gpt", **CHAT}, headers=own)
    assert answer.status_code == 200
    call_id = answer.headers["x-tollhouse-call-id"]

    receipt = await receipt_of(client, call_id, headers=own)
    (dispatch,) = receipt["dispatches"]
    first, second, spare = dispatch["attempts"]
    assert [each["model_id"] for each in (first, second, spare)] == ["d-first", "d-second", "d-spare"]
    assert [(each["provider_status"], each["error"]) for each in (first, second, spare)] == [
        (429, "provider_rate_limited"),
        (429, "provider_rate_limited"),
        (200, None),
    ]
    assert [each["why"]["model_group"] for each in (first, second, spare)] == ["gpt", "gpt", "spare"]
    assert first["why"] == {"model_group": "gpt", "strategy": "simple-shuffle", "candidates": 2, "skipped": []}
    assert second["why"]["skipped"] == [{"model_id": "d-first", "reason": "tried", "rests_ms": None}]
    assert (first["tokens"], first["prices"], first["cost_usd"]) == (None, None, None)
    assert spare["tokens"] == dispatch["tokens"] == TOKENS
    assert spare["prices"] == {
        "nano_usd_per_million_tokens": {"input": 3_000_000_000, "output": 4_000_000_005},
        "usd_per_token": {"input": "0.000003", "output": "0.000004000000005"},
        "usd_per_call": "0",
        "calls": 1,
        "above_tokens": 0,
        "service_tier": None,
        "discount": "0",
        "margin": "0.1",
        "fee_usd": "0",
    }
    # What is stated here, reckoned by hand: 33,000 + 24,000.00003, and a tenth on it, in nano-USD.
    assert dispatch["settlement"] == {
        "cost_usd": "0.0000627",
        "cost_nano_usd": 62_700,
        "overrun_nano_usd": 0,
        "estimated": False,
        "unpriced": False,
    }
    assert usd_text(round(float(answer.headers["x-tollhouse-response-cost"]) * 10**9)) == receipt["cost_usd"]
    assert dispatch["hold"]["held_nano_usd"] >= 62_700
    assert dispatch["hold"]["epoch"]
    assert dispatch["cache"] is None
    assert dispatch["timings"]["duration_ms"] >= sum(each["latency_ms"] for each in dispatch["attempts"]) - 3
    assert 0 < dispatch["timings"]["first_token_ms"] <= dispatch["timings"]["duration_ms"] + 1
    assert (dispatch["status"], dispatch["operation"], dispatch["user"]) == ("success", "chat_completions", "ada")

    # A key of its own each: another key finds nothing, in the words of a call that never was; an admin finds all.
    other = (await client.post("/key/generate", json={})).json()
    theirs = await client.get(f"/v1/receipts/{call_id}", headers={"Authorization": f"Bearer {other['key']}"})
    unknown = await client.get("/v1/receipts/nobodys", headers=own)
    assert (theirs.status_code, theirs.json()) == (unknown.status_code, unknown.json())
    assert theirs.status_code == 404
    for path in (f"/receipts/{call_id}", f"/v1/receipts/{call_id}", f"/v1/receipts/{dispatch['dispatch_id']}"):
        assert (await client.get(path)).json() == receipt

    # The next call passes over who rests.
    answer = await client.post("/v1/chat/completions", json={"model": "gpt", **CHAT})
    (dispatch,) = (await receipt_of(client, answer.headers["x-litellm-call-id"]))["dispatches"]
    (missed,) = dispatch["not_attempted"]
    assert (missed["model_id"], missed["why"]["candidates"]) == (None, 2)
    assert [skip["reason"] for skip in missed["why"]["skipped"]] == ["cooldown", "cooldown"]
    assert all(50_000 < skip["rests_ms"] <= 60_000 for skip in missed["why"]["skipped"])
    assert [each["model_id"] for each in dispatch["attempts"]] == ["d-spare"]
    assert dispatch["hold"] is None


async def test_calls_that_came_to_nothing_have_one_too(client, fake_provider: FakeProvider) -> None:
    made = (await client.post("/key/generate", json={"models": ["free"]})).json()
    own = {"Authorization": f"Bearer {made['key']}"}
    refused = await client.post(
        "/v1/chat/completions", json={"model": "gpt", **CHAT}, headers={**own, "x-litellm-call-id": "refused-1"}
    )
    assert refused.status_code == 403
    (dispatch,) = (await receipt_of(client, "refused-1", headers=own))["dispatches"]
    assert (dispatch["status"], dispatch["error"], dispatch["attempts"]) == ("failure", "model_not_allowed", [])
    assert dispatch["settlement"]["cost_usd"] == "0"

    fake_provider.behave("gpt-unknown", Behaviour(400, body=b'{"error": {"message": "no"}}'), Behaviour())
    failed = await client.post(
        "/v1/chat/completions", json={"model": "free", **CHAT}, headers={**own, "x-litellm-call-id": "failed-1"}
    )
    assert failed.status_code == 400
    (dispatch,) = (await receipt_of(client, "failed-1"))["dispatches"]
    (attempt,) = dispatch["attempts"]
    assert (attempt["provider_status"], attempt["error"], attempt["tokens"]) == (400, "provider_rejected", None)

    # Of several calls by one name, all; of a model without a price, that.
    for _ in range(2):
        again = {**own, "x-litellm-call-id": "failed-1"}
        answer = await client.post(
            "/v1/chat/completions", json={"model": "free", "stream": True, **CHAT}, headers=again
        )
        assert answer.status_code == 200
    async with asyncio.timeout(20):
        while len(dispatches := (await receipt_of(client, "failed-1"))["dispatches"]) < 3:
            await asyncio.sleep(0.05)
    assert [each["status"] for each in dispatches] == ["failure", "success", "success"]
    (attempt,) = dispatches[2]["attempts"]
    assert (attempt["tokens"], attempt["prices"], attempt["cost_usd"]) == (TOKENS, None, "0")
    assert dispatches[2]["settlement"]["unpriced"] is True

    rows = (await client.get("/spend/logs")).json()
    assert {row["metadata"]["error"]: len(row["metadata"]["attempts"]) for row in rows} == {
        "model_not_allowed": 0,
        "provider_rejected": 1,
        None: 1,
    }
