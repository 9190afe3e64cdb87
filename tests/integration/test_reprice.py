"""Calls of which nobody knew the price get it later: entries, sums and what the key has spent, over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest
from gateway.v1 import common_pb2, ledger_pb2

from edge.admin import reprice
from services.ids import IdMint, to_text
from tests.edge_scene import PRICED, Scene
from tests.fake_provider import FakeProvider

# The same model twice, once with a price: as if it were stated later.
CONFIG = """
model_list:
  - model_name: unknown
    litellm_params: {{model: openai/nobody-knows-this, api_base: "{base}", api_key: k}}
  - model_name: nobodys
    litellm_params: {{model: openai/nor-this, api_base: "{base}", api_key: k}}
  - model_name: known
    litellm_params: {{model: openai/nobody-knows-this, api_base: "{base}", api_key: k}}
    model_info: {{input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
"""
# The fake provider's calls: 11 tokens in, 6 out.
COST_USD = 11 * 0.000001 + 6 * 0.000002


async def test_calls_without_a_price_are_repriced(stack, fake_provider: FakeProvider) -> None:
    gateway = await stack(CONFIG.format(base=fake_provider.base_url), shape="one")
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        key = (await client.post("/key/generate", json={"user_id": "ada"})).json()["key"]
        body = {"messages": [{"role": "user", "content": "hi"}]}
        for model in ("unknown", "nobodys", "unknown", "unknown"):
            answer = await client.post(
                "/v1/chat/completions", json={**body, "model": model}, headers={"Authorization": f"Bearer {key}"}
            )
            assert answer.status_code == 200
        async with asyncio.timeout(20):
            while len(rows := (await client.get("/spend/logs")).json()) < 4:
                await asyncio.sleep(0.05)
        assert [(row["spend"], row["metadata"]["unpriced"]) for row in rows] == [(0, True)] * 4

        refused = await client.post("/spend/reprice", headers={"Authorization": f"Bearer {key}"}, json={})
        assert refused.status_code in (401, 403)
        assert (await client.post("/spend/reprice", json={"before": "x"})).status_code == 400
        none = (await client.post("/spend/reprice", json={"model": "known"})).json()
        assert none == {"repriced": 0, "spend": 0, "still_unpriced": 0, "next": None}

        done = (await client.post("/spend/reprice", json={})).json()
        assert done == {"repriced": 3, "spend": round(3 * COST_USD, 9), "still_unpriced": 1, "next": None}
        again = (await client.post("/spend/reprice", json={})).json()
        assert again == {"repriced": 0, "spend": 0, "still_unpriced": 1, "next": None}

        rows = (await client.get("/spend/logs", params={"model_group": "unknown"})).json()
        assert [row["spend"] for row in rows] == [round(COST_USD, 9)] * 3
        spent = round(3 * COST_USD, 9)
        assert (await client.get("/global/spend")).json()["spend"] == spent
        assert (await client.get("/key/info", params={"key": key})).json()["info"]["spend"] == spent


async def test_what_was_billed_for_two_deployments_stays_unpriced(scene: Scene) -> None:
    """Its usage is that of both together, and nobody knows whose is what."""
    mint = IdMint()
    scene.deployment = replace(PRICED, id="d")
    usage = common_pb2.TokenUsage(input_tokens=1_000)
    both = [ledger_pb2.Attempt(deployment_id=name) for name in ("other", "d")]
    twice = [ledger_pb2.Attempt(deployment_id="d")] * 2
    scene.entries = [
        ledger_pb2.Entry(dispatch_id=mint.new(), deployment_id="d", usage=usage, attempts=attempts)
        for attempts in (both, twice, [])
    ]
    async with scene.client() as client:
        answer = (await client.post("/spend/reprice", json={})).json()
    # 1,000 tokens at $2.50 a million.
    assert answer == {"repriced": 2, "spend": 0.005, "still_unpriced": 1, "next": None}


async def test_a_request_ends_and_tells_where_to_go_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reprice, "MAX_ENTRIES", 2)
    mint = IdMint()
    scene.entries = [ledger_pb2.Entry(dispatch_id=mint.new()) for _ in range(2)]
    async with scene.client() as client:
        asked = {"start_date": "2026-01-01", "end_date": "2026-01-31", "model": "m"}
        following = (await client.post("/spend/reprice", json=asked)).json()["next"]
        assert following == to_text(scene.entries[-1].dispatch_id)
        assert (await client.post("/spend/reprice", json={**asked, "before": following})).json()["next"] is None
    first, second = scene.listed
    assert (first.unpriced, first.start_ms, first.end_ms) == (True, 1_767_225_600_000, 1_769_904_000_000)
    assert first.filters == [ledger_pb2.SpendFilter(dimension=ledger_pb2.SPEND_DIMENSION_MODEL_GROUP, values=["m"])]
    assert second.before_id == scene.entries[-1].dispatch_id
