"""An edge whose routers come and go, by what their name stands for: real router processes, a resolver of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from services.composition import Composition
from services.config import Config
from services.settings import Settings
from services.telemetry import create_log
from tests.fake_provider import Behaviour, FakeProvider

StartGateway = Callable[..., Awaitable[Any]]

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/upstream, api_base: "{base}", api_key: none}}
"""
NAME = "routers.test:4100"
IN_FLIGHT = 4


class Resolver:
    """Says who is `there`."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self._asked = asyncio.Event()

    async def __call__(self, name: str) -> frozenset[str]:
        assert name == NAME
        self._asked.set()
        return frozenset(self.there)

    async def asked(self, times: int) -> None:
        """Until it has been asked so often again."""
        for _ in range(times):
            self._asked.clear()
            await asyncio.wait_for(self._asked.wait(), 10)


@pytest.fixture
async def gateway(stack: StartGateway, fake_provider: FakeProvider) -> Any:
    """Two routers, of which the second is not there yet."""
    made = await stack(CONFIG.format(base=fake_provider.base_url), shape="split", routers=2)
    await made.stop("router-2")
    return made


@pytest.fixture
def resolver(gateway: Any) -> Resolver:
    made = Resolver()
    made.there.add(address(gateway, "router"))
    return made


@pytest.fixture
async def client(gateway: Any, resolver: Resolver) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to an edge in this process, beside the gateway's own."""
    settings = Settings(
        master_key=gateway.master_key,
        internal_token="internal-token-of-this-test",
        routers=(NAME,),
        keystore=(address(gateway, "keystore"),),
        ledger=(address(gateway, "ledger"),),
    )
    edge = Composition(
        ["edge"],
        Config(),
        settings,
        create_log("error"),
        CollectorRegistry(),
        http_host="127.0.0.1",
        http_port=0,
        offers_rpc=False,
        look_up=resolver,
    )
    await edge.start()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{edge.http_port}", headers=gateway.headers, timeout=30
    ) as made:
        yield made
    await edge.stop()


def address(gateway: Any, name: str) -> str:
    """Where a process offers its role."""
    return str(gateway.commands[name][0])


async def ask(client: httpx.AsyncClient) -> int:
    body = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}
    return (await client.post("/v1/chat/completions", json=body)).status_code


async def test_an_edge_finds_a_router_that_comes_and_outlives_one_that_is_killed(
    gateway: Any, resolver: Resolver, client: httpx.AsyncClient, fake_provider: FakeProvider
) -> None:
    assert await ask(client) == 200

    # The second comes. Calls stay with the first, so these are there when it is killed, and nothing of them has been
    # answered yet.
    await gateway.start("router-2")
    resolver.there.add(address(gateway, "router-2"))
    await resolver.asked(2)
    seen = len(fake_provider.seen)
    fake_provider.behave("upstream", *[Behaviour(head_delay_seconds=60)] * IN_FLIGHT, Behaviour())
    calls = [asyncio.create_task(ask(client)) for _ in range(IN_FLIGHT)]
    while len(fake_provider.seen) < seen + IN_FLIGHT:
        await asyncio.sleep(0.01)
    await gateway.kill("router")
    assert await asyncio.gather(*calls) == [200] * IN_FLIGHT
    assert await ask(client) == 200

    # The name forgets it, and nothing changes for callers.
    resolver.there.discard(address(gateway, "router"))
    await resolver.asked(2)
    assert await ask(client) == 200


async def test_routers_are_exchanged_under_load_without_a_failed_call(
    gateway: Any, resolver: Resolver, client: httpx.AsyncClient
) -> None:
    """As a deployment does it: the new one is there, the old one is named no more and then told to end."""
    ended = asyncio.Event()

    async def keep_asking() -> list[int]:
        statuses = []
        while not ended.is_set():
            statuses.append(await ask(client))
        return statuses

    callers = [asyncio.create_task(keep_asking()) for _ in range(4)]
    for new, old in (("router-2", "router"), ("router", "router-2")):
        await gateway.start(new)
        resolver.there.add(address(gateway, new))
        await resolver.asked(2)
        resolver.there.discard(address(gateway, old))
        assert await gateway.stop(old) == 0
    ended.set()
    statuses = [status for caller in callers for status in await caller]
    assert len(statuses) > 4
    assert set(statuses) == {200}


async def test_without_any_router_calls_are_refused_until_one_comes(
    resolver: Resolver, client: httpx.AsyncClient
) -> None:
    assert await ask(client) == 200
    there, resolver.there = resolver.there, set()
    await resolver.asked(2)
    assert await ask(client) == 503
    resolver.there = there
    assert await ask(client) == 200
