"""Admin paths of a real gateway: spend that adds up to what was charged, and checks that are charged like calls."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.fake_provider import INPUT_TOKENS, Behaviour, FakeProvider
from tests.stack import SHAPES, Gateway

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/up, api_base: "{base}", api_key: k}}
    model_info: {{id: d-up, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
  - model_name: dead
    litellm_params: {{model: openai/down, api_base: "{base}", api_key: k}}
    model_info: {{id: d-down}}
  - model_name: mock
    litellm_params: {{model: openai/gpt-4o-mini, mock_response: Hi.}}
    model_info: {{id: d-mock}}
"""
CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
# Six words at two millionths, eleven tokens at one.
COST = 0.000023


@pytest.fixture(params=SHAPES)
async def gateway(request, stack, fake_provider: FakeProvider) -> Gateway:
    return await stack(CONFIG.format(base=fake_provider.base_url), shape=request.param)


async def until(client: httpx.AsyncClient, path: str, holds) -> object:
    """What a path answers, once that is what it must become: entries reach the ledger a moment after their calls."""
    for _ in range(200):
        answer = (await client.get(path)).json()
        if holds(answer):
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"{path} stays {answer}")


async def test_reports_add_up_to_what_was_charged(gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        made = (await client.post("/key/generate", json={"user_id": "u1", "key_alias": "ci", "models": ["gpt"]})).json()
        own = {"Authorization": f"Bearer {made['key']}"}
        for headers in ({}, own, own):
            assert (await client.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200

        total = await until(client, "/global/spend", lambda answer: answer["spend"] == pytest.approx(3 * COST))
        assert total["max_budget"] == 0.0
        today = datetime.now(UTC).date()
        for start, spent in ((today - timedelta(days=1), 3 * COST), (today + timedelta(days=2), 0)):
            path = f"/global/spend?start_date={start}&end_date={start + timedelta(days=3)}"
            assert (await client.get(path)).json()["spend"] == pytest.approx(spent)
        assert (await client.get("/global/spend/models")).json() == [
            {"model": "openai/up", "total_spend": pytest.approx(3 * COST)}
        ]
        assert (await client.get("/global/spend/users")).json() == [
            {"user_id": "u1", "total_spend": pytest.approx(2 * COST)},
            {"user_id": None, "total_spend": pytest.approx(COST)},
        ]
        keys = (await client.get("/global/spend/keys")).json()
        assert [(key["api_key"], key["key_alias"]) for key in keys] == [
            (made["token_id"], "ci"),
            ("litellm_proxy_master_key", None),
        ]
        (dearest,) = (await client.get("/spend/keys?limit=1")).json()
        assert (dearest["token"], dearest["models"]) == (made["token_id"], ["gpt"])
        assert dearest["spend"] == pytest.approx(2 * COST)

        assert (await client.get("/v1/models/gpt", headers=own)).json()["id"] == "gpt"
        assert (await client.get("/v1/models/dead", headers=own)).status_code == 404


async def test_health_makes_a_call_of_one_token_and_accounts_for_it(
    gateway: Gateway, fake_provider: FakeProvider
) -> None:
    fake_provider.behave("down", Behaviour(status=401, body=b'{"error": {"message": "No such key."}}'))
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        answer = await client.get("/health")
        assert answer.status_code == 200
        health = answer.json()
        assert (health["healthy_count"], health["unhealthy_count"]) == (2, 1)
        assert health["healthy_endpoints"] == [
            {"model": "openai/up", "model_id": "d-up", "api_base": fake_provider.base_url},
            {"model": "openai/gpt-4o-mini", "model_id": "d-mock"},
        ]
        (down,) = health["unhealthy_endpoints"]
        assert (down["model_id"], "No such key." in down["error"]) == ("d-down", True)
        assert sorted(seen.body["model"] for seen in fake_provider.seen) == ["down", "up"]
        assert {seen.body["max_tokens"] for seen in fake_provider.seen} == {1}

        assert (await client.get("/health?model=dead")).status_code == 503
        assert (await client.get("/health?model_id=d-up")).json()["healthy_count"] == 1

        rows = await until(client, "/spend/logs", lambda rows: len(rows) == 5)
        assert {tuple(row["request_tags"]) for row in rows} == {("health-check",)}
        charged = [row["metadata"]["cost_nano_usd"] for row in rows if row["model_id"] == "d-up"]
        assert charged == [INPUT_TOKENS * 1_000 + 2_000] * 2
