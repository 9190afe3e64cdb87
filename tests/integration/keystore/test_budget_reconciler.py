"""Counters that are compared with the ledger: what they are short by is added once, and nothing else is changed."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import structlog
from gateway.v1 import keystore_pb2
from prometheus_client import CollectorRegistry

from keystore.counters import KEYS, Counters
from keystore.inspection import LEAD, Inspection
from keystore.metrics import KeystoreMetrics
from keystore.reconciler import Reconciler
from keystore.spending import Spending
from services.errors import GatewayError
from services.inprocess import InProcessChannel
from services.methods import GET_KEY, SUM_SPEND
from services.redis import RedisServer

BOUND = 2_000_000
BUDGET = 10 * BOUND


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
            sum_spent=Spending(InProcessChannel({SUM_SPEND: ledger.sum_spend}, log), self.counters).sum,
            metrics=KeystoreMetrics(self.registry),
            log=log,
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
    await comparer.counters.decide([])
    with redis.from_url(redis_url) as server:
        assert not server.hexists(KEYS[3], late_id)
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


async def _admitted(edge: Any, secret: str) -> bytes:
    dispatch_id: bytes = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    return dispatch_id
