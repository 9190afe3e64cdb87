"""Pages of an export: every entry of a range once, oldest first, whatever its table, and nothing open in between."""

from __future__ import annotations

import time

import pytest
from gateway.v1 import ledger_pb2

from ledger.partitions import DAY_SECONDS
from services.errors import GatewayError, Reason
from services.ids import IdMint, millis_of
from services.link import MAX_BATCH_BYTES
from services.methods import EXPORT_ENTRIES

DAY_MS = DAY_SECONDS * 1000


@pytest.fixture
async def pages(store, ledger_url, start_ledger):
    """Reads an export page by page."""
    ledger = await start_ledger(ledger_url)

    async def read(**asked) -> list[list[ledger_pb2.Entry]]:
        read: list[list[ledger_pb2.Entry]] = []
        after_id = b""
        while True:
            request = ledger_pb2.ExportEntriesRequest(after_id=after_id, **asked)
            page = await ledger.channel.call(EXPORT_ENTRIES, request, timeout_seconds=10)
            if not page.entries:
                return read
            read.append(list(page.entries))
            after_id = page.entries[-1].dispatch_id

    return read


async def test_every_entry_is_read_once_in_its_order_also_late_ones(store, new_entry, pages):
    now_ms = int(time.time() * 1000)
    mint_at = [IdMint(clock=lambda days=days: now_ms / 1000 + days * DAY_SECONDS).new() for days in (-9, 0, 1, 9)]
    entries = [new_entry(dispatch_id=each) for each in (bytes(16), *mint_at, b"\xff" * 16)]
    await store.write(entries)
    read = await pages(page_size=2)
    assert [len(page) for page in read] == [2, 2, 2]
    assert [entry for page in read for entry in page] == entries


async def test_bounds_are_those_of_time(store, new_entry, pages):
    entries = [new_entry() for _ in range(3)]
    await store.write(entries)
    first_ms = millis_of(entries[0].dispatch_id)
    assert await pages(start_ms=first_ms, end_ms=first_ms + DAY_MS) == [entries]
    assert await pages(end_ms=first_ms) == []
    assert await pages(start_ms=first_ms + DAY_MS) == []


async def test_a_page_is_no_larger_than_a_message_and_never_empty_before_the_end(store, new_entry, pages):
    # As large as entries can be.
    large = {"tags": tuple(f"{number:03}" * 85 for number in range(64))}
    entries = [new_entry(**large) for _ in range(120)]
    await store.write(entries)
    read = await pages(page_size=1000)
    assert len(read) > 1
    assert all(sum(entry.ByteSize() for entry in page) <= MAX_BATCH_BYTES for page in read)
    assert [entry.dispatch_id for page in read for entry in page] == [entry.dispatch_id for entry in entries]


@pytest.mark.parametrize(
    ("asked", "param"),
    [({"page_size": 1001}, "page_size"), ({"page_size": -1}, "page_size"), ({"start_ms": -1}, "start_ms")],
)
async def test_what_cannot_be_asked_is_named(pages, asked, param):
    with pytest.raises(GatewayError) as refused:
        await pages(**asked)
    assert (refused.value.reason, refused.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, param)
