"""Entries without a price get their cost once; entries and sums are equal before, meanwhile and afterwards."""

from __future__ import annotations

import asyncio
import random
import time
import uuid

import asyncpg
import pytest
from gateway.v1 import ledger_pb2

from ledger.filters import Filter, SumQuestion
from ledger.partitions import DAY_SECONDS
from ledger.store import Spend, Store
from services.errors import GatewayError, Reason
from services.ids import IdMint
from services.methods import LIST_ENTRIES, REPRICE


@pytest.fixture
async def ask(store, ledger_url, start_ledger):
    """Asks a ledger on the database of `store`."""
    running = await start_ledger(ledger_url)

    async def call(method, **request):
        return await running.channel.call(method, method.request(**request), timeout_seconds=10)

    return call


@pytest.fixture
def unpriced(new_entry):
    """Makes entries that nobody knew a price for."""

    def make(count: int, *, days_ago: float = 0) -> list[ledger_pb2.Entry]:
        mint = IdMint(clock=lambda: time.time() - days_ago * DAY_SECONDS)
        return [
            new_entry(
                dispatch_id=mint.new(), cost_nano_usd=0, unpriced=True, tags=("red", "blue"), key_id=f"key-{n % 3}"
            )
            for n in range(count)
        ]

    return make


def priced(entries, cost: int) -> list[ledger_pb2.PricedEntry]:
    return [ledger_pb2.PricedEntry(dispatch_id=entry.dispatch_id, cost_nano_usd=cost) for entry in entries]


async def test_entries_and_all_sums_get_the_cost_once(store, new_entry, unpriced, ask, assert_sums):
    fresh, late, others = unpriced(20), unpriced(10, days_ago=40), [new_entry(tags=("red",)) for _ in range(5)]
    await store.write([*fresh, *late, *others])
    changed = await ask(REPRICE, entries=priced([*fresh, *late], 7))
    assert (changed.entries, changed.cost_nano_usd) == (30, 210)
    await assert_sums()
    assert (await store.sum_spend(SumQuestion())) == Spend(5_210, 35)
    assert not any(entry.unpriced for entry in await store.list_entries(Filter(), 100))
    # At another price, too; and an entry that comes again from its outbox is known.
    changed = await ask(REPRICE, entries=priced([*fresh, *late], 9))
    assert (changed.entries, changed.cost_nano_usd) == (0, 0)
    await store.write([*fresh, *late])
    await assert_sums()
    assert (await store.sum_spend(SumQuestion())) == Spend(5_210, 35)


async def test_what_has_a_cost_or_is_not_there_stays_as_it_is(store, new_entry, ask, assert_sums):
    """One attempt of the second had a price: what it used is not what the other one used."""
    entries = [new_entry(), new_entry(unpriced=True, cost_nano_usd=5)]
    await store.write(entries)
    assert (await ask(REPRICE, entries=priced([*entries, new_entry()], 1_000))).entries == 0
    assert await store.list_entries(Filter(), 10) == list(reversed(entries))
    await assert_sums()


async def test_pages_of_what_can_be_repriced(store, new_entry, unpriced, ask):
    wanted = unpriced(3)
    await store.write([*wanted, new_entry(), new_entry(unpriced=True, cost_nano_usd=5)])
    listed = (await ask(LIST_ENTRIES, unpriced=True)).entries
    assert list(listed) == list(reversed(wanted))
    key = ledger_pb2.SpendFilter(dimension=ledger_pb2.SPEND_DIMENSION_KEY, values=["key-1"])
    assert list((await ask(LIST_ENTRIES, unpriced=True, filters=[key])).entries) == [wanted[1]]


async def test_repricing_at_once_and_beside_batches_counts_once_and_never_waits_in_a_circle(
    store, ledger_url, new_entry, unpriced, assert_sums
):
    entries = unpriced(120)
    await store.write(entries)
    dice = random.Random(3)
    stores = [Store(ledger_url) for _ in range(3)]
    await asyncio.gather(*(one.open() for one in stores))

    async def reprice(one: Store) -> int:
        mixed = dice.sample(entries, len(entries))
        parts = [mixed[start : start + 30] for start in range(0, len(mixed), 30)]
        return sum([(await one.reprice({_uuid(entry): 7 for entry in part})).entries for part in parts])

    async def write(one: Store) -> int:
        batches = [[new_entry(tags=("red", "blue"), key_id=f"key-{n % 3}") for n in range(30)] for _ in range(8)]
        return sum([(await one.write(batch)).stored for batch in batches])

    results = await asyncio.gather(*(reprice(one) for one in stores), *(write(one) for one in stores))
    assert sum(results[:3]) == 120
    assert sum(results[3:]) == 720
    await assert_sums()
    assert await store.sum_spend(SumQuestion()) == Spend(120 * 7 + 720 * 1_000, 840)
    await asyncio.gather(*(one.close() for one in stores))


async def test_rows_are_locked_in_their_order_whatever_the_order_they_are_asked_in_or_lie_in(
    store, unpriced, sql, database_url
):
    """So that two who reprice the same entries never wait in a circle."""
    entries = unpriced(9)
    for entry in reversed(entries):
        await store.write([entry])
    held = sql.transaction()
    await held.start()
    await sql.execute("SELECT FROM ledger.entries WHERE dispatch_id = $1 FOR UPDATE", _uuid(entries[4]))
    repricing = asyncio.create_task(store.reprice({_uuid(entry): 7 for entry in reversed(entries)}))
    looker = await asyncpg.connect(database_url)
    async with asyncio.timeout(30):
        while not await looker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
    free = await looker.fetch("SELECT dispatch_id FROM ledger.entries ORDER BY 1 FOR UPDATE SKIP LOCKED")
    await looker.close()
    await held.rollback()
    assert (await repricing).entries == 9
    assert [row["dispatch_id"] for row in free] == [_uuid(entry) for entry in entries[5:]]


def _uuid(entry: ledger_pb2.Entry) -> uuid.UUID:
    return uuid.UUID(bytes=entry.dispatch_id)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [ledger_pb2.PricedEntry(dispatch_id=b"short")],
        [ledger_pb2.PricedEntry(dispatch_id=bytes(16))] * 2,
        [ledger_pb2.PricedEntry(dispatch_id=bytes(16), cost_nano_usd=-1)],
        [ledger_pb2.PricedEntry(dispatch_id=bytes(16), cost_nano_usd=(1 << 53) + 1)],
        [ledger_pb2.PricedEntry(dispatch_id=n.to_bytes(16, "big")) for n in range(1_001)],
    ],
)
async def test_what_cannot_be_repriced_is_named(ask, entries):
    with pytest.raises(GatewayError) as refused:
        await ask(REPRICE, entries=entries)
    assert (refused.value.reason, refused.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, "entries")
