"""Sums are exact, by whatever they are asked: those of the rollups are those of the entries."""

from __future__ import annotations

import json
import random
import shutil
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from gateway.v1 import ledger_pb2

import ledger
from ledger.filters import SpendQuestion
from ledger.queries import SUM_SPEND as SUM_SPEND_SQL
from ledger.rows import Row, encode
from ledger.store import Store
from services.ids import IdMint, millis_of
from services.methods import LIST_ENTRIES, QUERY_SPEND, SUM_SPEND
from services.postgres import migrate

KEY, USER, TEAM = (
    ledger_pb2.SPEND_DIMENSION_KEY,
    ledger_pb2.SPEND_DIMENSION_USER,
    ledger_pb2.SPEND_DIMENSION_TEAM,
)
GROUP, MODEL, PROVIDER = (
    ledger_pb2.SPEND_DIMENSION_MODEL_GROUP,
    ledger_pb2.SPEND_DIMENSION_PROVIDER_MODEL,
    ledger_pb2.SPEND_DIMENSION_PROVIDER,
)
TAG, DAY = ledger_pb2.SPEND_DIMENSION_TAG, ledger_pb2.SPEND_DIMENSION_DAY
ORGANIZATION, END_USER, DEPLOYMENT, OPERATION, STATUS = (
    ledger_pb2.SPEND_DIMENSION_ORGANIZATION,
    ledger_pb2.SPEND_DIMENSION_END_USER,
    ledger_pb2.SPEND_DIMENSION_DEPLOYMENT,
    ledger_pb2.SPEND_DIMENSION_OPERATION,
    ledger_pb2.SPEND_DIMENSION_STATUS,
)

DAY_MS = 86_400_000


def day_of(entry: ledger_pb2.Entry) -> str:
    return datetime.fromtimestamp(millis_of(entry.dispatch_id) / 1000, UTC).strftime("%Y-%m-%d")


# What an entry is counted under.
NAMES = {
    KEY: lambda entry: entry.principal.key_id,
    USER: lambda entry: entry.principal.user_id,
    TEAM: lambda entry: entry.principal.team_id,
    GROUP: lambda entry: entry.model_group,
    MODEL: lambda entry: entry.provider_model,
    PROVIDER: lambda entry: entry.provider,
    DAY: day_of,
    ORGANIZATION: lambda entry: entry.principal.organization_id,
    END_USER: lambda entry: entry.principal.end_user_id,
    DEPLOYMENT: lambda entry: entry.deployment_id,
    OPERATION: lambda entry: str(entry.operation),
    STATUS: lambda entry: str(entry.status),
}


def sums_of(entry: ledger_pb2.Entry) -> tuple[int, ...]:
    """What an entry adds to each sum, in the order of SpendRow."""
    usage = entry.usage
    return (
        entry.cost_nano_usd,
        1,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        int(entry.status == ledger_pb2.ENTRY_STATUS_SUCCESS),
    )


def sums_in(row: ledger_pb2.SpendRow) -> tuple[int, ...]:
    tokens = (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens)
    return (row.cost_nano_usd, row.entries, *tokens, row.succeeded)


@pytest.fixture
async def ask(store, ledger_url, start_ledger):
    """Asks a ledger on the database of `store`."""
    running = await start_ledger(ledger_url)

    async def call(method, **request):
        return await running.channel.call(method, method.request(**request), timeout_seconds=10)

    return call


@pytest.fixture
def entries(new_entry):
    """Three hundred of every kind: today's, past and future ones for which there is no partition, some that cost 0."""
    dice = random.Random(7)
    now_ms = int(time.time() * 1000)
    made = []
    for number in range(300):
        at_ms = now_ms + dice.choice((0, 0, 0, -40 * DAY_MS, -2 * DAY_MS, 30 * DAY_MS)) + number
        made.append(
            new_entry(
                dispatch_id=IdMint(clock=lambda at_ms=at_ms: at_ms / 1000).new(),
                key_id=dice.choice(("", "key-a", "key-b", "key-c")),
                user_id=dice.choice(("", "user-a", "user-b")),
                tags=dice.choice(((), ("red",), ("red", "blue"))),
                model_group=dice.choice(("gpt", "local")),
                provider=dice.choice(("openai", "azure")),
                provider_model=dice.choice(("gpt-4o", "gpt-4o-mini")),
                cost_nano_usd=dice.choice((0, 1, 1_000, 123_456_789)),
                status=dice.choice((ledger_pb2.ENTRY_STATUS_SUCCESS, ledger_pb2.ENTRY_STATUS_FAILURE)),
            )
        )
    return made


async def test_a_sum_is_that_of_the_entries_with_late_rejected_and_repeated_ones(store, entries, ask, sql, new_entry):
    await store.write(entries)
    await store.write(entries[:50])
    await store.reject(new_entry(cost_nano_usd=1 << 40), "impossible")
    assert await sql.fetchval("SELECT count(*) FROM ledger.late") > 50

    for key_id in ("", "key-a", "key-b", "nobody"):
        for excluded in ([], entries[::3], entries[:1], entries):
            # Twice, and with ids that nobody has recorded yet.
            ids = [entry.dispatch_id for entry in excluded] * 2 + [IdMint().new() for _ in range(20)]
            kept = [entry for entry in entries if entry not in excluded]
            counted = [entry for entry in kept if key_id in ("", entry.principal.key_id)]
            spent = await ask(SUM_SPEND, key_id=key_id, excluded_ids=ids)
            expected = (sum(entry.cost_nano_usd for entry in counted), len(counted))
            assert (spent.cost_nano_usd, spent.entries) == expected


@pytest.mark.parametrize("excluded", [0, 3])
async def test_a_sum_reads_no_entries_but_those_it_leaves_out(store, entries, sql, excluded):
    """As PostgreSQL tells what it read, for a table of which it knows the size."""
    await store.write(entries)
    await sql.execute("ANALYZE ledger.entries, ledger.late, ledger.rollup_hour")
    ids = [str(uuid.UUID(bytes=entry.dispatch_id)) for entry in entries[:excluded]]
    query = SUM_SPEND_SQL.replace("$1", "'key-a'").replace("$2", f"'{{{','.join(ids)}}}'")
    ((plan,),) = await sql.fetch(f"EXPLAIN (ANALYZE, FORMAT json) {query}")
    assert sum(rows for name, rows in rows_read(json.loads(plan)[0]["Plan"]) if name != "rollup_hour") <= excluded


def rows_read(plan):
    """Each scan of a table in a plan, and how many rows it looked at."""
    if "Relation Name" in plan:
        filtered = plan.get("Rows Removed by Filter", 0)
        yield plan["Relation Name"], (plan["Actual Rows"] + filtered) * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from rows_read(part)


@pytest.mark.parametrize(
    "group_by",
    [[KEY], [USER], [TEAM], [GROUP], [MODEL], [PROVIDER], [DAY], [PROVIDER, MODEL], [DAY, KEY, GROUP], list(NAMES)],
    ids=lambda dimensions: "+".join(ledger_pb2.SpendDimension.Name(each)[16:].lower() for each in dimensions),
)
async def test_grouped_sums_are_those_of_the_entries_dearest_first(store, entries, ask, group_by):
    await store.write(entries)
    rows = await all_rows(ask, group_by=group_by, page_size=7)
    expected = added_up((tuple(NAMES[dimension](entry) for dimension in group_by), entry) for entry in entries)
    found = {tuple(row.keys): sums_in(row) for row in rows}
    assert len(found) == len(rows)
    assert found == expected
    costs = [row.cost_nano_usd for row in rows]
    assert costs == sorted(costs, reverse=True)


def added_up(keyed: Iterable[tuple[tuple[str, ...], ledger_pb2.Entry]]) -> dict[tuple[str, ...], tuple[int, ...]]:
    expected: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * 7)
    for key, entry in keyed:
        expected[key] = [one + other for one, other in zip(expected[key], sums_of(entry), strict=True)]
    return {key: tuple(sums) for key, sums in expected.items()}


@pytest.mark.parametrize("group_by", [[TAG], [DAY, TAG], [TAG, KEY, PROVIDER, MODEL]])
async def test_an_entry_counts_for_each_of_its_tags(store, entries, ask, group_by):
    await store.write(entries)
    rows = await all_rows(ask, group_by=group_by, page_size=1_000)
    assert {tuple(row.keys): sums_in(row) for row in rows} == added_up(
        (tuple(tag if each == TAG else NAMES[each](entry) for each in group_by), entry)
        for entry in entries
        for tag in entry.principal.tags
    )


FILTERS = [
    {KEY: ["key-a"]},
    {KEY: ["", "key-b"], PROVIDER: ["azure"]},
    {USER: ["user-a", "user-b"], STATUS: [str(ledger_pb2.ENTRY_STATUS_FAILURE)]},
    {TAG: ["blue"], KEY: ["key-c"]},
    {MODEL: ["nobody's"]},
]


def matches(entry: ledger_pb2.Entry, wanted: dict[int, list[str]]) -> bool:
    return all(
        bool({*entry.principal.tags} & {*values}) if each == TAG else NAMES[each](entry) in values
        for each, values in wanted.items()
    )


@pytest.mark.parametrize("wanted", FILTERS)
async def test_sums_and_entries_of_what_matches_all_filters(store, entries, ask, wanted):
    await store.write(entries)
    filters = [ledger_pb2.SpendFilter(dimension=each, values=values) for each, values in wanted.items()]
    expected = [entry for entry in entries if matches(entry, wanted)]
    rows = await all_rows(ask, group_by=[KEY, MODEL], filters=filters)
    assert {tuple(row.keys): sums_in(row) for row in rows} == added_up(
        ((NAMES[KEY](entry), NAMES[MODEL](entry)), entry) for entry in expected
    )
    newest_first = sorted(expected, key=lambda entry: entry.dispatch_id, reverse=True)
    assert list((await ask(LIST_ENTRIES, filters=filters, page_size=1_000)).entries) == newest_first
    assert list((await ask(LIST_ENTRIES, filters=filters, page_size=5, offset=3)).entries) == newest_first[3:8]


async def test_one_users_sums(store, entries, ask):
    await store.write(entries)
    rows = await all_rows(ask, group_by=[KEY], user_id="user-a")
    spent = sum(entry.cost_nano_usd for entry in entries if entry.principal.user_id == "user-a")
    assert sum(row.cost_nano_usd for row in rows) == spent > 0
    assert await all_rows(ask, group_by=[KEY], user_id="nobody") == []


async def test_a_day_is_utcs(store, new_entry, sql):
    """Whatever the database's own time zone is."""
    await sql.execute(f"ALTER DATABASE {await sql.fetchval('SELECT current_database()')} SET timezone = 'Asia/Tokyo'")
    ids = [IdMint(clock=lambda at=at: at).new() for at in (1_767_225_599, 1_767_225_600)]
    await store.write([new_entry(dispatch_id=one) for one in ids])
    # Connections have the time zone that they were made with.
    await store.close()
    await store.open()
    spends = await store.query_spend(SpendQuestion(dimensions=(DAY,)))
    assert [tuple(spend.keys) for spend in spends] == [("2025-12-31",), ("2026-01-01",)]


async def test_a_page_of_long_names_fits_into_a_message(store, new_entry, ask):
    await store.write([new_entry(model_group=f"{n}{'€' * 250}", provider_model="€" * 256) for n in range(1_000)])
    page = await ask(QUERY_SPEND, group_by=[GROUP, MODEL], page_size=1_000)
    assert 0 < len(page.rows) < 1_000
    assert page.ByteSize() < 1_100_000
    assert len(await all_rows(ask, group_by=[GROUP, MODEL], page_size=1_000)) == 1_000


async def test_a_ledger_from_before_is_summed_by_the_providers_model_too(
    database_url, sql, new_entry, tmp_path, assert_sums
):
    """Migration 2 makes the sums anew from the entries; what is written afterwards joins them."""
    migrations = Path(ledger.__file__).parent / "migrations"
    shutil.copy(migrations / "0001_ledger.sql", tmp_path)
    await migrate(database_url, "ledger", tmp_path, structlog.get_logger())
    store = Store(database_url)
    await store.open()
    # No two members of one combination with the same value: their order counts.
    members = {"tags": ("red",), "status": ledger_pb2.ENTRY_STATUS_FAILURE}
    old = [new_entry(provider_model=model, **members) for model in ("gpt-4o", "gpt-4o", "gpt-4o-mini")]
    # Without what later versions have added.
    names = ", ".join(name for name in Row.__struct_fields__ if name not in ("usage_parts", "choices"))
    await sql.execute(
        f"INSERT INTO ledger.late ({names}) "
        f"SELECT {names} FROM json_populate_recordset(NULL::ledger.entries, '{encode(old)}')"
    )
    await sql.execute(
        "INSERT INTO ledger.rollup_hour_tag SELECT ledger.hour_of(dispatch_id), 'red', count(*), sum(cost_nano_usd), "
        "sum(input_tokens), sum(output_tokens) FROM ledger.late GROUP BY 1"
    )
    await migrate(database_url, "ledger", migrations, structlog.get_logger())
    await assert_sums()
    # The same combination as one from before, in the same hour or the next.
    await store.write([*old, new_entry(provider_model="gpt-4o", **members)])
    await assert_sums()
    await store.close()


async def all_rows(ask, **request) -> list[ledger_pb2.SpendRow]:
    """Every page."""
    rows, token = [], ""
    while True:
        page = await ask(QUERY_SPEND, page_token=token, **request)
        rows += page.rows
        token = page.next_page_token
        if not token:
            return rows
