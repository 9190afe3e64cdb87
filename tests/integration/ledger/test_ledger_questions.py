"""Sums, pages and ranges, as keystores and edges ask for them."""

from __future__ import annotations

import time

import pytest
from gateway.v1 import ledger_pb2

from services.errors import GatewayError, Reason
from services.ids import IdMint, millis_of, to_text
from services.methods import LIST_ENTRIES, QUERY_SPEND, SUM_SPEND

HOUR_MS = 3_600_000


def matching(dimension: int, *values: str) -> ledger_pb2.SpendFilter:
    return ledger_pb2.SpendFilter(dimension=dimension, values=values)


BAD_FILTERS = [
    [matching(ledger_pb2.SPEND_DIMENSION_UNSPECIFIED, "x")],
    [matching(ledger_pb2.SPEND_DIMENSION_DAY, "2026-01-01")],
    [matching(ledger_pb2.SPEND_DIMENSION_HOUR, "2026-01-01T00")],
    [matching(99, "x")],
    [matching(ledger_pb2.SPEND_DIMENSION_KEY)],
    [matching(ledger_pb2.SPEND_DIMENSION_KEY, *("x" * 1_001))],
    [matching(ledger_pb2.SPEND_DIMENSION_KEY, "x")] * 2,
]

FILTERED = (QUERY_SPEND, LIST_ENTRIES, SUM_SPEND)


@pytest.fixture
async def ask(store, ledger_url, start_ledger):
    """Asks a ledger on the database of `store`."""
    ledger = await start_ledger(ledger_url)

    async def call(method, **request):
        return await ledger.channel.call(method, method.request(**request), timeout_seconds=10)

    return call


async def test_sums_by_key_since_an_id_and_without_open_holds(store, new_entry, ask):
    entries = [new_entry(key_id=f"key-{n % 2}", cost_nano_usd=1 << n) for n in range(10)]
    await store.write(entries)
    assert (await ask(SUM_SPEND)).cost_nano_usd == 1_023
    odd = await ask(SUM_SPEND, key_id="key-1")
    assert (odd.cost_nano_usd, odd.entries) == (0b10_1010_1010, 5)
    assert (await ask(SUM_SPEND, since_id=entries[4].dispatch_id)).cost_nano_usd == 0b11_1111_0000
    ids = [entries[n].dispatch_id for n in (0, 1, 9)]
    assert (await ask(SUM_SPEND, excluded_ids=ids)).cost_nano_usd == 0b01_1111_1100
    assert (await ask(SUM_SPEND, key_id="key-1", excluded_ids=ids)).cost_nano_usd == 0b00_1010_1000
    none = await ask(SUM_SPEND, key_id="nobody")
    assert (none.cost_nano_usd, none.entries) == (0, 0)


async def test_a_sum_without_the_most_ids_allowed(store, new_entry, ask):
    entry = new_entry()
    await store.write([entry])
    mint = IdMint()
    ids = [mint.new() for _ in range(99_999)]
    assert (await ask(SUM_SPEND, excluded_ids=ids)).entries == 1
    assert (await ask(SUM_SPEND, excluded_ids=[*ids, entry.dispatch_id])).entries == 0
    with pytest.raises(GatewayError) as refused:
        await ask(SUM_SPEND, excluded_ids=[*ids, mint.new(), mint.new()])
    assert refused.value.reason == Reason.ERROR_REASON_INVALID_REQUEST


async def test_pages_cover_everything_once_newest_first(store, new_entry, ask):
    entries = [new_entry() for _ in range(25)]
    await store.write(entries)
    seen, before = [], b""
    while True:
        page = (await ask(LIST_ENTRIES, page_size=10, before_id=before)).entries
        if not page:
            break
        assert len(page) <= 10
        seen += page
        before = page[-1].dispatch_id
    assert seen == list(reversed(entries))


async def test_a_page_has_a_hundred_entries_unless_asked(store, new_entry, ask):
    await store.write([new_entry() for _ in range(120)])
    assert len((await ask(LIST_ENTRIES)).entries) == 100


async def test_a_page_fits_into_a_message(store, new_entry, ask):
    """Entries may be large; a page then is shorter than asked for, and the next goes on from there."""
    await store.write([new_entry(tags=tuple(f"{n}-{'x' * 250}" for n in range(60))) for _ in range(120)])
    page = await ask(LIST_ENTRIES, page_size=120)
    assert 0 < len(page.entries) < 120
    assert page.ByteSize() < 1_100_000


async def test_filters(store, new_entry, ask):
    a = new_entry(key_id="a", user_id="u", call_id="first")
    b = new_entry(key_id="b", user_id="u", call_id="second")
    c = new_entry(key_id="b", user_id="v", call_id=to_text(a.dispatch_id))
    await store.write([a, b, c])

    async def found(**request):
        return [entry.dispatch_id for entry in (await ask(LIST_ENTRIES, **request)).entries]

    assert await found(key_id="b") == [c.dispatch_id, b.dispatch_id]
    assert await found(user_id="u") == [b.dispatch_id, a.dispatch_id]
    assert await found(key_id="b", user_id="u") == [b.dispatch_id]
    assert await found(request_id="second") == [b.dispatch_id]
    # A dispatch id, and a caller's call id that looks like one.
    assert await found(request_id=to_text(a.dispatch_id)) == [c.dispatch_id, a.dispatch_id]
    assert await found(request_id=to_text(b.dispatch_id)) == [b.dispatch_id]
    assert await found(request_id="none") == []


async def test_a_range_of_time_includes_its_start_and_not_its_end(store, new_entry, ask):
    now_ms = int(time.time() * 1000)
    ids = [IdMint(clock=lambda ms=ms: ms / 1000).new() for ms in (now_ms, now_ms + 1_000, now_ms + 2_000)]
    await store.write([new_entry(dispatch_id=one) for one in ids])
    start_ms, end_ms = millis_of(ids[1]), millis_of(ids[2])
    page = await ask(LIST_ENTRIES, start_ms=start_ms, end_ms=end_ms)
    assert [entry.dispatch_id for entry in page.entries] == [ids[1]]
    page = await ask(LIST_ENTRIES, end_ms=end_ms, before_id=ids[1])
    assert [entry.dispatch_id for entry in page.entries] == [ids[0]]


async def test_spend_over_whole_hours(store, new_entry, ask):
    """The range is widened to the hours that it touches."""
    hour = int(time.time() * 1000) // HOUR_MS
    for offset, cost in ((0, 1), (1, 10), (2, 100)):
        at = (hour + offset) * HOUR_MS + 1_800_000
        await store.write(
            [new_entry(dispatch_id=IdMint(clock=lambda at=at: at / 1000).new(), cost_nano_usd=cost) for _ in range(2)]
        )
    (whole,) = (await ask(QUERY_SPEND)).rows
    assert (whole.cost_nano_usd, whole.entries, whole.input_tokens, whole.output_tokens) == (222, 6, 60, 120)

    async def spent(**request):
        return [row.cost_nano_usd for row in (await ask(QUERY_SPEND, **request)).rows]

    assert await spent(start_ms=(hour + 1) * HOUR_MS + 5) == [220]
    assert await spent(end_ms=(hour + 1) * HOUR_MS) == [2]
    assert await spent(end_ms=(hour + 1) * HOUR_MS + 1) == [22]
    assert await spent(start_ms=(hour + 3) * HOUR_MS) == [0]


@pytest.mark.parametrize(
    ("method", "request_members", "param"),
    [
        (SUM_SPEND, {"since_id": b"short"}, "since_id"),
        (SUM_SPEND, {"excluded_ids": [b"x" * 17]}, "excluded_ids"),
        (LIST_ENTRIES, {"page_size": 1_001}, "page_size"),
        (LIST_ENTRIES, {"page_size": -1}, "page_size"),
        (LIST_ENTRIES, {"before_id": b"short"}, "before_id"),
        (LIST_ENTRIES, {"start_ms": -1}, "start_ms"),
        (LIST_ENTRIES, {"end_ms": 1 << 48}, "end_ms"),
        (QUERY_SPEND, {"start_ms": 1 << 60}, "start_ms"),
        (QUERY_SPEND, {"group_by": [0]}, "group_by"),
        (QUERY_SPEND, {"group_by": [99]}, "group_by"),
        (QUERY_SPEND, {"group_by": [1, 2, 1]}, "group_by"),
        *((method, {"filters": each}, "filters") for method in FILTERED for each in BAD_FILTERS),
        (QUERY_SPEND, {"filters": [matching(ledger_pb2.SPEND_DIMENSION_TAG, "red", "blue")]}, "filters"),
        (SUM_SPEND, {"filters": [matching(ledger_pb2.SPEND_DIMENSION_TAG, "red", "blue")]}, "filters"),
        (LIST_ENTRIES, {"offset": -1}, "offset"),
        (LIST_ENTRIES, {"offset": 100_001}, "offset"),
        (QUERY_SPEND, {"page_size": 1_001}, "page_size"),
        (QUERY_SPEND, {"page_token": "next"}, "page_token"),
        (QUERY_SPEND, {"page_token": "-1"}, "page_token"),
        (QUERY_SPEND, {"page_token": "9" * 5_000}, "page_token"),
    ],
)
async def test_what_cannot_be_asked_is_named(ask, method, request_members, param):
    with pytest.raises(GatewayError) as refused:
        await ask(method, **request_members)
    assert (refused.value.reason, refused.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, param)


async def test_names_that_no_column_holds_match_nothing(ask):
    """NUL is no character of PostgreSQL's."""
    assert not (await ask(LIST_ENTRIES, request_id="a\0b")).entries


async def test_messages_are_those_of_the_contract(ask, store, new_entry):
    await store.write([new_entry()])
    assert isinstance(await ask(LIST_ENTRIES), ledger_pb2.ListEntriesResponse)
