"""A webhook of a whole gateway: every call reaches it, whatever its receiver answers and whichever ledger runs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web

from tests.fake_provider import PRICED_CONFIG, FakeProvider
from tests.stack import SHAPES

CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}


class Receiver:
    """Takes entries, or answers `status`."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.refused = 0
        self.entries: list[dict[str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert request.headers["webhook-signature"].startswith("v1,")
        if self.status == 200:
            self.entries += json.loads(body)["data"]
        else:
            self.refused += 1
        return web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/in", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    yield made
    await runner.cleanup()


def config_of(provider: FakeProvider, receiver: Receiver) -> str:
    hook = f"general_settings:\n  export_webhook: {{url: '{receiver.url}', secret: of-this-test}}\n"
    return PRICED_CONFIG.format(base=provider.base_url) + hook


async def call(client: httpx.AsyncClient, names: list[str]) -> None:
    for name in names:
        answer = await client.post("/v1/chat/completions", json=CHAT, headers={"x-litellm-call-id": name})
        assert answer.status_code == 200


async def until(holds) -> None:
    async with asyncio.timeout(40):
        while not holds():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_call_reaches_the_webhook_once(stack, fake_provider, receiver: Receiver, shape: str) -> None:
    gateway = await stack(config_of(fake_provider, receiver), shape=shape)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        # The ledger says that there is a webhook a moment after its start.
        await asyncio.sleep(1)
        names = [f"call-{number}" for number in range(12)]
        await call(client, names)
        await until(lambda: len(receiver.entries) >= len(names))
        rows = (await client.get("/spend/logs")).json()
    assert Counter(each["call_id"] for each in receiver.entries) == Counter(names)
    assert {each["dispatch_id"] for each in receiver.entries} == {row["request_id"] for row in rows}
    assert {each["cost_usd"] for each in receiver.entries} == {"0.000023"}


async def test_nothing_is_missed_while_the_receiver_and_ledgers_come_and_go(
    stack, fake_provider, receiver: Receiver
) -> None:
    gateway = await stack(config_of(fake_provider, receiver), shape="split", ledgers=2)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        await asyncio.sleep(1)
        names = [f"call-{number}" for number in range(30)]
        await call(client, names[:10])
        await until(lambda: len(receiver.entries) >= 10)
        receiver.status = 503
        await call(client, names[10:20])
        await until(lambda: receiver.refused >= 2)
        # Whoever stops in order lets go of the webhook, and the other goes on at once.
        assert await gateway.stop("ledger") == 0
        assert await gateway.stop("ledger-2") == 0
        await gateway.start("ledger")
        await call(client, names[20:])
        receiver.status = 200
        await until(lambda: {each["call_id"] for each in receiver.entries} == set(names))
    assert max(Counter(each["dispatch_id"] for each in receiver.entries).values()) == 1
