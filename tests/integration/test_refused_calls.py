"""Calls that came to nothing are in the account too: at no cost, with the reason, under the key that made them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.fake_provider import Behaviour, FakeProvider
from tests.stack import SHAPES

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/up, api_base: "{base}", api_key: k}}
    model_info: {{id: d-up, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
  - model_name: down
    litellm_params: {{model: openai/down, api_base: "{base}", api_key: k}}
    model_info: {{input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
  - model_name: mock
    litellm_params: {{model: openai/free, mock_response: Hi.}}
    model_info: {{input_cost_per_token: 0, output_cost_per_token: 0}}
router_settings: {{num_retries: 0}}
"""
MESSAGES = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"


async def rows_of(client: httpx.AsyncClient, count: int, **query: str) -> list[dict[str, Any]]:
    """The rows of /spend/logs, once there are so many."""
    async with asyncio.timeout(20):
        while len(rows := (await client.get("/spend/logs", params=query)).json()) < count:
            await asyncio.sleep(0.05)
    assert len(rows) == count
    return rows


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_kind_of_failure_is_an_entry(stack, fake_provider: FakeProvider, shape: str) -> None:
    fake_provider.behave("down", Behaviour(status=400, body=b'{"error": {"message": "no"}}'))
    gateway = await stack(CONFIG.format(base=fake_provider.base_url), shape=shape)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:

        async def new_key(**members: object) -> dict[str, str]:
            made = (await client.post("/key/generate", json={"user_id": "u1", **members})).json()
            return {"Authorization": f"Bearer {made['key']}"}

        poor, narrow, blocked = await new_key(max_budget=0), await new_key(models=["mock"]), await new_key()
        limited = await new_key(rpm_limit=0)
        secret = blocked["Authorization"].removeprefix("Bearer ")
        assert (await client.post("/key/block", json={"key": secret})).status_code == 200
        tagged = {"x-litellm-tags": "t1", "x-litellm-customer-id": "cust"}
        for headers, model, status in (
            (poor, "gpt", 422),
            (narrow, "gpt", 403),
            (blocked, "gpt", 401),
            (limited, "gpt", 429),
            (narrow, "mock", 200),
            ({"Authorization": "Bearer sk-nobodys"}, "gpt", 401),
            ({}, "down", 400),
            ({}, "nothing", 400),
        ):
            answer = await client.post(CHAT, json={"model": model, "messages": MESSAGES}, headers={**headers, **tagged})
            assert answer.status_code == status, (model, answer.text)

        rows = await rows_of(client, 7)
        assert {(row["model_group"], row["status"], row["metadata"]["error"], row["user"]) for row in rows} == {
            ("gpt", "failure", "budget_exceeded", "u1"),
            ("gpt", "failure", "model_not_allowed", "u1"),
            ("gpt", "failure", "key_blocked", "u1"),
            ("gpt", "failure", "rate_limited", "u1"),
            ("mock", "success", None, "u1"),
            ("down", "failure", "provider_rejected", ""),
            ("nothing", "failure", "model_not_found", ""),
        }
        assert {(row["spend"], row["end_user"], *row["request_tags"]) for row in rows} == {(0.0, "cust", "t1")}
        assert [row["litellm_call_id"] for row in rows] == [row["request_id"] for row in rows]


async def test_what_is_refused_while_the_ledger_is_down_is_told_when_it_is_back(
    stack, fake_provider: FakeProvider
) -> None:
    gateway = await stack(CONFIG.format(base=fake_provider.base_url), shape="split")
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        made = (await client.post("/key/generate", json={"models": ["mock"]})).json()
        own = {"Authorization": f"Bearer {made['key']}"}
        await gateway.kill("ledger")
        for number in range(3):
            headers = {**own, "x-litellm-call-id": f"refused-{number}"}
            answer = await client.post(CHAT, json={"model": "gpt", "messages": MESSAGES}, headers=headers)
            assert answer.status_code == 403
        await gateway.start("ledger")
        rows = await rows_of(client, 3)
    assert sorted(row["litellm_call_id"] for row in rows) == [f"refused-{number}" for number in range(3)]
