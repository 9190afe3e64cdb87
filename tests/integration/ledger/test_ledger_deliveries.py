"""Deliveries: every entry that is kept reaches its receiver, whatever happens on the way; from one ledger at a time."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
import structlog
from prometheus_client import CollectorRegistry

from ledger import queries
from ledger.delivery.deliverer import MAX_REFUSALS, Deliverer
from ledger.delivery.sink import NotTaken
from ledger.delivery.store import DeliveryStore
from ledger.metrics import DeliveryMetrics
from ledger.rows import Entry, encode
from ledger.store import Store
from services.sender import Later

HOLD_SECONDS = 1.0


class Receiver:
    """A sink that remembers what it was given. fails: called before each delivery is taken."""

    name = "test"
    most_entries = 500
    wait_seconds = 0.0

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.sizes: list[int] = []
        self.under_way = 0
        self.most_under_way = 0
        self.fails: Callable[[list[bytes]], Awaitable[None]] | None = None

    async def deliver(self, key: str, entries: list[Entry]) -> None:
        ids = [entry.dispatch_id for entry in entries]
        assert ids == sorted(ids)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.fails is not None:
                await self.fails(ids)
            await asyncio.sleep(0.01)
            self.got += ids
            self.sizes.append(len(ids))
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        """It has no connections."""


@pytest.fixture
async def receiver():
    return Receiver()


@pytest.fixture
async def deliverer(store: Store, receiver: Receiver):
    """Makes deliverers, as many as there are ledgers, and ends them with the test."""
    made = []

    async def start(sink: Receiver | None = None) -> Deliverer:
        one = Deliverer(
            sink or receiver,
            DeliveryStore(store.pool),
            uuid.uuid4(),
            DeliveryMetrics(CollectorRegistry()),
            structlog.get_logger(),
            first_pause_seconds=0.01,
            hold_seconds=HOLD_SECONDS,
        )
        await DeliveryStore(store.pool).register("test")
        one.start()
        made.append(one)
        return one

    yield start
    for one in made:
        await one.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


async def waiting(sql: asyncpg.Connection) -> int:
    return await sql.fetchval("SELECT count(*) FROM ledger.arrivals")


async def forgotten(sql: asyncpg.Connection) -> None:
    """Until what was delivered is noted as such: killed before that, a ledger has it delivered again."""
    async with asyncio.timeout(20):
        while await waiting(sql):
            await asyncio.sleep(0.02)


async def test_without_a_receiver_nothing_is_noted(store, new_entry, sql) -> None:
    await store.write([new_entry()])
    assert await waiting(sql) == 0


async def test_every_entry_is_delivered_once_late_ones_too_and_then_forgotten(
    store, new_entry, receiver, deliverer, sql
) -> None:
    before = new_entry()
    await store.write([before])
    await deliverer()
    entries = [new_entry() for _ in range(30)] + [new_entry(dispatch_id=bytes(15) + b"\x01")]
    for start in range(0, len(entries), 10):
        await store.write(entries[start : start + 10])
    # What is kept already is not delivered again.
    await store.write([*entries, before])
    await until(lambda: len(receiver.got) >= len(entries))
    await forgotten(sql)
    assert Counter(receiver.got) == Counter(entry.dispatch_id for entry in entries)


async def test_a_transaction_that_ends_late_is_not_passed_over(store, new_entry, receiver, deliverer, sql) -> None:
    await deliverer()
    # Of different keys, or the second would wait for the sums of the first.
    first, second = new_entry(key_id="key-b"), new_entry()
    transaction = sql.transaction()
    await transaction.start()
    await sql.fetch(queries.WRITE, encode([first]))
    # Its number is lower, and nobody sees it yet.
    await store.write([second])
    await until(lambda: receiver.got == [second.dispatch_id])
    await transaction.commit()
    await until(lambda: receiver.got == [second.dispatch_id, first.dispatch_id])


async def test_a_receiver_that_fails_gets_the_same_again_in_its_order(store, new_entry, receiver, deliverer) -> None:
    failures = 0

    async def fails(ids: list[bytes]) -> None:
        nonlocal failures
        failures += 1
        if failures <= 4:
            raise Later("down") if failures % 2 else RuntimeError("a mistake")

    receiver.fails = fails
    await deliverer()
    entries = [new_entry() for _ in range(5)]
    for entry in entries:
        await store.write([entry])
    await until(lambda: len(receiver.got) == 5)
    assert receiver.got == [entry.dispatch_id for entry in entries]
    assert failures > 4


async def test_a_batch_that_is_refused_is_set_aside_and_holds_up_nobody(
    store, new_entry, receiver, deliverer, sql
) -> None:
    entries = [new_entry() for _ in range(5)]
    refused = 0

    async def fails(ids: list[bytes]) -> None:
        nonlocal refused
        if entries[2].dispatch_id in ids:
            refused += len(ids) == 1
            raise NotTaken("its receiver answers 422")

    receiver.fails = fails
    await DeliveryStore(store.pool).register("test")
    for entry in entries:
        await store.write([entry])
    await deliverer()
    await until(lambda: len(receiver.got) == 4)
    assert set(receiver.got) == {entry.dispatch_id for n, entry in enumerate(entries) if n != 2}
    assert refused == MAX_REFUSALS
    (row,) = await sql.fetch("SELECT dispatch_ids, refusal FROM ledger.arrivals")
    assert [each.bytes for each in row["dispatch_ids"]] == [entries[2].dispatch_id]
    assert row["refusal"] == "its receiver answers 422"
    # Put back by a person, and taken now.
    receiver.fails = None
    await sql.execute("UPDATE ledger.arrivals SET refusal = NULL")
    await until(lambda: len(receiver.got) == 5)


async def test_of_several_ledgers_one_delivers_and_another_takes_over_when_it_is_lost(
    store, new_entry, receiver, deliverer, sql
) -> None:
    ledgers = [await deliverer() for _ in range(3)]
    entries = [new_entry() for _ in range(60)]

    async def write() -> None:
        for entry in entries[:40]:
            await store.write([entry])

    await asyncio.gather(write(), write())
    await until(lambda: len(receiver.got) >= 40)
    await forgotten(sql)
    assert Counter(receiver.got) == Counter(entry.dispatch_id for entry in entries[:40])
    assert receiver.most_under_way == 1
    # Killed, each that holds it in its turn, without a word to anybody.
    for lost in ledgers[:2]:
        assert lost._task is not None
        lost._task.cancel()
    for entry in entries[40:]:
        await store.write([entry])
    await until(lambda: len(receiver.got) >= 60)
    assert Counter(receiver.got) == Counter(entry.dispatch_id for entry in entries)


async def test_what_was_on_its_way_when_its_ledger_was_lost_comes_again(store, new_entry, receiver, deliverer) -> None:
    reached = asyncio.Event()

    async def hangs(ids: list[bytes]) -> None:
        reached.set()
        await asyncio.sleep(3600)

    receiver.fails = hangs
    lost = await deliverer()
    entry = new_entry()
    await store.write([entry])
    await reached.wait()
    assert lost._task is not None
    lost._task.cancel()
    receiver.fails = None
    await deliverer()
    await until(lambda: receiver.got == [entry.dispatch_id])


async def test_after_a_week_in_vain_it_is_given_up_and_a_sink_that_is_gone_is_forgotten(
    store, new_entry, receiver, deliverer, sql
) -> None:
    deliveries = DeliveryStore(store.pool)
    for name in ("test", "gone"):
        await deliveries.register(name)
    await store.write([new_entry(), new_entry()])
    assert await waiting(sql) == 2
    await sql.execute("UPDATE ledger.arrivals SET arrived_at = now() - interval '8 days'")
    assert await deliveries.give_up("test") == 2
    await sql.execute("UPDATE ledger.sinks SET seen_at = now() - interval '8 days' WHERE name = 'gone'")
    await store.write([new_entry()])
    assert await sql.fetchval("SELECT count(*) FROM ledger.arrivals WHERE sink = 'gone'") == 1
    await deliveries.register("test")
    assert await sql.fetchval("SELECT count(*) FROM ledger.arrivals WHERE sink = 'gone'") == 0
    assert [row["name"] for row in await sql.fetch("SELECT name FROM ledger.sinks")] == ["test"]


async def test_what_retention_has_dropped_holds_up_nobody(store, new_entry, receiver, deliverer, sql) -> None:
    await DeliveryStore(store.pool).register("test")
    entries = [new_entry() for _ in range(3)]
    await store.write(entries[:2])
    await sql.execute("DELETE FROM ledger.entries WHERE dispatch_id = $1", uuid.UUID(bytes=entries[0].dispatch_id))
    await store.write(entries[2:])
    await deliverer()
    await until(lambda: len(receiver.got) == 2)
    assert receiver.got == [entry.dispatch_id for entry in entries[1:]]
    await forgotten(sql)


async def test_what_waits_travels_together_up_to_a_delivery(store, new_entry, receiver, deliverer) -> None:
    await DeliveryStore(store.pool).register("test")
    for _ in range(4):
        await store.write([new_entry() for _ in range(200)])
    await deliverer()
    await until(lambda: len(receiver.got) == 800)
    assert receiver.sizes == [400, 400]
