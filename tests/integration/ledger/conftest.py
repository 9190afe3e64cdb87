"""What the ledger's tests share: a migrated database, entries, and whole ledgers on it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
import structlog
from gateway.v1 import common_pb2, errors_pb2, ledger_pb2
from prometheus_client import CollectorRegistry

import ledger
from ledger.main import build
from ledger.partitions import DAY_SECONDS
from ledger.store import Store
from services.config import Config
from services.ids import IdMint
from services.inprocess import InProcessChannel
from services.lifecycle import Runtime
from services.link import Link
from services.methods import RECORD
from services.postgres import migrate
from services.settings import Settings

MIGRATIONS = Path(ledger.__file__).parent / "migrations"


@pytest.fixture
async def ledger_url(database_url: str) -> str:
    """A database with the ledger's schema, and no partitions."""
    await migrate(database_url, "ledger", MIGRATIONS, structlog.get_logger())
    return database_url


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, to look behind the ledger's back."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def store(ledger_url: str) -> AsyncIterator[Store]:
    """A store with the partitions of today."""
    opened = Store(ledger_url)
    await opened.open()
    await opened.ensure_partitions(int(time.time() // DAY_SECONDS))
    yield opened
    await opened.close()


NewEntry = Callable[..., ledger_pb2.Entry]


@pytest.fixture
def new_entry() -> NewEntry:
    """Makes entries with every member set; keyword arguments are members to have instead."""
    mint = IdMint()

    def make(
        *, key_id: str = "key-a", user_id: str = "user-a", tags: tuple[str, ...] = (), **other
    ) -> ledger_pb2.Entry:
        members = {
            "dispatch_id": mint.new(),
            "call_id": "call",
            "status": ledger_pb2.ENTRY_STATUS_SUCCESS,
            "operation": common_pb2.OPERATION_CHAT_COMPLETIONS,
            "model_group": "gpt",
            "deployment_id": "d1",
            "provider": "openai",
            "provider_model": "gpt-4o",
            "cost_nano_usd": 1_000,
            "held_nano_usd": 5_000,
            "streamed": True,
            "duration_ms": 12,
            "first_token_ms": 3,
            "epoch": "e1",
        }
        return ledger_pb2.Entry(
            principal=common_pb2.Principal(
                key_id=key_id, user_id=user_id, team_id="team", organization_id="org", end_user_id="end", tags=tags
            ),
            usage=common_pb2.TokenUsage(
                input_tokens=10,
                output_tokens=20,
                cache_read_tokens=3,
                cache_write_tokens=2,
                reasoning_tokens=1,
                cache_write_1h_tokens=1,
                service_tier=common_pb2.SERVICE_TIER_FLEX,
            ),
            attempts=[
                ledger_pb2.Attempt(
                    deployment_id="d0",
                    provider_status=500,
                    error_reason=errors_pb2.ERROR_REASON_PROVIDER_UNAVAILABLE,
                    latency_ms=4,
                ),
                ledger_pb2.Attempt(
                    deployment_id="d1",
                    provider_status=200,
                    latency_ms=8,
                    billed=True,
                    rates=ledger_pb2.AppliedRates(input=0, output=2_000_000_000, above_tokens=200_000),
                ),
            ],
            choices=[
                ledger_pb2.Choice(
                    strategy=ledger_pb2.ROUTING_STRATEGY_LEAST_BUSY,
                    candidates=3,
                    attempt=1,
                    under_way=2,
                    skipped=[
                        ledger_pb2.Skip(deployment_id="d2", reason=ledger_pb2.SKIP_REASON_COOLDOWN, rests_ms=1_500)
                    ],
                )
            ],
            **(members | other),
        )

    return make


class RunningLedger:
    """A ledger role, reached as others reach it."""

    def __init__(self, database_url: str) -> None:
        self.registry = CollectorRegistry()
        log = structlog.get_logger()
        runtime = Runtime(Config(), Settings(database_url=database_url), log, self.registry, {})
        self.role = build(runtime)
        self.channel = InProcessChannel(self.role.handlers, log)

    async def link(self) -> Link[ledger_pb2.RecordFrame, ledger_pb2.StoredFrame]:
        return await self.channel.exchange(RECORD, timeout_seconds=5)

    def count(self, outcome: str) -> float:
        """Entries by outcome, as the metric has them."""
        return self.registry.get_sample_value("tollhouse_ledger_entries_total", {"outcome": outcome}) or 0

    async def stop(self) -> None:
        await self.role.stop()
        await self.channel.close()


@pytest.fixture
async def start_ledger() -> AsyncIterator[Callable[[str], Awaitable[RunningLedger]]]:
    """Starts a ledger on a database; those still running are ended with the test."""
    running = []

    async def start(database_url: str) -> RunningLedger:
        one = RunningLedger(database_url)
        await one.role.start()
        running.append(one)
        return one

    yield start
    for one in running:
        await one.stop()


@pytest.fixture
def acknowledged() -> Callable[..., Awaitable[int]]:
    """Reads a link until a sequence is acknowledged; the last acknowledgement."""

    async def read(link: Link[ledger_pb2.RecordFrame, ledger_pb2.StoredFrame], sequence: int) -> int:
        last = 0
        while last < sequence:
            frames = await link.receive()
            assert all(before.sequence < after.sequence for before, after in pairwise(frames))
            assert frames[0].sequence > last
            last = frames[-1].sequence
        return last

    return read


@pytest.fixture
def assert_sums(sql: asyncpg.Connection) -> Callable[[], Awaitable[None]]:
    """Holds the rollups to the entries: every sum, every hour, every combination."""
    owners = "key_id, user_id, team_id, organization_id, end_user_id"
    facts = f"{owners}, deployment_id, model_group, provider, provider_model, operation, status"
    tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    sums = ("cost_nano_usd", *tokens)
    by_tag = "ledger.every_entry, jsonb_array_elements_text(tags) AS tag"

    async def compare(unit: str, tag: str, keys: str, source: str) -> None:
        added = ", ".join(f"sum({name})::bigint" for name in sums)
        # As seconds: Python's datetime ends with the year 9999, and ids do not.
        at = f"extract(epoch FROM ledger.{unit}_of(dispatch_id))"
        expected = await sql.fetch(f"SELECT {at}, {keys}, count(*), {added} FROM {source} GROUP BY {at}, {keys}")
        kept = await sql.fetch(
            f"SELECT extract(epoch FROM {unit}), {keys}, entries, {', '.join(sums)} FROM ledger.rollup_{unit}{tag}"
        )
        assert sorted(map(tuple, kept)) == sorted(map(tuple, expected))

    async def check() -> None:
        for unit in ("hour", "day"):
            await compare(unit, "", facts, "ledger.every_entry")
            await compare(unit, "_tag", f"tag, {facts}", by_tag)

    return check
