"""Every dispatch is in the ledger once, and the sums agree, whoever sends it how often."""

from __future__ import annotations

import asyncio
import random

from gateway.v1 import ledger_pb2

from ledger.filters import Filter
from ledger.queries import WRITE
from ledger.rows import Row, encode
from ledger.store import Store, Written


async def test_an_entry_comes_back_as_it_was_sent(store, new_entry):
    sent = new_entry(tags=("a", "b"), error_reason=7, estimated=True, unpriced=True)
    assert await store.write([sent]) == Written(stored=1, late=0)
    assert await store.list_entries(Filter(), 10) == [sent]


async def test_columns_are_those_of_the_table(store, sql):
    rows = await sql.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'ledger' AND table_name = 'entries'"
    )
    # PostgreSQL itself notes when.
    assert {row["column_name"] for row in rows} == {*Row.__struct_fields__, "recorded_at"}


async def test_a_duplicate_changes_nothing(store, new_entry, assert_sums, sql):
    one, two = new_entry(tags=("a",)), new_entry(tags=("a", "b"))
    assert (await store.write([one, one, two])).stored == 2
    assert (await store.write([two, one])).stored == 0
    # Not even one that says something else.
    changed = ledger_pb2.Entry()
    changed.CopyFrom(one)
    changed.cost_nano_usd = 999_999
    assert (await store.write([changed])).stored == 0
    assert await sql.fetchval("SELECT sum(cost_nano_usd) FROM ledger.rollup_hour") == 2_000
    await assert_sums()


async def test_a_key_that_moves_to_another_team_is_summed_for_both(store, new_entry, sql):
    before, after = new_entry(), new_entry()
    after.principal.team_id = "other"
    await store.write([before, after])
    assert await sql.fetchval("SELECT count(*) FROM ledger.rollup_hour") == 2


async def test_ledgers_writing_overlapping_batches_in_any_order_agree(ledger_url, store, new_entry, assert_sums, sql):
    """No deadlock (a deadlock would be UNAVAILABLE here), nothing lost, nothing twice."""
    entries = [
        new_entry(key_id=f"key-{n % 7}", model_group=f"m{n % 3}", cost_nano_usd=n, tags=(f"t{n % 5}", f"u{n % 4}"))
        for n in range(600)
    ]
    shuffle = random.Random(1)
    others = [Store(ledger_url) for _ in range(2)]
    for other in others:
        await other.open()

    async def write_all(one: Store) -> int:
        """All of them, twice, in batches that cut across the others'."""
        stored = 0
        for _ in range(2):
            mixed = shuffle.sample(entries, len(entries))
            for start in range(0, len(mixed), 60):
                stored += (await one.write(mixed[start : start + 60])).stored
        return stored

    try:
        # Two at a time through each of three ledgers.
        counts = await asyncio.gather(*(write_all(one) for one in (store, *others) * 2))
    finally:
        for other in others:
            await other.close()
    assert sum(counts) == 600
    assert await sql.fetchval("SELECT count(*) FROM ledger.entries") == 600
    assert await sql.fetchval("SELECT sum(cost_nano_usd) FROM ledger.rollup_hour") == sum(range(600))
    await assert_sums()


async def test_batches_in_opposite_order_wait_for_each_other_and_never_in_a_circle(store, new_entry, sql, assert_sums):
    """Both are held up at the entry in the middle. Rows taken in the batch's own order would then be a deadlock."""
    entries = [new_entry() for _ in range(9)]
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    held = sql.transaction()
    await held.start()
    await sql.execute(WRITE, encode(entries[4:5]))
    writing = [asyncio.create_task(store.write(batch)) for batch in (entries, list(reversed(entries)))]
    async with asyncio.timeout(30):
        while await sql.fetchval(waiting) < 2:
            await asyncio.sleep(0.01)
    await held.rollback()
    assert sum([(await one).stored for one in writing]) == 9
    await assert_sums()


async def test_a_stream_is_acknowledged_only_when_it_is_committed(
    ledger_url, start_ledger, new_entry, acknowledged, sql, assert_sums
):
    ledger = await start_ledger(ledger_url)
    link = await ledger.link()
    entries = [new_entry(tags=("a",)) for _ in range(300)]
    for sequence, entry in enumerate(entries + entries[:50], 1):
        link.send(ledger_pb2.RecordFrame(sequence=sequence, entry=entry))
        if sequence % 70 == 0:
            await asyncio.sleep(0.01)
    await acknowledged(link, 350)
    assert await sql.fetchval("SELECT count(*) FROM ledger.entries") == 300
    assert (ledger.count("stored"), ledger.count("duplicate")) == (300, 50)
    await assert_sums()


async def test_stopping_writes_what_has_been_gathered(ledger_url, start_ledger, new_entry, acknowledged, sql):
    ledger = await start_ledger(ledger_url)
    link = await ledger.link()
    link.send(ledger_pb2.RecordFrame(sequence=1, entry=new_entry()))
    await acknowledged(link, 1)
    for sequence in range(2, 1_002):
        link.send(ledger_pb2.RecordFrame(sequence=sequence, entry=new_entry()))
    await asyncio.sleep(0)  # the reader has them; nothing is written yet
    await ledger.stop()
    await acknowledged(link, 1_001)
    assert await sql.fetchval("SELECT count(*) FROM ledger.entries") == 1_001
