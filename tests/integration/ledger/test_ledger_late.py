"""Entries whose time no partition covers are kept and counted, once."""

from __future__ import annotations

import time

from ledger.filters import Filter, SpendQuestion, SumQuestion
from ledger.partitions import DAY_SECONDS
from ledger.store import Store, Written
from services.ids import IdMint

DAY_MS = DAY_SECONDS * 1000


def id_at(millis: int) -> bytes:
    return IdMint(clock=lambda: millis / 1000).new()


async def test_past_and_future_are_counted_once(store, new_entry, assert_sums, sql):
    now_ms = int(time.time() * 1000)
    entries = [
        new_entry(dispatch_id=id_at(0), tags=("a",)),
        new_entry(dispatch_id=id_at(now_ms - 30 * DAY_MS), tags=("a",)),
        new_entry(tags=("a",)),
        new_entry(dispatch_id=id_at(now_ms + 30 * DAY_MS)),
        new_entry(dispatch_id=b"\xff" * 16),
        new_entry(dispatch_id=bytes(16)),
    ]
    assert await store.write(entries) == Written(stored=1, late=5)
    assert await store.write(list(reversed(entries))) == Written(stored=0, late=0)
    assert (await store.sum_spend(SumQuestion())).entries == 6
    assert [spend.entries for spend in await store.query_spend(SpendQuestion())] == [6]
    await assert_sums()


async def test_pages_go_through_late_entries_in_their_order(store, new_entry):
    now_ms = int(time.time() * 1000)
    entries = [new_entry(dispatch_id=id_at(now_ms + days * DAY_MS)) for days in (-9, -8, 0, 1, 9)]
    await store.write(entries)
    listed = await store.list_entries(Filter(), 10)
    assert listed == list(reversed(entries))


async def test_a_late_entry_stays_late_when_its_partition_comes(store, new_entry, assert_sums):
    """A router whose clock is ahead resends what is already in `late`, after midnight: still once."""
    in_four_days = new_entry(dispatch_id=id_at(int(time.time() * 1000) + 4 * DAY_MS))
    assert await store.write([in_four_days]) == Written(stored=0, late=1)
    assert len(await store.ensure_partitions(int(time.time() // DAY_SECONDS) + 1)) == 1
    assert await store.write([in_four_days]) == Written(stored=0, late=0)
    assert (await store.sum_spend(SumQuestion())).entries == 1
    await assert_sums()


async def test_without_any_partition_nothing_is_lost(ledger_url, new_entry, sql):
    bare = Store(ledger_url)
    await bare.open()
    assert await bare.write([new_entry()]) == Written(stored=0, late=1)
    await bare.close()
