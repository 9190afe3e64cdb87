"""A budget is never passed: not by many calls at once, not over two processes, not when the counters are lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
import redis

from tests.fake_provider import Behaviour, FakeProvider
from tests.stack import SHAPES, Gateway, ShareGateway

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params:
      model: openai/upstream
      api_base: "{base}"
      api_key: k
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.001
"""
MESSAGES = [{"role": "user", "content": "hi"}]
LEASE_SECONDS = 4


async def new_key(client: httpx.AsyncClient, **members: object) -> str:
    answer = await client.post("/key/generate", json=members)
    assert answer.status_code == 200, answer.text
    key: str = answer.json()["key"]
    return key


async def call(client: httpx.AsyncClient, key: str, **members: object) -> httpx.Response:
    return await client.post(
        "/v1/chat/completions",
        json={"model": "gpt", "messages": MESSAGES, **members},
        headers={"Authorization": f"Bearer {key}"},
    )


async def state_of(client: httpx.AsyncClient, key: str) -> tuple[float, float]:
    info = (await client.get("/key/info", params={"key": key})).json()["info"]
    return info["spend"], info["held"]


async def settled(client: httpx.AsyncClient, key: str) -> float:
    """What was spent once nothing is held any more."""
    for _ in range(200):
        spent, held = await state_of(client, key)
        if not held:
            return spent
        await asyncio.sleep(0.05)
    raise AssertionError("money stays held")


@pytest.fixture(scope="module", params=SHAPES)
async def gateway(request, shared_stack: ShareGateway, provider_server: FakeProvider) -> AsyncIterator[Gateway]:
    """Shared: every test has keys of its own."""
    async with shared_stack(CONFIG.format(base=provider_server.base_url), shape=request.param) as gateway:
        yield gateway


@pytest.mark.parametrize("stream", [False, True])
async def test_two_hundred_calls_at_once_do_not_pass_a_small_budget(
    gateway: Gateway, fake_provider: FakeProvider, stream: bool
) -> None:
    """Each would cost about $0.05 of a cap of $0.5; the provider always writes as much as it may."""
    fake_provider.behave("upstream", Behaviour(words=("x",) * 400, burst=True, head_delay_seconds=0.05))
    async with httpx.AsyncClient(
        base_url=gateway.base_url, headers=gateway.headers, timeout=30, limits=httpx.Limits(max_connections=200)
    ) as client:
        before = (await client.get("/global/spend")).json()["spend"]
        key = await new_key(client, max_budget=0.5)
        answers = await asyncio.gather(*(call(client, key, max_tokens=50, stream=stream) for _ in range(200)))
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) <= {200, 422}
        assert statuses[200] >= 9
        spent = await settled(client, key)
        assert spent <= 0.5
        # What is left is usable by serial calls, down to less than the smallest useful hold.
        for _ in range(30):
            if (await call(client, key, stream=stream)).status_code != 200:
                break
            spent = await settled(client, key)
        assert 0.48 <= spent <= 0.5
        refused = await call(client, key)
        assert refused.status_code == 422
        assert refused.json()["error"]["type"] == "budget_exceeded"
        total = (await client.get("/global/spend")).json()["spend"]
        assert total - before == pytest.approx(spent, abs=1e-9)


@pytest.mark.parametrize("gateway", ["one"], indirect=True)
async def test_a_call_without_a_limit_gets_what_its_budget_buys(gateway: Gateway, fake_provider: FakeProvider) -> None:
    fake_provider.behave("upstream", Behaviour(words=("x",) * 400))
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        key = await new_key(client, max_budget=0.1)
        assert (await call(client, key)).status_code == 200
        limit = fake_provider.seen[0].body["max_tokens"]
        assert 90 <= limit < 100
        assert 0.09 < await settled(client, key) <= 0.1


@pytest.mark.parametrize("gateway", ["one"], indirect=True)
async def test_without_a_budget_no_limit_is_injected(gateway: Gateway, fake_provider: FakeProvider) -> None:
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        key = await new_key(client)
        assert (await call(client, key)).status_code == 200
        assert "max_tokens" not in fake_provider.seen[0].body
        assert await settled(client, key) == pytest.approx(11e-6 + 0.006)


async def test_the_gateways_own_budget_binds_the_master_key_too(stack, fake_provider: FakeProvider) -> None:
    gateway = await stack(CONFIG.format(base=fake_provider.base_url) + "litellm_settings: {max_budget: 0.03}\n")
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        statuses = [(await call(client, gateway.master_key, max_tokens=20)).status_code for _ in range(8)]
        assert statuses[0] == 200
        assert statuses[-1] == 422
        assert (await client.get("/global/spend")).json()["max_budget"] == 0.03


async def test_after_the_counters_are_lost_they_are_what_the_ledger_says(
    stack, fake_provider: FakeProvider, redis_url: str
) -> None:
    gateway = await stack(
        CONFIG.format(base=fake_provider.base_url),
        shape="split",
        environ={"TOLLHOUSE_HOLD_LEASE_SECONDS": str(LEASE_SECONDS)},
    )
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=60) as client:
        key = await new_key(client, max_budget=10)
        for _ in range(10):
            assert (await call(client, key, max_tokens=20)).status_code == 200
        fake_provider.behave("upstream", Behaviour(gap_seconds=0.5))
        running = asyncio.create_task(call(client, key, max_tokens=20, stream=True))
        while len(fake_provider.seen) < 11:
            await asyncio.sleep(0.02)
        with redis.from_url(redis_url) as server:
            server.flushdb()
        # Until routers have told what they have open, hard budgets are refused, not guessed.
        for _ in range(100):
            answer = await call(client, key, max_tokens=20)
            if answer.status_code == 200:
                break
            assert answer.status_code == 503
            await asyncio.sleep(0.1)
        assert answer.status_code == 200
        assert (await running).text.endswith("data: [DONE]\n\n")
        spent = await settled(client, key)
        assert spent == pytest.approx(12 * (11e-6 + 0.006), abs=1e-9)
