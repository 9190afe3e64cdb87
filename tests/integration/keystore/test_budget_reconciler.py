"""Counters that are compared with the ledger: what they are short by is added once, and nothing else is changed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from gateway.v1 import common_pb2, keystore_pb2, ledger_pb2
from prometheus_client import CollectorRegistry

import ledger as ledger_package
from keystore.counters import KEYS, Counters
from keystore.inspection import LEAD, Inspection
from keystore.metrics import KeystoreMetrics
from keystore.policy.defaults import Defaults
from keystore.policy.owners import Directory
from keystore.policy.standing import Standings
from keystore.reconciler import Reconciler
from keystore.spending import Spending
from ledger.filters import sum_question_of
from ledger.partitions import DAY_SECONDS
from ledger.store import Store
from services.errors import GatewayError
from services.inprocess import InProcessChannel
from services.methods import GET_KEY, SUM_SPEND
from services.postgres import migrate
from services.redis import RedisServer

BOUND = 2_000_000
BUDGET = 10 * BOUND


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Comparer:
    """A reconciler on the test's servers, one round at a time."""

    def __init__(self, redis_url: str, ledger: Any, who: str) -> None:
        log = structlog.get_logger()
        self.server = RedisServer(redis_url)
        self.counters = Counters(self.server, 60.0)
        self.registry = CollectorRegistry()
        self.inspection = Inspection(self.server, self.counters, who)
        self.reconciler = Reconciler(
            counters=self.inspection,
            sum_spent=Spending(
                InProcessChannel({SUM_SPEND: ledger.sum_spend}, log),
                self.counters,
                Standings(Directory(), Defaults()),
                now_ms,
            ).sum,
            metrics=KeystoreMetrics(self.registry),
            log=log,
            now_ms=now_ms,
        )

    async def round(self, times: int = 1) -> None:
        for _ in range(times):
            await self.counters.decide([])
            await self.reconciler.reconcile()

    def metric(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0.0


@pytest.fixture
def comparer(redis_url: str, ledger: Any) -> Comparer:
    return Comparer(redis_url, ledger, "first")


async def _spent(keystore: Any, secret: str) -> int:
    key = (await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=secret))).key
    return int(key.spent_nano_usd)


async def _scene(keystore: Any, ledger: Any) -> tuple[str, str, Any]:
    """A key with a budget, of which 7 are spent by a call that is in the ledger, and an edge."""
    await keystore.router("r1")
    secret, key = await keystore.create_key(BUDGET)
    edge = await keystore.edge()
    dispatch_id = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    await edge.settle(dispatch_id, 7)
    ledger.entries.append((dispatch_id, key.key_id, 7))
    return secret, key.key_id, edge


async def test_what_the_counters_lack_twice_is_added_once(keystore: Any, ledger: Any, comparer: Comparer) -> None:
    """An entry of a router that was down when the counters were rebuilt."""
    secret, key_id, _ = await _scene(keystore, ledger)
    ledger.entries.append((b"l" * 16, key_id, 100))
    await comparer.round()
    assert await _spent(keystore, secret) == 7
    await comparer.round()
    assert await _spent(keystore, secret) == 107
    await comparer.round(3)
    assert await _spent(keystore, secret) == 107
    assert comparer.metric("tollhouse_budget_corrected_nano_usd_total") == 100
    assert comparer.metric("tollhouse_budget_ahead_nano_usd") == 0


async def test_a_call_that_is_recorded_and_not_settled_is_not_counted_twice(
    keystore: Any, ledger: Any, comparer: Comparer
) -> None:
    secret, key_id, edge = await _scene(keystore, ledger)
    open_id = edge.new_id()
    await edge.admit(secret, dispatch_id=open_id)
    ledger.entries.append((open_id, key_id, 50))
    await comparer.round(3)
    assert await _spent(keystore, secret) == 7
    await edge.settle(open_id, 50)
    await comparer.round(3)
    assert await _spent(keystore, secret) == 57


async def test_a_settlement_that_may_still_come_for_an_expired_hold_is_waited_for(
    keystore: Any, ledger: Any, comparer: Comparer, redis_url: str
) -> None:
    secret, key_id, edge = await _scene(keystore, ledger)
    late_id = edge.new_id()
    await edge.admit(secret, dispatch_id=late_id)
    ledger.entries.append((late_id, key_id, 50))
    with redis.from_url(redis_url) as server:
        server.zadd(KEYS[5], {late_id: 1})  # its lease ended long ago
        server.hset(KEYS[0], "paused", 0)
    with redis.from_url(redis_url) as server:
        async with asyncio.timeout(10):
            while server.hexists(KEYS[3], late_id):  # the script removes ended leases now and then
                await comparer.counters.decide([])
                await asyncio.sleep(0.02)
    await comparer.round(3)
    assert await _spent(keystore, secret) == 7
    await edge.settle(late_id, 50)
    assert await _spent(keystore, secret) == 57
    await comparer.round(3)
    assert await _spent(keystore, secret) == 57


async def test_what_the_ledger_lacks_is_shown_and_left(keystore: Any, ledger: Any, comparer: Comparer) -> None:
    """It may lie in an outbox."""
    secret, key_id, edge = await _scene(keystore, ledger)
    waiting = edge.new_id()
    await edge.admit(secret, dispatch_id=waiting)
    await edge.settle(waiting, 30)
    await comparer.round()
    assert comparer.metric("tollhouse_budget_ahead_nano_usd") == 0
    await comparer.round()
    assert comparer.metric("tollhouse_budget_ahead_nano_usd") == 30
    assert await _spent(keystore, secret) == 37
    ledger.entries.append((waiting, key_id, 30))
    await comparer.round()
    assert comparer.metric("tollhouse_budget_ahead_nano_usd") == 0
    assert await _spent(keystore, secret) == 37


async def test_one_compares_and_another_takes_over_when_it_is_gone(
    keystore: Any, ledger: Any, comparer: Comparer, redis_url: str
) -> None:
    secret, key_id, _ = await _scene(keystore, ledger)
    second = Comparer(redis_url, ledger, "second")
    ledger.entries.append((b"l" * 16, key_id, 100))
    for _ in range(2):
        await second.round()
        sums = ledger.sums
        await comparer.round()
        assert ledger.sums == sums
    assert await _spent(keystore, secret) == 107
    ledger.entries.append((b"m" * 16, key_id, 1_000))
    await second.round()
    with redis.from_url(redis_url) as server:
        server.delete(LEAD)  # the second is gone, and its lease has ended
    await comparer.round()
    assert await _spent(keystore, secret) == 107
    await comparer.round()
    assert await _spent(keystore, secret) == 1_107
    # The first comparer leads now: the second has no say any more, though it had seen the difference before.
    await second.round()
    assert await _spent(keystore, secret) == 1_107


async def test_a_new_epoch_forgets_what_was_seen_in_the_old_one(
    keystore: Any, ledger: Any, comparer: Comparer, redis_url: str
) -> None:
    secret, key_id, _ = await _scene(keystore, ledger)
    ledger.entries.append((b"l" * 16, key_id, 100))
    await comparer.round()
    with redis.from_url(redis_url) as server:
        server.hset(KEYS[0], "epoch", "another")
    await comparer.round()
    assert await _spent(keystore, secret) == 7
    await comparer.round()
    assert await _spent(keystore, secret) == 107


async def test_a_correction_that_is_asked_for_twice_is_made_once(
    keystore: Any, ledger: Any, comparer: Comparer
) -> None:
    """As Redis is asked again when its first answer was lost."""
    secret, key_id, _ = await _scene(keystore, ledger)
    await comparer.round()
    inspection, epoch = comparer.inspection, comparer.counters.epoch
    for _ in range(2):
        inspection._corrections = 41
        assert await inspection.correct(epoch, f"key:{key_id}", 5)
    assert await _spent(keystore, secret) == 12
    assert not await inspection.correct("another", f"key:{key_id}", 5)
    assert not await inspection.correct(epoch, "key:unknown", 5)
    assert await _spent(keystore, secret) == 12


async def test_while_the_ledger_is_away_nothing_is_compared(keystore: Any, ledger: Any, comparer: Comparer) -> None:
    secret, key_id, _ = await _scene(keystore, ledger)
    ledger.entries.append((b"l" * 16, key_id, 100))
    await comparer.round()
    ledger.away = True
    with pytest.raises(GatewayError):
        await comparer.round()
    ledger.away = False
    await comparer.round()
    assert await _spent(keystore, secret) == 107


async def test_every_scope_has_its_turn(start_keystore: Any, ledger: Any, comparer: Comparer) -> None:
    keystore = await start_keystore(max_budget="1")
    await keystore.router("r1")
    edge, keys = await keystore.edge(), []
    for _ in range(300):
        secret, key = await keystore.create_key(BUDGET)
        await edge.settle((await _admitted(edge, secret)), 0)
        keys.append((secret, key.key_id))
    ledger.entries = [(bytes([1 + at // 256, at % 256]) * 8, key_id, 3) for at, (_, key_id) in enumerate(keys)]
    await comparer.round(2)
    assert {await _spent(keystore, secret) for secret, _ in keys} == {3}
    assert comparer.metric("tollhouse_budget_corrected_nano_usd_total") == 2 * 900


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """The ledger's own, on a real PostgreSQL."""
    await migrate(database_url, "ledger", Path(ledger_package.__file__).parent / "migrations", structlog.get_logger())
    opened = Store(database_url)
    await opened.open()
    await opened.ensure_partitions(int(time.time() // DAY_SECONDS))
    yield opened
    await opened.close()


class RealLedger:
    """`sum_spend` as the ledger offers it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def sum_spend(self, request: ledger_pb2.SumSpendRequest) -> ledger_pb2.SumSpendResponse:
        spend = await self.store.sum_spend(sum_question_of(request))
        return ledger_pb2.SumSpendResponse(cost_nano_usd=spend.cost_nano_usd, entries=spend.entries)

    async def record(self, dispatch_id: bytes, key_id: str, cost_nano_usd: int) -> None:
        principal = common_pb2.Principal(key_id=key_id)
        await self.store.write(
            [ledger_pb2.Entry(dispatch_id=dispatch_id, principal=principal, cost_nano_usd=cost_nano_usd)]
        )


async def test_while_calls_come_and_go_nothing_is_added_and_what_is_lost_then_is(
    start_keystore: Any, redis_url: str, store: Store
) -> None:
    """Two hundred calls, recorded and settled in either order, while the counters are compared without a pause."""
    keystore, ledger = await start_keystore(max_budget="1000"), RealLedger(store)
    comparer = Comparer(redis_url, ledger, "first")
    await keystore.router("r1")
    secret, key = await keystore.create_key(300 * BOUND)
    edge, chance = await keystore.edge(), random.Random(7)

    async def call(number: int) -> None:
        await asyncio.sleep(chance.uniform(0, 1))
        dispatch_id, cost = await _admitted(edge, secret), 1_000 + number
        steps = [lambda: ledger.record(dispatch_id, key.key_id, cost), lambda: edge.settle(dispatch_id, cost)]
        chance.shuffle(steps)
        for step in steps:
            await asyncio.sleep(chance.uniform(0, 0.1))
            await step()

    calls = asyncio.gather(*(call(number) for number in range(200)))
    rounds = 0
    while not calls.done():
        await comparer.round()
        rounds += 1
    await calls
    total = sum(1_000 + number for number in range(200))
    assert rounds >= 2
    assert await _spent(keystore, secret) == total
    assert comparer.metric("tollhouse_budget_corrected_nano_usd_total") == 0

    lost = await _admitted(edge, secret)
    with redis.from_url(redis_url) as server:  # as a failover loses it
        held = int(server.hget(KEYS[3], lost))
        for scope in server.hget(KEYS[4], lost).decode().split("\n"):
            server.hincrby(KEYS[2], scope, -held)
        server.hdel(KEYS[3], lost)
        server.hdel(KEYS[4], lost)
        server.zrem(KEYS[5], lost)
    await ledger.record(lost, key.key_id, 77)
    await edge.settle(lost, 77)
    await comparer.round(3)
    assert await _spent(keystore, secret) == total + 77
    assert comparer.metric("tollhouse_budget_corrected_nano_usd_total") == 2 * 77
    assert comparer.metric("tollhouse_budget_ahead_nano_usd") == 0


async def _admitted(edge: Any, secret: str) -> bytes:
    dispatch_id: bytes = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    return dispatch_id
