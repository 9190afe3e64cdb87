"""Two processes of every role, under load: one of them is stopped or killed, and the others carry on, exactly."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.fake_provider import INPUT_TOKENS, PRICED_CONFIG, Behaviour, FakeProvider
from tests.stack import Gateway, ShareGateway, StartGateway

# One call of the fake provider: 11 tokens in, 6 out.
COST_NANO_USD = INPUT_TOKENS * 1_000 + 6 * 2_000
LEASE_SECONDS = 3
CALLERS = 8
MESSAGES = [{"role": "user", "content": "hi"}]


# Two of everything.
TWICE: dict[str, Any] = {
    "shape": "split",
    **dict.fromkeys(("edges", "routers", "keystores", "ledgers"), 2),
    "environ": {"TOLLHOUSE_HOLD_LEASE_SECONDS": str(LEASE_SECONDS)},
}
# Calls that last a little are under way at any moment.
SLOWLY = Behaviour(head_delay_seconds=0.02, gap_seconds=0.005)


@pytest.fixture(scope="module")
async def lasting_gateway(shared_stack: ShareGateway, provider_server: FakeProvider) -> AsyncIterator[Gateway]:
    async with shared_stack(PRICED_CONFIG.format(base=provider_server.base_url), **TWICE) as gateway:
        yield gateway


@pytest.fixture
async def gateway(lasting_gateway: Gateway, fake_provider: FakeProvider) -> Gateway:
    """The same for most tests, each with a key of its own; what one has killed runs again for the next."""
    for name in lasting_gateway.commands:
        if name not in lasting_gateway.processes:
            await lasting_gateway.start(name)
    fake_provider.behave("upstream", SLOWLY)
    return lasting_gateway


@dataclass
class Load:
    """Callers that call as fast as they are answered, half of them with streams, each on a connection of its own.

    What they share stands for a load balancer: a call that an edge refuses to connect goes to the other.
    """

    gateway: Gateway
    key: str
    answered: int = 0
    # Of calls that did not come to a whole answer: how.
    failed: Counter[str] = field(default_factory=Counter)
    _stopping: bool = False

    async def call(self, client: httpx.AsyncClient, number: int) -> None:
        body = {"model": "gpt", "messages": MESSAGES, "stream": number % 2 == 1}
        for edge in ("edge", "edge-2") if number % 4 < 2 else ("edge-2", "edge"):
            try:
                answer = await client.post(f"{self.gateway.url(edge)}/v1/chat/completions", json=body)
            except httpx.ConnectError:
                continue
            except httpx.TransportError as error:
                self.failed[f"cut {type(error).__name__}"] += 1
                return
            self.judge(answer, stream=body["stream"] is True)
            return
        self.failed["no edge"] += 1

    def judge(self, answer: httpx.Response, *, stream: bool) -> None:
        if answer.status_code != 200:
            self.failed[f"{answer.status_code} {answer.json()['error']['message']}"] += 1
        elif stream and not answer.text.endswith("data: [DONE]\n\n"):
            last = answer.text.strip().split("\n")[-1]
            self.failed["stream error" if "error" in json.loads(last.removeprefix("data: ")) else "stream cut"] += 1
        else:
            self.answered += 1

    async def caller(self, number: int) -> None:
        headers = {"Authorization": f"Bearer {self.key}", "Connection": "close"}
        async with httpx.AsyncClient(headers=headers, timeout=30) as client:
            while not self._stopping:
                await self.call(client, number)

    async def until(self, more: int) -> None:
        """Until so many more calls were answered."""
        goal = self.answered + more
        async with asyncio.timeout(60):
            while self.answered < goal:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def load(gateway: Gateway, max_budget_usd: float = 1.0) -> AsyncIterator[Load]:
    """A load that has begun, of a key with this budget; it ends with the block."""
    async with httpx.AsyncClient(headers=gateway.headers, timeout=20) as admin:
        answer = await admin.post(f"{gateway.base_url}/key/generate", json={"max_budget": max_budget_usd})
        assert answer.status_code == 200, answer.text
    made = Load(gateway, answer.json()["key"])
    callers = [asyncio.create_task(made.caller(number)) for number in range(CALLERS)]
    try:
        await made.until(40)
        yield made
    finally:
        made._stopping = True
        await asyncio.gather(*callers)


async def state_of(gateway: Gateway, key: str, edge: str) -> tuple[int, int, list[dict[str, Any]]]:
    """What the counters say that a key has spent and what is held of it, and its entries."""
    async with httpx.AsyncClient(base_url=gateway.url(edge), headers=gateway.headers, timeout=20) as admin:
        info = await admin.get("/key/info", params={"key": key})
        entries = await admin.get("/spend/logs", params={"limit": 1000, "api_key": key})
    assert info.status_code == 200, info.text
    assert entries.status_code == 200, entries.text
    key_info = info.json()["info"]
    return nano_usd(key_info["spend"]), nano_usd(key_info["held"]), entries.json()


def nano_usd(usd: float) -> int:
    """An amount as an answer of administration states it."""
    return round(usd * 1e9)


async def settled(under: Load, edge: str = "edge") -> list[dict[str, Any]]:
    """The entries, once nothing is held, the counters agree with them, and every answered call has its own, at its
    price."""
    async with asyncio.timeout(5 * LEASE_SECONDS + 30):
        while True:
            spent, held, entries = await state_of(under.gateway, under.key, edge)
            good = [row for row in entries if row["status"] == "success"]
            total = sum(nano_usd(row["spend"]) for row in entries)
            if held == 0 and spent == total and len(good) >= under.answered:
                break
            await asyncio.sleep(0.2)
    assert {nano_usd(row["spend"]) for row in good} == {COST_NANO_USD}
    assert len({row["request_id"] for row in entries}) == len(entries)
    return entries


async def assert_that_nothing_was_lost(under: Load, provider: FakeProvider) -> None:
    """Every call was answered, and the entries are what the provider has given, no more and no less."""
    assert not under.failed
    entries = await settled(under)
    assert len(entries) == len(provider.seen) == under.answered
    given = sum(INPUT_TOKENS * 1_000 + seen.tokens_sent * 2_000 for seen in provider.seen)
    assert sum(nano_usd(row["spend"]) for row in entries) == given


@pytest.mark.parametrize("name", ["edge", "router", "keystore", "ledger"])
async def test_a_process_that_is_asked_to_end_costs_no_call(
    gateway: Gateway, fake_provider: FakeProvider, name: str
) -> None:
    """Each of both in turn, and each comes back before the other goes."""
    async with load(gateway) as under:
        for each in (name, f"{name}-2"):
            assert await gateway.stop(each) == 0
            await under.until(40)
            await gateway.start(each)
            await under.until(40)
    await assert_that_nothing_was_lost(under, fake_provider)


@pytest.mark.parametrize("name", ["keystore", "ledger"])
async def test_a_killed_keystore_or_ledger_costs_no_call(
    gateway: Gateway, fake_provider: FakeProvider, name: str
) -> None:
    async with load(gateway) as under:
        for each in (name, f"{name}-2"):
            await gateway.kill(each)
            await under.until(40)
            await gateway.start(each)
            await under.until(40)
    await assert_that_nothing_was_lost(under, fake_provider)


async def test_a_keystore_that_stands_still_delays_calls_and_fails_none(
    stack: StartGateway, fake_provider: FakeProvider
) -> None:
    """As one does that a network has cut off: nobody is told. A router that settles with it notices after 15 s, and
    what its calls have held stays held until then: the budget has room for that."""
    gateway = await stack(PRICED_CONFIG.format(base=fake_provider.base_url), **TWICE)
    fake_provider.behave("upstream", SLOWLY)
    async with load(gateway, max_budget_usd=1000.0) as under:
        for each in ("keystore", "keystore-2"):
            gateway.processes[each].send_signal(signal.SIGSTOP)
            await asyncio.sleep(1)  # what is under way in it stands still for longer than any answer takes
            await under.until(40)
            gateway.processes[each].send_signal(signal.SIGCONT)
            await under.until(40)
    await assert_that_nothing_was_lost(under, fake_provider)


async def test_a_killed_edge_costs_its_own_callers_their_calls_and_nobody_else(gateway: Gateway) -> None:
    async with load(gateway) as under:
        await gateway.kill("edge")
        await under.until(80)
    assert set(under.failed) <= {"cut ReadError", "cut RemoteProtocolError"}
    assert under.failed.total() <= CALLERS
    # What was under way there is cancelled at the provider, and billed as far as it came.
    entries = await settled(under, edge="edge-2")
    assert under.answered <= len(entries) <= under.answered + under.failed.total()


async def test_a_killed_router_costs_only_streams_that_had_begun(gateway: Gateway) -> None:
    async with load(gateway) as under:
        await gateway.kill("router")
        await under.until(80)
        await gateway.start("router")
        await under.until(40)
    assert set(under.failed) <= {"stream error"}
    assert under.failed.total() <= CALLERS
    # Dispatches that were lost in it have entries, too, of calls that moved as well.
    entries = await settled(under)
    assert {row["status"] for row in entries} <= {"success", "interrupted", "cancelled"}
    assert under.answered + under.failed.total() <= len(entries) <= under.answered + CALLERS
