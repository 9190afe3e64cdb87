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
from ledger.filters import SpendQuestion, SumQuestion
from ledger.queries import sum_spend
from ledger.rows import Row, encode
from ledger.store import Store
from services.ids import IdMint, lowest_at, millis_of
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
TAG, DAY, HOUR = (
    ledger_pb2.SPEND_DIMENSION_TAG,
    ledger_pb2.SPEND_DIMENSION_DAY,
    ledger_pb2.SPEND_DIMENSION_HOUR,
)
ORGANIZATION, END_USER, DEPLOYMENT, OPERATION, STATUS = (
    ledger_pb2.SPEND_DIMENSION_ORGANIZATION,
    ledger_pb2.SPEND_DIMENSION_END_USER,
    ledger_pb2.SPEND_DIMENSION_DEPLOYMENT,
    ledger_pb2.SPEND_DIMENSION_OPERATION,
    ledger_pb2.SPEND_DIMENSION_STATUS,
)

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def day_of(entry: ledger_pb2.Entry) -> str:
    return datetime.fromtimestamp(millis_of(entry.dispatch_id) / 1000, UTC).strftime("%Y-%m-%d")


def hour_of(entry: ledger_pb2.Entry) -> str:
    return datetime.fromtimestamp(millis_of(entry.dispatch_id) / 1000, UTC).strftime("%Y-%m-%dT%H")


# What an entry is counted under.
NAMES = {
    KEY: lambda entry: entry.principal.key_id,
    USER: lambda entry: entry.principal.user_id,
    TEAM: lambda entry: entry.principal.team_id,
    GROUP: lambda entry: entry.model_group,
    MODEL: lambda entry: entry.provider_model,
    PROVIDER: lambda entry: entry.provider,
    DAY: day_of,
    HOUR: hour_of,
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


SCOPES = [
    {},
    {KEY: ["key-a"]},
    {USER: ["user-a"]},
    {TEAM: ["team-b"]},
    {ORGANIZATION: [""]},
    {END_USER: ["end-a"]},
    {GROUP: ["local"]},
    {TAG: ["red"]},
    {KEY: ["", "key-b"], GROUP: ["gpt"], TAG: ["blue"]},
    {TEAM: ["nobody's"]},
]


@pytest.fixture
def around_two_hours():
    """Entries of three scopes' names around the last two full hours: at their very ends, too, and late ones."""
    dice = random.Random(11)
    hour = int(time.time()) // 3600 - 2
    moments_ms = [(hour + n) * HOUR_MS + off for n in (0, 1, 2) for off in (-1, 0, 1, 900_000, 1_800_000)]

    def make(new_entry):
        made = []
        for number in range(240):
            at_ms = moments_ms[number % len(moments_ms)] - (40 * DAY_MS if number % 7 == 0 else 0)
            names = {name: f"{name}-{dice.choice('ab')}" if dice.random() < 0.8 else "" for name in ("key", "user")}
            entry = new_entry(
                dispatch_id=IdMint(clock=lambda at_ms=at_ms: at_ms / 1000).new(),
                key_id=names["key"],
                user_id=names["user"],
                tags=dice.choice(((), ("red",), ("red", "blue"))),
                model_group=dice.choice(("gpt", "local")),
                cost_nano_usd=1 << dice.randrange(40),
            )
            entry.principal.team_id = dice.choice(("", "team-a", "team-b"))
            entry.principal.organization_id = dice.choice(("", "org-a"))
            entry.principal.end_user_id = dice.choice(("", "end-a"))
            made.append(entry)
        return made

    return make


@pytest.mark.parametrize("scope", SCOPES, ids=str)
async def test_a_sum_of_any_scope_from_any_moment_on(store, around_two_hours, ask, new_entry, scope):
    entries = around_two_hours(new_entry)
    await store.write(entries)
    filters = [ledger_pb2.SpendFilter(dimension=each, values=values) for each, values in scope.items()]
    found = [entry for entry in entries if matches(entry, scope)]
    dice = random.Random(13)
    moments = {millis_of(entry.dispatch_id) for entry in entries}
    firsts = [lowest_at(at) for at in moments] + [entry.dispatch_id for entry in entries[:20]]
    for first in [b"", bytes(16), b"\xff" * 16, *firsts]:
        excluded = dice.sample(entries, dice.choice((0, 0, 30)))
        counted = [entry for entry in found if entry.dispatch_id >= first and entry not in excluded]
        ids = [entry.dispatch_id for entry in excluded]
        spent = await ask(SUM_SPEND, since_id=first, excluded_ids=ids, filters=filters)
        assert (spent.cost_nano_usd, spent.entries) == (sum(entry.cost_nano_usd for entry in counted), len(counted))


async def test_a_key_is_one_more_filter(store, entries, ask):
    await store.write(entries)
    of_two = ledger_pb2.SpendFilter(dimension=KEY, values=["key-a", "key-b"])
    of_user = ledger_pb2.SpendFilter(dimension=USER, values=["user-a"])
    both = sum(matches(entry, {KEY: ["key-a"], USER: ["user-a"]}) for entry in entries)
    assert (await ask(SUM_SPEND, key_id="key-a", filters=[of_two, of_user])).entries == both > 0
    assert (await ask(SUM_SPEND, key_id="key-c", filters=[of_two])).entries == 0


async def test_where_entries_are_gone_the_whole_hour_is_summed(store, new_entry, ask, sql):
    hour = int(time.time()) // 3600 - 1
    ids = [IdMint(clock=lambda at=at: hour * 3600 + at).new() for at in (0, 1_800, 3_600)]
    entries = [new_entry(dispatch_id=one, cost_nano_usd=1 << n) for n, one in enumerate(ids)]
    await store.write(entries)
    assert (await ask(SUM_SPEND, since_id=ids[1])).cost_nano_usd == 0b110
    await sql.execute("UPDATE ledger.retained SET first_id = $1", uuid.UUID(bytes=lowest_at((hour + 1) * HOUR_MS)))
    # Not deleted yet, but it may be at any moment.
    assert (await ask(SUM_SPEND, since_id=ids[1])).cost_nano_usd == 0b111
    assert (await ask(SUM_SPEND, since_id=ids[1], excluded_ids=ids[:1])).cost_nano_usd == 0b110
    await sql.execute("DELETE FROM ledger.entries WHERE dispatch_id < (SELECT first_id FROM ledger.retained)")
    assert (await ask(SUM_SPEND, since_id=ids[1])).cost_nano_usd == 0b111
    assert (await ask(SUM_SPEND, since_id=ids[2])).cost_nano_usd == 0b100
    assert (await ask(SUM_SPEND, since_id=ids[1], excluded_ids=ids[2:])).cost_nano_usd == 0b011


async def explained(sql, question: SumQuestion):
    """What PostgreSQL has read for a sum, of tables of which it knows the sizes: each scan and its rows."""
    await sql.execute("ANALYZE")
    ((plan,),) = await sql.fetch(
        f"EXPLAIN (ANALYZE, FORMAT json) {sum_spend(tuple(question.lists))}",
        question.first_id,
        question.first_hour,
        *question.hour_ids,
        question.excluded_ids,
        *question.excluded_bounds,
        *question.lists.values(),
    )
    return list(rows_read(json.loads(plan)[0]["Plan"]))


@pytest.mark.parametrize("excluded", [0, 3])
async def test_a_sum_reads_no_entries_but_those_it_leaves_out(store, entries, sql, excluded):
    await store.write(entries)
    ids = [uuid.UUID(bytes=entry.dispatch_id) for entry in entries[:excluded]]
    read = await explained(sql, SumQuestion(excluded_ids=ids, lists={KEY: ["key-a"]}))
    assert sum(rows for name, rows in read if name not in ("rollup_day", "retained")) <= excluded


@pytest.mark.parametrize("dimension", [KEY, USER, TEAM, ORGANIZATION, END_USER, GROUP, TAG], ids=str)
async def test_a_sum_reads_its_own_scopes_rows_alone(store, new_entry, sql, dimension):
    """Of two thousand names no other's days, of its own none from before, and the hours of the first day alone."""
    now = time.time()
    mints = [IdMint(clock=lambda back=back: now - back * 86_400) for back in (0, 5, 10)]
    made = []
    for number in range(6_000):
        name = f"n{number // 3}" if number < 5_000 else "x"
        entry = new_entry(
            dispatch_id=mints[number % 3].new(), key_id=name, user_id=name, tags=(name,), model_group=name
        )
        entry.principal.team_id = entry.principal.organization_id = entry.principal.end_user_id = name
        made.append(entry)
    for start in range(0, len(made), 500):
        await store.write(made[start : start + 500])
    since = uuid.UUID(bytes=lowest_at(int(now - 7 * 86_400) // 3_600 * HOUR_MS))
    read = await explained(sql, SumQuestion(first_id=since, lists={dimension: ["n700"]}))
    assert sum(rows for name, rows in read if name != "retained") == 2


async def test_sums_that_change_stay_off_the_indexes(store, new_entry, sql):
    """So that a batch costs the same however many indexes there are: updates of rollups are HOT."""
    for _ in range(200):
        await store.write([new_entry(tags=("red",))])
    # Counters of a connection are told when it ends.
    await store.close()
    for table in ("rollup_hour", "rollup_hour_tag", "rollup_day", "rollup_day_tag"):
        updates, hot = await sql.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = 'ledger' AND relname = $1",
            table,
        )
        assert updates >= 198
        assert hot >= updates * 0.95


def rows_read(plan):
    """Each scan of a table in a plan, and how many rows it looked at."""
    if "Relation Name" in plan:
        filtered = plan.get("Rows Removed by Filter", 0)
        yield plan["Relation Name"], (plan["Actual Rows"] + filtered) * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from rows_read(part)


@pytest.mark.parametrize(
    "group_by",
    [
        [KEY],
        [USER],
        [TEAM],
        [GROUP],
        [MODEL],
        [PROVIDER],
        [DAY],
        [HOUR],
        [PROVIDER, MODEL],
        [DAY, KEY, GROUP],
        list(NAMES),
    ],
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


@pytest.mark.parametrize("group_by", [[TAG], [HOUR, TAG], [TAG, KEY, PROVIDER, MODEL]])
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
