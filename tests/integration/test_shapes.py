"""One gateway, any split: it answers in one process and in many, and finds again what has been away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.stack import Gateway, ShareGateway, StartGateway

CONFIG = """
model_list:
  - model_name: mock-gpt
    litellm_params: {model: openai/gpt-4o-mini, mock_response: Hello from Tollhouse.}
"""
CHAT = {"model": "mock-gpt", "messages": [{"role": "user", "content": "Hello"}]}
# Five times what a role may need to find a neighbour again: a reconnect is tried at least every 5 s.
FOUND_SECONDS = 25


async def ask(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=CHAT)


async def ask_until_answered(client: httpx.AsyncClient) -> None:
    """Ask until the answer is there; the last refusal when it does not come."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + FOUND_SECONDS
    while (answer := await ask(client)).status_code != 200:
        assert answer.status_code == 503, answer.text  # away is the only thing it may say meanwhile
        assert loop.time() < give_up_at, answer.text
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("shape", ["one", "split"])
async def test_every_shape_answers(stack: StartGateway, shape: str) -> None:
    gateway = await stack(CONFIG, shape=shape)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        await ask_until_answered(client)
        answer = await ask(client)
        assert answer.json()["choices"][0]["message"]["content"] == "Hello from Tollhouse."


@pytest.fixture(scope="module")
async def split_gateway(shared_stack: ShareGateway) -> AsyncIterator[Gateway]:
    async with shared_stack(CONFIG, shape="split") as gateway:
        yield gateway


@pytest.mark.parametrize("role", ["ledger", "keystore", "router", "edge"])
async def test_a_role_that_was_killed_is_found_again(split_gateway: Gateway, role: str) -> None:
    gateway = split_gateway
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        await ask_until_answered(client)
        await gateway.kill(role)
        await gateway.start(role)
        await ask_until_answered(client)


async def test_every_process_ends_in_order(stack: StartGateway) -> None:
    gateway = await stack(CONFIG, shape="split", routers=2)
    for role in ("edge", "router-2", "router", "keystore", "ledger"):
        assert await gateway.stop(role) == 0, role
        errors = [event for event in gateway.logs(role) if event["level"] in ("error", "critical")]
        assert errors == [], role
