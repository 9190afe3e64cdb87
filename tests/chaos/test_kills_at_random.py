"""Edges, routers and keystores are killed at random under load: what is held goes, and what is spent is exact."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
import asyncpg
import pytest

from tests.fake_provider import PRICED_CONFIG, Behaviour, FakeProvider
from tests.stack import Gateway

LEASE_SECONDS = 4
CALLERS = 12
NANO = 1_000_000_000
VICTIMS = ("edge", "edge-2", "router", "router-2", "keystore", "keystore-2")


@dataclass(slots=True)
class Load:
    """Callers who never stop calling, and what they have seen. answered: ids of calls whose whole answer came."""

    gateway: Gateway
    keys: list[str]
    chance: random.Random
    answered: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self, ending: asyncio.Event) -> None:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as client:
            await asyncio.gather(*(self._caller(client, ending) for _ in range(CALLERS)))

    async def _caller(self, client: aiohttp.ClientSession, ending: asyncio.Event) -> None:
        while not ending.is_set():
            call_id = f"call-{next(self._numbers)}"
            try:
                self.outcomes[await self._call(client, call_id)] += 1
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                self.outcomes["cut"] += 1
                await asyncio.sleep(0.02)

    async def _call(self, client: aiohttp.ClientSession, call_id: str) -> str:
        stream, leaves = self.chance.random() < 0.5, self.chance.random() < 0.1
        body = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50, "stream": stream}
        headers = {"Authorization": f"Bearer {self.chance.choice(self.keys)}", "x-litellm-call-id": call_id}
        url = self.gateway.url(self.chance.choice(("edge", "edge-2")))
        async with client.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
            if answer.status != 200:
                return str(answer.status)
            if leaves and stream:
                await answer.content.readany()
                return "left"
            text = await answer.text()
        if stream and not text.endswith("data: [DONE]\n\n"):
            return "error event"
        self.answered.add(call_id)
        return "answered"


async def balances(client: aiohttp.ClientSession, gateway: Gateway, keys: list[str]) -> list[tuple[int, float]]:
    """What each key has spent, in nano-USD, and what is held for it."""
    found = []
    for key in keys:
        async with client.get(f"{gateway.base_url}/key/info", params={"key": key}, headers=gateway.headers) as answer:
            info = (await answer.json())["info"]
        found.append((round(info["spend"] * NANO), info["held"]))
    return found


async def spent_by_entries(database_url: str, table: str) -> dict[str, int]:
    """By the token of the key, which its id is here: none was given another secret."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            f"SELECT key_id, sum(cost_nano_usd)::bigint AS spent FROM {table} GROUP BY key_id"
        )
    finally:
        await connection.close()
    return {row["key_id"]: row["spent"] for row in rows}


@pytest.mark.parametrize("kills", [8, pytest.param(100, marks=pytest.mark.slow)])
async def test_nothing_stays_held_and_what_is_spent_is_what_the_ledger_says(
    stack, fake_provider: FakeProvider, database_url: str, kills: int
) -> None:
    chance = random.Random(kills)
    gateway: Gateway = await stack(
        PRICED_CONFIG.format(base=fake_provider.base_url),
        shape="split",
        edges=2,
        routers=2,
        keystores=2,
        environ={"TOLLHOUSE_HOLD_LEASE_SECONDS": str(LEASE_SECONDS)},
    )
    fake_provider.behave("upstream", Behaviour(words=("x",) * 20, gap_seconds=0.01, head_delay_seconds=0.05))
    async with aiohttp.ClientSession() as client:
        keys, tokens = [], []
        for _ in range(4):
            async with client.post(
                f"{gateway.base_url}/key/generate", json={"max_budget": 1000}, headers=gateway.headers
            ) as answer:
                made = await answer.json()
            keys.append(made["key"])
            tokens.append(made["token"])
        load, ending = Load(gateway, keys, chance), asyncio.Event()
        running = asyncio.create_task(load.run(ending))
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            victim = chance.choice(VICTIMS)
            await gateway.kill(victim)
            await asyncio.sleep(chance.uniform(0, 0.5))
            await gateway.start(victim)
        await asyncio.sleep(1)
        ending.set()
        await running
        print(f"{kills} kills: {load.outcomes}")
        assert load.outcomes["answered"] > 10 * kills

        # Within one lease after the last live call; a wait of five times that.
        for _ in range(5 * LEASE_SECONDS * 4):
            found = await balances(client, gateway, keys)
            if not any(held for _, held in found):
                break
            await asyncio.sleep(0.25)
        assert [held for _, held in found] == [0] * len(keys)

        # Folders of routers that were killed are taken over at the next start, or by the other within 30 s.
        for _ in range(60):
            entries = await spent_by_entries(database_url, "ledger.every_entry")
            found = await balances(client, gateway, keys)
            if [spent for spent, _ in found] == [entries.get(token, 0) for token in tokens]:
                break
            await asyncio.sleep(1)
        assert [spent for spent, _ in found] == [entries.get(token, 0) for token in tokens]
        rollups = await spent_by_entries(database_url, "ledger.rollup_hour")
        assert {name: spent for name, spent in rollups.items() if spent} == {
            name: spent for name, spent in entries.items() if spent
        }

    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("SELECT call_id, status, estimated FROM ledger.every_entry")
    finally:
        await connection.close()
    told = {row["call_id"] for row in rows if row["status"] == 1}
    assert load.answered - told == set()
    assert all(row["estimated"] for row in rows if row["status"] == 4)
