"""Calls of which nobody knew the price get it later: entries, sums and what the key has spent, over HTTP."""

from __future__ import annotations

import asyncio

import httpx

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
