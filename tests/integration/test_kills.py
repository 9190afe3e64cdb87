"""Processes of a split gateway are killed: every dispatch has its entry, once, and no money stays held."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import httpx
import pytest

from tests.fake_provider import PRICED_CONFIG, Behaviour, FakeProvider
from tests.stack import Gateway, ShareGateway

# One call of the fake provider: 11 tokens in, 6 out.
T = TypeVar("T")

COST_USD = 11 * 0.000001 + 6 * 0.000002
LEASE_SECONDS = 4
MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
async def gateway(shared_stack: ShareGateway, provider_server: FakeProvider) -> AsyncIterator[Gateway]:
    """Every test has a key of its own, and starts again what it kills."""
    async with shared_stack(
        PRICED_CONFIG.format(base=provider_server.base_url),
        shape="split",
        environ={"TOLLHOUSE_HOLD_LEASE_SECONDS": str(LEASE_SECONDS)},
    ) as gateway:
        yield gateway


@pytest.fixture
async def admin(gateway: Gateway, fake_provider: FakeProvider):
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=20) as client:
        yield client


async def new_key(admin: httpx.AsyncClient, **members: object) -> str:
    answer = await admin.post("/key/generate", json=members)
    assert answer.status_code == 200, answer.text
    key: str = answer.json()["key"]
    return key


async def eventually(ask: Callable[[], Awaitable[T]], good: Callable[[T], bool], seconds: float) -> T:
    """The first good answer; the last one when none came in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        answer = await ask()
        if good(answer) or asyncio.get_running_loop().time() > deadline:
            return answer
        await asyncio.sleep(0.1)


async def entries(admin: httpx.AsyncClient, key: str = "") -> list[dict]:
    """A key's; without one, all."""
    answer = await admin.get("/spend/logs", params={"limit": 1000} | ({"api_key": key} if key else {}))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def info(admin: httpx.AsyncClient, key: str) -> dict:
    answer = await admin.get("/key/info", params={"key": key})
    assert answer.status_code == 200, answer.text
    return answer.json()["info"]


async def call(admin: httpx.AsyncClient, key: str, *, stream: bool = False) -> httpx.Response:
    return await admin.post(
        "/v1/chat/completions",
        json={"model": "gpt", "messages": MESSAGES, "stream": stream, "max_tokens": 50},
        headers={"Authorization": f"Bearer {key}"},
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_a_router_killed_after_the_last_byte_has_lost_nothing(
    gateway: Gateway, admin: httpx.AsyncClient, stream: bool
) -> None:
    key = await new_key(admin, max_budget=1)
    answers = await asyncio.gather(*(call(admin, key, stream=stream) for _ in range(20)))
    await gateway.kill("router")
    assert {answer.status_code for answer in answers} == {200}
    if stream:
        assert all(answer.text.endswith("data: [DONE]\n\n") for answer in answers)
    await gateway.start("router")
    found = await eventually(lambda: entries(admin, key), lambda rows: len(rows) == 20, 30)
    assert [row["status"] for row in found] == ["success"] * 20
    assert len({row["request_id"] for row in found}) == 20
    state = await eventually(lambda: info(admin, key), lambda row: row["held"] == 0, 5 * LEASE_SECONDS)
    assert state["held"] == 0
    assert state["spend"] == pytest.approx(20 * COST_USD, abs=1e-12)
    # Nothing arrives twice afterwards.
    await asyncio.sleep(1)
    assert len(await entries(admin, key)) == 20


async def test_a_stopped_ledger_loses_nothing_and_keeps_no_hold_open(
    gateway: Gateway, admin: httpx.AsyncClient
) -> None:
    before = (await admin.get("/global/spend")).json()["spend"]
    key = await new_key(admin, max_budget=1)
    assert (await call(admin, key)).status_code == 200
    await gateway.kill("ledger")
    answers = await asyncio.gather(*(call(admin, key) for _ in range(30)))
    assert {answer.status_code for answer in answers} == {200}
    state = await eventually(lambda: info(admin, key), lambda row: row["held"] == 0, 5)
    assert (state["held"], state["spend"]) == (0, pytest.approx(31 * COST_USD, abs=1e-12))
    await gateway.start("ledger")

    async def is_found() -> bool:
        return (await admin.get("/spend/logs?limit=1")).status_code == 200

    # The edge's link for refusals tries all the time; between two tries, a second at most, the ledger is not seen.
    assert await eventually(is_found, bool, 2)
    found = await eventually(lambda: entries(admin, key), lambda rows: len(rows) == 31, 30)
    assert len({row["request_id"] for row in found}) == 31
    spent = (await admin.get("/global/spend")).json()["spend"]
    assert spent - before == pytest.approx(31 * COST_USD, abs=1e-12)


async def test_a_router_killed_in_mid_call_leaves_an_interrupted_entry_and_no_hold(
    gateway: Gateway, admin: httpx.AsyncClient, fake_provider: FakeProvider
) -> None:
    fake_provider.behave("upstream", Behaviour(words=("word ",) * 1000, gap_seconds=0.05))
    key = await new_key(admin, max_budget=1)
    request = {"model": "gpt", "messages": MESSAGES, "stream": True, "max_tokens": 2000}
    async with admin.stream(
        "POST", "/v1/chat/completions", json=request, headers={"Authorization": f"Bearer {key}"}
    ) as answer:
        pieces = answer.aiter_text()
        assert answer.status_code == 200
        await anext(pieces)
        assert (await info(admin, key))["held"] > 0
        await gateway.kill("router")
        rest = "".join([piece async for piece in pieces])
    last = rest.rstrip("\n").split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "503"
    assert "[DONE]" not in rest

    # Nobody renews it any more.
    state = await eventually(lambda: info(admin, key), lambda row: row["held"] == 0, 5 * LEASE_SECONDS)
    assert state["held"] == 0
    await gateway.start("router")
    found = await eventually(lambda: entries(admin, key), lambda rows: len(rows) == 1, 30)
    assert [row["status"] for row in found] == ["interrupted"]
    assert found[0]["metadata"]["estimated"]
    assert found[0]["spend"] > 0
    state = await eventually(lambda: info(admin, key), lambda row: row["spend"] > 0, 10)
    assert state["spend"] == pytest.approx(found[0]["spend"], abs=1e-12)
    assert state["held"] == 0


async def test_a_call_whose_router_dies_before_it_answers_moves_and_both_dispatches_are_told(
    stack, fake_provider: FakeProvider
) -> None:
    gateway: Gateway = await stack(
        PRICED_CONFIG.format(base=fake_provider.base_url),
        shape="split",
        routers=2,
        environ={"TOLLHOUSE_HOLD_LEASE_SECONDS": str(LEASE_SECONDS)},
    )
    fake_provider.behave("upstream", Behaviour(head_delay_seconds=30), Behaviour())
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=20) as admin:
        calling = asyncio.create_task(call(admin, gateway.master_key))
        while not fake_provider.seen:
            await asyncio.sleep(0.02)
        await gateway.kill("router")
        if not await has_come_again(fake_provider):
            # The other one had it.
            await gateway.start("router")
            await gateway.kill("router-2")
        answer = await calling
        assert answer.status_code == 200
        for name in {"router", "router-2"} - gateway.processes.keys():
            await gateway.start(name)
        # At its start a router takes over the folder of one that is gone; the other would within 30 s.
        found = await eventually(lambda: entries(admin), lambda rows: len(rows) == 2, 60)
    assert sorted(row["status"] for row in found) == ["interrupted", "success"]
    assert len({row["litellm_call_id"] for row in found}) == 1


async def has_come_again(fake_provider: FakeProvider) -> bool:
    """Whether the provider was asked a second time, within a second."""
    for _ in range(50):
        if len(fake_provider.seen) > 1:
            return True
        await asyncio.sleep(0.02)
    return False
