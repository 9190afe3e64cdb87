"""When Redis has lost its memory, stops or hangs: hard budgets fail closed, and afterwards every sum is exact."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
import structlog
from gateway.v1 import common_pb2, keystore_pb2, ledger_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from keystore.counters import DEADLINE_SECONDS, Counters, OpenHold
from keystore.policy.defaults import Defaults
from keystore.policy.operations import Balance
from keystore.policy.owners import Directory
from keystore.policy.standing import Standings
from keystore.spending import Spending
from services.embedded.valkey import EmbeddedValkey
from services.errors import GatewayError
from services.inprocess import InProcessChannel
from services.methods import GET_GATEWAY_BUDGET, GET_KEY, SET_KEY_BLOCKED, SUM_SPEND
from services.redis import RedisServer

BOUND = 2_000_000


def _flush(redis_url: str) -> None:
    with redis.from_url(redis_url) as client:
        client.flushall()


def _report(router_id: str, epoch: str, holds: dict[bytes, int], key_id: str, *, more: bool = False) -> Any:
    return keystore_pb2.Report(
        router_id=router_id,
        epoch=epoch,
        more=more,
        holds=[
            keystore_pb2.OpenHold(
                dispatch_id=dispatch_id, principal=common_pb2.Principal(key_id=key_id), held_nano_usd=amount
            )
            for dispatch_id, amount in holds.items()
        ],
    )


async def _balance(keystore: Any, secret: str) -> tuple[int, int]:
    key = (await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=secret))).key
    return key.spent_nano_usd, key.held_nano_usd


async def _gateway(keystore: Any) -> tuple[int, int]:
    budget = await keystore.call(GET_GATEWAY_BUDGET, keystore_pb2.GetGatewayBudgetRequest())
    return budget.spent_nano_usd, budget.held_nano_usd


async def _is_ready(keystore: Any, secret: str, edge: Any) -> bool:
    try:
        await edge.admit(secret)
    except GatewayError as error:
        return bool(error.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED)
    return True


async def test_after_a_loss_the_sums_are_the_ledger_s_and_the_open_holds(
    start_keystore: Any, ledger: Any, redis_url: str, eventually: Any
) -> None:
    """Two keystores with a router each. Of four calls one is settled, one finished but not settled, two are open."""
    first, second = await start_keystore(max_budget="1"), await start_keystore(max_budget="1")
    routers = {"r1": await first.router("r1"), "r2": await second.router("r2")}
    secret, key = await first.create_key(10 * BOUND)
    edge = await first.edge()
    settled, finished, open_1, open_2 = (edge.new_id() for _ in range(4))
    for each in (settled, finished, open_1, open_2):
        old = (await edge.admit(secret, dispatch_id=each)).hold.epoch
    await routers["r1"].settle(settled, 11)
    ledger.entries = [(settled, key.key_id, 11), (finished, key.key_id, 22)]

    _flush(redis_url)
    with pytest.raises(GatewayError) as refused:
        await edge.admit(secret)
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    assert refused.value.retry_after_seconds
    async with asyncio.timeout(10):
        epochs = [await router.epochs.get() for router in routers.values()]
    assert epochs[0] == epochs[1] != old
    late = routers["r1"].send(settle=keystore_pb2.Settle(dispatch_id=finished, cost_nano_usd=22, epoch=old))
    # The entry of one that was open comes to the ledger before the sums are made: it must not count twice.
    ledger.entries.append((open_1, key.key_id, 33))
    settle_1 = routers["r1"].send(settle=keystore_pb2.Settle(dispatch_id=open_1, cost_nano_usd=33, epoch=old))
    routers["r1"].send(report=_report("r1", epochs[0], {open_1: BOUND}, key.key_id, more=True))
    routers["r1"].send(report=_report("r1", epochs[0], {}, key.key_id))
    await asyncio.sleep(0.5)
    assert routers["r1"].settled < late
    with pytest.raises(GatewayError) as refused:
        await edge.admit(secret)
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    routers["r2"].send(report=_report("r2", epochs[0], {open_2: BOUND}, key.key_id))

    await routers["r1"].acknowledged(settle_1)
    assert await _balance(first, secret) == (11 + 22 + 33, BOUND)
    assert await _gateway(first) == (11 + 22 + 33, BOUND)
    await routers["r2"].settle(open_2, 44, old)
    assert await _balance(second, secret) == (11 + 22 + 33 + 44, 0)
    assert await _gateway(second) == (11 + 22 + 33 + 44, 0)
    assert (await edge.admit(secret)).hold.epoch == epochs[0]


async def test_without_open_holds_a_budget_is_summed_at_its_next_use(
    start_keystore: Any, ledger: Any, redis_url: str, eventually: Any
) -> None:
    keystore = await start_keystore()
    router = await keystore.router("r1")
    secret, key = await keystore.create_key(BOUND)
    ledger.entries = [(b"1" * 16, key.key_id, 1_500_000)]
    edge = await keystore.edge()
    _flush(redis_url)
    epoch = await router.epochs.get()
    router.send(report=_report("r1", epoch, {}, ""))
    await eventually(lambda: _is_ready(keystore, secret, edge))
    assert await _balance(keystore, secret) == (1_500_000, 500_000)


async def test_while_counters_are_rebuilt_a_key_without_a_budget_goes_on(start_keystore: Any, redis_url: str) -> None:
    keystore = await start_keystore()
    await keystore.router("r1")
    secret, _ = await keystore.create_key()
    edge = await keystore.edge()
    _flush(redis_url)
    await edge.admit(secret)
    assert keystore.metric("tollhouse_admissions_total", outcome="unchecked") == 1


async def test_a_router_that_never_reports_is_waited_for_one_lease(start_keystore: Any, redis_url: str) -> None:
    keystore = await start_keystore(lease_seconds=1.0)
    await keystore.router("silent")
    secret, _ = await keystore.create_key(BOUND)
    edge = await keystore.edge()
    _flush(redis_url)
    begun = time.monotonic()
    while not await _is_ready(keystore, secret, edge):
        assert time.monotonic() - begun < 10
        await asyncio.sleep(0.02)
    assert time.monotonic() - begun >= 0.9


async def test_a_loss_does_not_hide_a_change_of_keys(start_keystore: Any, redis_url: str) -> None:
    """Versions go on where they were: what is announced after the loss is newer than what was before."""
    first, second = await start_keystore(), await start_keystore()
    secret, _ = await first.create_key()
    edge = await second.edge()
    await edge.admit(secret)
    _flush(redis_url)
    await first.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name=secret, blocked=True))
    with pytest.raises(GatewayError) as refused:
        await edge.admit(secret)
    assert refused.value.reason == Reason.ERROR_REASON_KEY_BLOCKED


async def test_while_redis_is_stopped_budgets_fail_closed_and_settlements_wait(
    start_keystore: Any, own_valkey: EmbeddedValkey, eventually: Any
) -> None:
    keystore = await start_keystore(counters=own_valkey.redis_url)
    router = await keystore.router("r1")
    secret, _ = await keystore.create_key(10 * BOUND)
    free, _ = await keystore.create_key()
    edge = await keystore.edge()
    dispatch_id = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    await asyncio.to_thread(own_valkey.stop)

    with pytest.raises(GatewayError) as refused:
        await edge.admit(secret)
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    assert (await edge.admit(free)).hold.epoch == ""
    assert keystore.metric("tollhouse_admissions_total", outcome="unchecked") == 1
    assert keystore.metric("tollhouse_counters_ready") == 0
    sequence = router.send(settle=keystore_pb2.Settle(dispatch_id=dispatch_id, cost_nano_usd=5))
    await asyncio.sleep(0.5)
    assert router.settled < sequence

    await asyncio.to_thread(own_valkey.start)
    await router.acknowledged(sequence)
    assert await _balance(keystore, secret) == (5, 0)
    await edge.admit(secret)


async def test_a_redis_that_hangs_is_not_waited_for(start_keystore: Any, own_valkey: EmbeddedValkey) -> None:
    keystore = await start_keystore(counters=own_valkey.redis_url)
    await keystore.router("r1")
    secret, _ = await keystore.create_key(10 * BOUND)
    edge = await keystore.edge()
    await edge.admit(secret)
    os.kill(own_valkey.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        for _ in range(20):
            with pytest.raises(GatewayError) as refused:
                await edge.admit(secret)
            assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
        # The first waits for two attempts; the others are refused at once, but for one that finds the pause over.
        assert time.monotonic() - begun < 5 * 2 * DEADLINE_SECONDS
    finally:
        os.kill(own_valkey.pid, signal.SIGCONT)
    async with asyncio.timeout(10):
        while not await _is_ready(keystore, secret, edge):
            await asyncio.sleep(0.02)


async def test_a_change_that_cannot_be_announced_says_so_and_holds_all_the_same(
    start_keystore: Any, own_valkey: EmbeddedValkey, eventually: Any
) -> None:
    first = await start_keystore(counters=own_valkey.redis_url)
    second = await start_keystore(counters=own_valkey.redis_url)
    secret, _ = await first.create_key()
    edge = await second.edge()
    await edge.admit(secret)
    await asyncio.to_thread(own_valkey.stop)
    with pytest.raises(GatewayError) as refused:
        await first.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name=secret, blocked=True))
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE

    async def is_blocked() -> bool:
        try:
            await edge.admit(secret)
        except GatewayError as error:
            return bool(error.reason == Reason.ERROR_REASON_KEY_BLOCKED)
        return False

    await eventually(is_blocked)
    await first.create_key()


@pytest.fixture
async def counters(redis_url: str) -> AsyncIterator[Counters]:
    """Counters of an epoch `e` that is being rebuilt."""
    server = RedisServer(redis_url)
    counters = Counters(server, lease_seconds=60)
    await counters.begin("e", 7)
    yield counters
    await server.close()


async def test_sums_made_from_fewer_holds_than_there_are_by_now_do_not_count(counters: Counters) -> None:
    await counters.reinstate("e", [OpenHold(b"1" * 16, 5, ("gateway",))], "")
    known = await counters.open_holds()
    await counters.reinstate("e", [OpenHold(b"2" * 16, 6, ("gateway", "key:a"))], "r1")
    assert (await counters.progress()).reported == {"r1"}
    assert not await counters.finish("e", len(known), {"gateway": Balance(0, 5)})
    assert not (await counters.decide([])).state.ready
    assert await counters.finish("e", 2, {"gateway": Balance(3, 11), "key:a": Balance(0, 6)})
    assert await counters.balance("gateway") == Balance(3, 11)


async def test_holds_of_another_epoch_or_of_a_ready_one_are_not_put_back(counters: Counters) -> None:
    hold = OpenHold(b"1" * 16, 5, ("gateway",))
    await counters.reinstate("another", [hold], "r1")
    assert await counters.open_holds() == []
    await counters.finish("e", 0, {})
    await counters.reinstate("e", [hold], "r1")
    assert await counters.open_holds() == []


async def test_an_epoch_is_begun_once_and_the_version_never_falls(counters: Counters) -> None:
    await counters.announce(9)
    await counters.announce(8)
    state = await counters.begin("later", 1)
    assert (state.epoch, state.ready, state.version) == ("e", False, 9)


async def test_a_sum_of_an_older_epoch_does_not_count(counters: Counters, redis_url: str) -> None:
    """The counters are lost, and ready again, while the ledger adds up."""
    await counters.finish("e", 0, {})
    await counters.decide([])

    async def sum_while_lost(_: ledger_pb2.SumSpendRequest) -> ledger_pb2.SumSpendResponse:
        _flush(redis_url)
        await counters.begin("new", 0)
        await counters.finish("new", 0, {})
        return ledger_pb2.SumSpendResponse(cost_nano_usd=5)

    ledger = InProcessChannel({SUM_SPEND: sum_while_lost}, structlog.get_logger())
    await Spending(ledger, counters, Standings(Directory(), Defaults()), lambda: 0).seed("gateway")
    assert await counters.balance("gateway") is None
