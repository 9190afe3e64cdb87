"""Exports of a real gateway: what they hold is what was charged, and their size costs no memory."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import httpx
import psutil
import pyarrow.parquet
import pytest

from tests.fake_provider import PRICED_CONFIG, FakeProvider
from tests.stack import SHAPES

TODAY = datetime.now(UTC).date()
# Around midnight, too.
DAYS = {"start_date": "2026-01-01", "end_date": f"{TODAY.year + 1}-12-31"}
CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
CALLS = 7
COST = Decimal("0.000023")
MB = 1024 * 1024
# Entries as they are, at so many milliseconds of an old day; id: a UUIDv7.
FILL = """
INSERT INTO ledger.entries (
    dispatch_id, call_id, status, key_id, user_id, team_id, organization_id, end_user_id, master, tags, operation,
    model_group, deployment_id, provider, provider_model, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, cost_nano_usd, held_nano_usd, estimated, unpriced, streamed, attempts,
    error_reason, duration_ms, first_token_ms, epoch, usage_parts
)
SELECT (lpad(to_hex($1::bigint + n / 20), 12, '0') || '7000a000' || lpad(to_hex(n), 12, '0'))::uuid,
       'call-' || n, 1, 'key', 'user-' || n % 100, 'team', '', 'end', false, '["a", "b"]', 1, 'gpt', 'd1', 'openai',
       'gpt-4o', 1000, 200, 0, 0, 0, 72500, 90000, false, false, true,
       '[{"deployment_id": "d1", "provider_status": 200, "error_reason": 0, "latency_ms": 700}]', 0, 800, 200, 'e', '{}'
FROM generate_series(1, $2::bigint) AS n
"""


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_export_adds_up_to_what_was_charged(stack, fake_provider: FakeProvider, shape: str) -> None:
    gateway = await stack(PRICED_CONFIG.format(base=fake_provider.base_url), shape=shape)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        made = (await client.post("/key/generate", json={"user_id": "=cmd()", "models": ["gpt"]})).json()
        own = {"Authorization": f"Bearer {made['key']}"}
        for _ in range(CALLS):
            assert (await client.post("/v1/chat/completions", json=CHAT, headers=own)).status_code == 200
        refused = await client.post("/v1/chat/completions", json={**CHAT, "model": "none"}, headers=own)
        assert refused.status_code == 403
        async with asyncio.timeout(20):
            while len(rows := (await client.get("/spend/logs")).json()) < CALLS + 1:
                await asyncio.sleep(0.05)

        text = (await client.get("/spend/export", params=DAYS)).text
        read = list(csv.DictReader(io.StringIO(text, newline="")))
        assert [row["dispatch_id"] for row in read] == [row["request_id"] for row in reversed(rows)]
        assert sum(Decimal(row["cost_usd"]) for row in read) == CALLS * COST
        assert {row["user_id"] for row in read} == {"'=cmd()"}
        assert [row["error"] for row in read] == [*("" for _ in range(CALLS)), "model_not_allowed"]

        answer = await client.get("/spend/export", params={**DAYS, "format": "parquet"})
        table = pyarrow.parquet.read_table(io.BytesIO(answer.content))
        assert table["dispatch_id"].to_pylist() == [row["dispatch_id"] for row in read]
        assert sum(table["cost_usd"].to_pylist()) == CALLS * COST
        assert set(table["user_id"].to_pylist()) == {"=cmd()"}

        assert (await client.get("/spend/export", params=DAYS, headers=own)).status_code == 401


@pytest.mark.parametrize("entries", [40_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["csv", "parquet"])
async def test_memory_does_not_grow_with_an_export(
    stack, fake_provider: FakeProvider, database_url: str, name: str, entries: int
) -> None:
    gateway = await stack(PRICED_CONFIG.format(base=fake_provider.base_url), shape="split")
    connection = await asyncpg.connect(database_url)
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    await connection.execute(FILL, now_ms, entries)
    processes = [psutil.Process(gateway.processes[each].pid) for each in ("edge", "ledger")]
    params = {**DAYS, "format": name}

    async def export(client: httpx.AsyncClient) -> tuple[int, list[int]]:
        size, most = 0, [0, 0]
        async with client.stream("GET", "/spend/export", params=params, timeout=600) as answer:
            assert answer.status_code == 200
            async for part in answer.aiter_raw():
                if not size:
                    await nothing_is_open()
                size += len(part)
                most = [max(seen, process.memory_info().rss) for seen, process in zip(most, processes, strict=True)]
        return size, most

    async def nothing_is_open() -> None:
        """While a reader waits, PostgreSQL does not."""
        async with asyncio.timeout(10):
            while await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL "
                "AND pid <> pg_backend_pid()"
            ):
                await asyncio.sleep(0.05)

    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers) as client:
        # The first pays for libraries, threads and buffers.
        few = {**DAYS, "end_date": DAYS["start_date"], "format": name}
        assert (await client.get("/spend/export", params=few, timeout=60)).status_code == 200
        before = [process.memory_info().rss for process in processes]
        size, most = await export(client)
    await connection.close()
    assert size > entries * (200 if name == "csv" else 10)
    grown = [(peak - start) // MB for peak, start in zip(most, before, strict=True)]
    print(f"{name}: {entries} entries, {size} bytes, edge and ledger grew by {grown} MB")
    # What all the entries come to in memory would be some hundred MB for the fewer, and gigabytes for the more.
    assert max(grown) < 60
