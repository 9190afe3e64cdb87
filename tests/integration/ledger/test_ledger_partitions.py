"""Partitions are there before the day that needs them, whoever makes them."""

from __future__ import annotations

import asyncio
import time

import structlog

from ledger.keeper import PartitionKeeper
from ledger.partitions import DAY_SECONDS
from ledger.store import Store
from services.ids import IdMint

DAY = 20_783  # 2026-11-26


async def names(sql):
    return [row["name"] for row in await sql.fetch("SELECT name FROM ledger.partitions ORDER BY first_id")]


async def attached(sql):
    rows = await sql.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits "
        "WHERE inhparent = 'ledger.entries'::regclass ORDER BY 1"
    )
    return [row["name"].removeprefix("ledger.") for row in rows]


async def test_the_next_day_has_its_partition_before_midnight_passes(ledger_url, new_entry, sql):
    now = [DAY * DAY_SECONDS + DAY_SECONDS - 1.0]
    store = Store(ledger_url)
    await store.open()
    keeper = PartitionKeeper(store, lambda: now[0], structlog.get_logger(), interval_seconds=0.02)
    keeper.start()
    await asyncio.wait_for(keeper.ready.wait(), 30)
    assert await names(sql) == [f"entries_202611{day}" for day in (26, 27, 28, 29)]
    mint = IdMint(clock=lambda: now[0])
    before = new_entry(dispatch_id=mint.new())
    now[0] += 2
    after = new_entry(dispatch_id=mint.new())
    assert (await store.write([before, after])).stored == 2
    async with asyncio.timeout(30):
        while len(await names(sql)) < 5:
            await asyncio.sleep(0.02)
    await keeper.stop()
    await store.close()
    assert (await names(sql))[-1] == "entries_20261130"
    assert await attached(sql) == await names(sql)
    assert await sql.fetchval("SELECT count(*) FROM ledger.entries_20261126") == 1
    assert await sql.fetchval("SELECT count(*) FROM ledger.entries_20261127") == 1


async def test_days_without_a_ledger_leave_no_gap(ledger_url, new_entry, sql):
    store = Store(ledger_url)
    await store.open()
    await store.ensure_partitions(DAY)
    await store.ensure_partitions(DAY + 10)
    assert await names(sql) == [
        *(f"entries_202611{day}" for day in (26, 27, 28, 29, 30)),
        *(f"entries_202612{day:02}" for day in (6, 7, 8, 9)),
    ]
    for day in range(14):
        entry = new_entry(dispatch_id=IdMint(clock=lambda day=day: (DAY + day) * DAY_SECONDS).new())
        assert (await store.write([entry])).stored == 1, day
    await store.close()


async def test_a_clock_that_goes_back_makes_nothing(ledger_url, sql):
    store = Store(ledger_url)
    await store.open()
    await store.ensure_partitions(DAY)
    assert await store.ensure_partitions(DAY - 5) == []
    await store.close()


async def test_several_ledgers_make_each_partition_once(ledger_url, sql):
    """While batches are being written, too: none of them fails."""
    stores = [Store(ledger_url) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    made = await asyncio.gather(*(store.ensure_partitions(DAY) for store in stores))
    assert sum(map(len, made)) == 4
    assert len(await attached(sql)) == 4
    await asyncio.gather(*(store.close() for store in stores))


async def test_batches_go_on_while_partitions_are_made(store, ledger_url, new_entry, assert_sums):
    day = int(time.time() // DAY_SECONDS)

    async def write() -> int:
        return sum([(await store.write([new_entry() for _ in range(20)])).stored for _ in range(30)])

    async def make() -> int:
        return sum([len(await store.ensure_partitions(day + ahead)) for ahead in range(1, 9)])

    one, two, made = await asyncio.gather(write(), write(), make())
    assert (one, two, made) == (600, 600, 8)
    await assert_sums()
