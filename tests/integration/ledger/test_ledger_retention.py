"""Entries past retention go, by whole partitions; their sums stay, and what comes late is kept and counted once."""

from __future__ import annotations

import asyncio
import time
import uuid

import asyncpg
import pytest
import structlog
from structlog.testing import capture_logs

from ledger import retention
from ledger.filters import Filter, SpendQuestion, SumQuestion
from ledger.keeper import PartitionKeeper
from ledger.partitions import DAY_SECONDS, DAYS_AHEAD
from ledger.retention import Dropped
from ledger.store import Store, Written
from services.errors import GatewayError, Reason
from services.ids import IdMint, lowest_at, millis_of

KEPT_SECONDS = 10 * DAY_SECONDS
TODAY = int(time.time() // DAY_SECONDS)


def id_at(day: float) -> bytes:
    """An id of a day, counted from today."""
    return IdMint(clock=lambda: (TODAY + day) * DAY_SECONDS + 60).new()


@pytest.fixture
async def old_store(ledger_url):
    """A store that has partitions of single days for the last 30."""
    opened = Store(ledger_url)
    await opened.open()
    for day in range(TODAY - 30, TODAY + 1, DAYS_AHEAD + 1):
        await opened.ensure_partitions(day)
    await opened.ensure_partitions(TODAY)
    yield opened
    await opened.close()


async def totals(store: Store) -> list[tuple[int, int]]:
    return [(spend.cost_nano_usd, spend.entries) for spend in await store.query_spend(SpendQuestion())]


async def days_of_entries(store: Store) -> list[int]:
    entries = await store.list_entries(Filter(), 1_000)
    return [millis_of(entry.dispatch_id) // (DAY_SECONDS * 1000) - TODAY for entry in reversed(entries)]


async def test_whole_partitions_go_and_their_sums_stay(old_store, new_entry, sql):
    await old_store.write([new_entry(dispatch_id=id_at(day), tags=("red",)) for day in range(-30, 1)])
    before = await totals(old_store)
    rollups = "SELECT * FROM ledger.rollup_hour", "SELECT * FROM ledger.rollup_hour_tag"
    rows = [await sql.fetch(query) for query in rollups]
    dropped = await old_store.drop_expired(KEPT_SECONDS)
    assert len(dropped.partitions) == 20
    assert await days_of_entries(old_store) == list(range(-10, 1))
    assert await totals(old_store) == before == [(31_000, 31)]
    assert [await sql.fetch(query) for query in rollups] == rows
    tables = await sql.fetchval(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'ledger' AND tablename ~ '^entries_'"
    )
    assert tables == await sql.fetchval("SELECT count(*) FROM ledger.partitions") == 11 + DAYS_AHEAD
    assert await old_store.drop_expired(KEPT_SECONDS) == Dropped()


async def test_a_partition_of_several_days_goes_with_its_last(ledger_url, new_entry):
    store = Store(ledger_url)
    await store.open()
    await store.ensure_partitions(TODAY - 30)
    # One partition from 26 days ago until yesterday.
    await store.ensure_partitions(TODAY)
    await store.write([new_entry(dispatch_id=id_at(day)) for day in (-30, -26, -2)])
    assert len((await store.drop_expired(KEPT_SECONDS)).partitions) == DAYS_AHEAD + 1
    assert await days_of_entries(store) == [-26, -2]
    await store.close()


async def test_what_comes_after_its_partition_went_is_late_and_counted_once(old_store, new_entry):
    await old_store.write([new_entry(dispatch_id=id_at(-30))])
    await old_store.drop_expired(KEPT_SECONDS)
    belated = new_entry(dispatch_id=id_at(-29))
    assert await old_store.write([belated]) == Written(stored=0, late=1)
    # Its time is past, but it may well come again.
    assert await old_store.drop_expired(KEPT_SECONDS) == Dropped()
    assert await old_store.write([belated]) == Written(stored=0, late=0)
    assert (await totals(old_store)) == [(2_000, 2)]


async def test_late_rows_go_when_they_were_kept_so_long_in_limited_batches(old_store, new_entry, sql, monkeypatch):
    monkeypatch.setattr(retention, "LATE_ROWS", 2)
    monkeypatch.setattr(retention, "LATE_STATEMENTS", 2)
    ahead = DAYS_AHEAD + 5
    await old_store.write([new_entry(dispatch_id=id_at(day)) for day in (-35, -34, -33, -32, -31, ahead)])
    await sql.execute("UPDATE ledger.late SET recorded_at = now() - interval '11 days'")
    assert [(await old_store.drop_expired(KEPT_SECONDS)).late for _ in range(3)] == [4, 1, 0]
    # One from the future is young, whenever it came.
    assert await days_of_entries(old_store) == [ahead]
    assert await totals(old_store) == [(6_000, 6)]


async def test_a_ledgers_own_clock_does_not_count(old_store, new_entry, monkeypatch):
    """A host that believes it is next year drops nothing that is young."""
    await old_store.write([new_entry()])
    monkeypatch.setattr(time, "time", lambda: (TODAY + 365) * DAY_SECONDS)
    await old_store.drop_expired(KEPT_SECONDS)
    assert len(await old_store.list_entries(Filter(), 10)) == 1


async def test_a_sum_that_begins_where_entries_are_gone_has_the_whole_hour(old_store, new_entry):
    ids = [id_at(-30), IdMint(clock=lambda: (TODAY - 30) * DAY_SECONDS + 1_800).new(), id_at(-3)]
    await old_store.write([new_entry(dispatch_id=one, cost_nano_usd=1 << n) for n, one in enumerate(ids)])

    async def since(first: bytes) -> int:
        return (await old_store.sum_spend(SumQuestion(uuid.UUID(bytes=first)))).cost_nano_usd

    assert [await since(one) for one in ids] == [0b111, 0b110, 0b100]
    await old_store.drop_expired(KEPT_SECONDS)
    assert [await since(one) for one in ids] == [0b111, 0b111, 0b100]
    assert await since(lowest_at((TODAY - 29) * DAY_SECONDS * 1000)) == 0b100


async def test_several_ledgers_drop_while_batches_of_all_days_come(old_store, ledger_url, new_entry, sql):
    """No batch fails, nothing waits in a circle, and everything is counted."""
    stores = [Store(ledger_url) for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    days = [0, -3, *range(-30, -10)]
    batches = [[new_entry(dispatch_id=id_at(day), tags=("red",)) for day in days] for _ in range(40)]

    async def write(store: Store, mine: int) -> None:
        for batch in batches[mine::3]:
            written = await store.write(batch)
            assert written.stored + written.late == len(batch)

    async def drop(store: Store) -> int:
        dropped = 0
        for kept_days in range(30, 9, -1):
            dropped += len((await store.drop_expired(kept_days * DAY_SECONDS)).partitions)
        return dropped

    results = await asyncio.gather(
        *(write(store, mine) for mine, store in enumerate(stores)), *(drop(store) for store in stores)
    )
    assert sum(results[3:]) == 20
    assert (await old_store.sum_spend(SumQuestion())).entries == len(days) * 40
    assert await sql.fetchval("SELECT sum(entries) FROM ledger.rollup_hour_tag") == len(days) * 40
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_long_question_puts_it_off(old_store, new_entry, ledger_url):
    """It does not wait for long, for batches would wait behind it."""
    reader = await asyncpg.connect(ledger_url)
    async with reader.transaction():
        await reader.fetch("SELECT FROM ledger.entries")
        started = time.monotonic()
        dropping = asyncio.create_task(old_store.drop_expired(KEPT_SECONDS))
        await asyncio.sleep(0.2)
        assert (await old_store.write([new_entry()])).stored == 1
        with pytest.raises(GatewayError) as refused:
            await dropping
        assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
        assert time.monotonic() - started < 10
    await reader.close()
    assert len((await old_store.drop_expired(KEPT_SECONDS)).partitions) == 20


@pytest.mark.parametrize("kept_seconds", [None, KEPT_SECONDS])
async def test_a_ledger_drops_what_is_past_its_retention_and_else_nothing(old_store, new_entry, kept_seconds):
    await old_store.write([new_entry(dispatch_id=id_at(day)) for day in (-20, 0)])
    with capture_logs() as logs:
        keeper = PartitionKeeper(old_store, time.time, structlog.get_logger(), kept_seconds, interval_seconds=0.02)
        keeper.start()
        await asyncio.wait_for(keeper.ready.wait(), 30)
        async with asyncio.timeout(30):
            while kept_seconds and not times_told(logs):
                await asyncio.sleep(0.02)
        # Many rounds more.
        await asyncio.sleep(0.2)
        await keeper.stop()
    assert await days_of_entries(old_store) == ([0] if kept_seconds else [-20, 0])
    assert times_told(logs) == (1 if kept_seconds else 0)


def times_told(logs) -> int:
    return [line["event"] for line in logs].count("expired_entries_dropped")
