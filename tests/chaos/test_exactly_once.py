"""Calls of all kinds while everything is killed in turn: one entry a dispatch, at the cost that the truth comes to; and
budgets, rollups and entries are one sum in the end."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from services.embedded.account import server_account
from services.embedded.postgres import EmbeddedPostgres
from tests.fake_provider import INPUT_TOKENS, Behaviour, FakeProvider, Seen
from tests.stack import Gateway

LEASE_SECONDS = 4
CALLERS = 24
NANO = 1_000_000_000
WORDS = ("word ",) * 30
# By the word that a call brings in its name: how the provider answers it, in turn.
KINDS = {
    "good": (Behaviour(words=WORDS),),
    "slow": (Behaviour(words=WORDS, gap_seconds=0.01),),
    "failed": (Behaviour(status=400, body=b'{"error":{"message":"no"}}'),),
    "retried": (Behaviour(status=500), Behaviour(words=WORDS)),
    "untold": (Behaviour(words=WORDS, reports_usage=False),),
    "cut": (Behaviour(words=WORDS, cut_after=12),),
}
GROUP = """
  - model_name: {kind}
    litellm_params:
      model: openai/{kind}
      api_base: "{base}"
      api_key: k
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
"""
SETTINGS = "router_settings: {num_retries: 2, retry_after: 0, disable_cooldowns: true}\n"
_SUCCESS, _INTERRUPTED = 1, 4


@dataclass(slots=True)
class Load:
    """So many calls, each by a caller of a name of its own. answered: those whose whole answer came."""

    gateway: Gateway
    keys: list[str]
    chance: random.Random
    calls: int
    answered: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as client:
            await asyncio.gather(*(self._caller(client) for _ in range(CALLERS)))

    async def _caller(self, client: aiohttp.ClientSession) -> None:
        while (number := next(self._numbers)) < self.calls:
            try:
                self.outcomes[await self._call(client, f"c{number}")] += 1
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                self.outcomes["broken off"] += 1
                await asyncio.sleep(0.02)

    async def _call(self, client: aiohttp.ClientSession, name: str) -> str:
        kind, stream = self.chance.choice(list(KINDS)), self.chance.random() < 0.6
        body = {
            "model": kind,
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 50,
            "stream": stream,
            "user": name,
        }
        headers = {"Authorization": f"Bearer {self.chance.choice(self.keys)}"}
        url = f"{self.gateway.base_url}/v1/chat/completions"
        async with client.post(url, json=body, headers=headers) as answer:
            if answer.status != 200:
                return str(answer.status)
            if stream and self.chance.random() < 0.1:
                await answer.content.readany()
                return "left"
            text = await answer.text()
        if stream and not text.endswith("data: [DONE]\n\n"):
            return "error event"
        self.answered.add(name)
        return "answered"


@pytest.fixture
async def own_postgres(server_folder: Path, tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL that the test may kill."""
    folder = server_folder / f"chaos-{tmp_path.name}"
    folder.mkdir(mode=0o711)
    server = EmbeddedPostgres(folder, server_account(), durable=False)
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)


async def crash(server: EmbeddedPostgres) -> None:
    """As kill -9 does it, but for what the kernel has: it recovers at its next start."""
    os.kill(server.pid, signal.SIGQUIT)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.stop)


async def kill_in_turn(
    gateway: Gateway, postgres: EmbeddedPostgres, chance: random.Random, over: asyncio.Event
) -> Counter[str]:
    """Until it is over; how often each."""
    killed: Counter[str] = Counter()
    while not over.is_set():
        await asyncio.sleep(chance.uniform(0.5, 2.0))
        victim = chance.choice(("router", "router-2", "keystore", "ledger", "postgres"))
        killed[victim] += 1
        if victim == "postgres":
            await crash(postgres)
            await asyncio.sleep(chance.uniform(0, 1))
            await asyncio.to_thread(postgres.start)
        else:
            await gateway.kill(victim)
            await asyncio.sleep(chance.uniform(0, 1))
            await gateway.start(victim)
    return killed


async def until(what: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Until it is so, or the time is over: what is asserted next says which."""
    for _ in range(int(seconds * 2)):
        if await what():
            return
        await asyncio.sleep(0.5)


def truth_of(seen: list[Seen]) -> dict[str, list[Seen]]:
    """What the provider did, by the caller."""
    found: dict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        found[each.body["user"]].append(each)
    return found


@pytest.mark.parametrize("calls", [1_500, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_every_dispatch_has_its_entry_and_every_sum_is_the_same(
    stack, fake_provider: FakeProvider, own_postgres: EmbeddedPostgres, calls: int
) -> None:
    chance = random.Random(calls)
    gateway: Gateway = await stack(
        "model_list:"
        + "".join(GROUP.format(kind=kind, base=fake_provider.base_url) for kind in KINDS).replace("\n\n", "\n")
        + SETTINGS,
        shape="split",
        routers=2,
        keystores=2,
        environ={"TOLLHOUSE_HOLD_LEASE_SECONDS": str(LEASE_SECONDS), "DATABASE_URL": own_postgres.database_url},
    )
    for kind, behaviours in KINDS.items():
        fake_provider.behave(kind, *(behaviours * (1 if len(behaviours) == 1 else calls)))
    async with aiohttp.ClientSession(headers=gateway.headers, base_url=gateway.base_url) as admin:
        made = []
        for _ in range(5):
            async with admin.post("/key/generate", json={"max_budget": 10_000}) as answer:
                made.append(await answer.json())
        load, over = Load(gateway, [each["key"] for each in made], chance, calls), asyncio.Event()
        killing = asyncio.create_task(kill_in_turn(gateway, own_postgres, chance, over))
        await load.run()
        over.set()
        killed = await killing
        print(f"{calls} calls: {dict(load.outcomes)}; killed: {dict(killed)}")
        assert len(load.answered) > calls / 3

        sql = await asyncpg.connect(own_postgres.database_url)

        async def sums_agree() -> bool:
            spent = []
            for each in made:
                async with admin.get("/key/info", params={"key": each["key"]}) as answer:
                    if answer.status != 200:
                        return False
                    info = (await answer.json())["info"]
                if info["held"]:
                    return False
                spent.append(round(info["spend"] * NANO))
            query = "SELECT coalesce(sum(cost_nano_usd), 0)::bigint FROM ledger.{} WHERE key_id = $1"
            return (
                spent
                == [await sql.fetchval(query.format("every_entry"), each["token"]) for each in made]
                == [await sql.fetchval(query.format("rollup_hour"), each["token"]) for each in made]
            )

        # Folders of killed routers are taken over at a start, or within 30 s; a lease that ended leaves its tombstone.
        await until(sums_agree, 120)
        assert await sums_agree()
        rows = await sql.fetch(
            "SELECT end_user_id, status, estimated, unpriced, output_tokens, input_tokens, cost_nano_usd, model_group, "
            "jsonb_array_length(attempts) AS attempts FROM ledger.every_entry"
        )
        await sql.close()
    await asyncio.wait_for(asyncio.gather(*(each.ended.wait() for each in fake_provider.seen)), 30)
    assert_entries_are_true(rows, truth_of(fake_provider.seen), load)


def assert_entries_are_true(rows: list[asyncpg.Record], truth: dict[str, list[Seen]], load: Load) -> None:
    """Against what the provider did."""
    by_caller: dict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        by_caller[row["end_user_id"]].append(row)
    # Whatever reached the provider has an entry, and whoever has the whole answer has one that says so.
    assert truth.keys() - by_caller.keys() == set()
    assert {name for name in load.answered if _SUCCESS not in {row["status"] for row in by_caller[name]}} == set()
    # No attempt is missing: an entry has as many as the provider saw, but for a request that never got there.
    short = [name for name, seen in truth.items() if sum(row["attempts"] for row in by_caller[name]) < len(seen)]
    assert short == []
    exact = estimated = off = 0
    for row in rows:
        assert not row["unpriced"]
        assert row["estimated"] or row["status"] != _INTERRUPTED
        if row["status"] != _SUCCESS:
            continue
        told = INPUT_TOKENS * 1_000 + row["output_tokens"] * 2_000
        if row["estimated"]:
            estimated += 1
            off += abs(row["output_tokens"] - len(WORDS))
        elif row["attempts"] == 1:
            # The provider said what it was: every word of its answer.
            assert (row["output_tokens"], row["cost_nano_usd"]) == (len(WORDS), told)
            exact += 1
    print(f"{len(rows)} entries: {exact} exact, {estimated} estimated, off by {off} output tokens in all")
    assert exact > len(rows) / 4
    assert all(row["model_group"] == "untold" for row in rows if row["estimated"] and row["status"] == _SUCCESS)
