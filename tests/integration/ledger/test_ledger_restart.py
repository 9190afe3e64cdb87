"""PostgreSQL is killed under load and comes back: nothing is lost, nothing is kept twice."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil
import pytest
import structlog
from gateway.v1 import ledger_pb2

import ledger as ledger_package
from services.embedded.account import server_account
from services.embedded.postgres import EmbeddedPostgres
from services.errors import GatewayError, Reason
from services.link import LinkClosed
from services.methods import SUM_SPEND
from services.postgres import migrate

MIGRATIONS = Path(ledger_package.__file__).parent / "migrations"


@pytest.fixture
async def own_postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A server of the test's own, durable, since it will be killed."""
    folder = Path(tempfile.mkdtemp(prefix="tollhouse-test-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder, server_account())
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)
    shutil.rmtree(folder)


async def kill_and_wait(server: EmbeddedPostgres) -> None:
    """All of its processes at once: one whose postmaster is killed first may still commit what it is at."""
    postmaster = psutil.Process(server.pid)
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    await asyncio.to_thread(psutil.wait_procs, processes, 30)
    await asyncio.to_thread(server.stop)


async def test_a_killed_postgres_loses_nothing_and_counts_nothing_twice(own_postgres, start_ledger, new_entry):
    url = own_postgres.database_url
    await migrate(url, "ledger", MIGRATIONS, structlog.get_logger())
    ledger = await start_ledger(url)
    link = await ledger.link()
    total = 3_000
    acknowledged = 0
    enough = asyncio.Event()

    async def send() -> None:
        for sequence in range(1, total + 1):
            link.send(ledger_pb2.RecordFrame(sequence=sequence, entry=new_entry(cost_nano_usd=sequence, tags=("t",))))
            if sequence % 20 == 0:
                await asyncio.sleep(0.005)

    async def receive() -> None:
        nonlocal acknowledged
        while acknowledged < total:
            acknowledged = (await link.receive())[-1].sequence
            if acknowledged >= 500:
                enough.set()

    sending, receiving = asyncio.create_task(send()), asyncio.create_task(receive())
    await asyncio.wait_for(enough.wait(), 60)
    await kill_and_wait(own_postgres)
    # What was committed may still have been on its way to the ledger, and from it to here.
    await asyncio.sleep(0.3)
    before = acknowledged
    with pytest.raises(GatewayError) as away:
        await ledger.channel.call(SUM_SPEND, ledger_pb2.SumSpendRequest(), timeout_seconds=10)
    assert away.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    await asyncio.sleep(0.3)
    assert acknowledged == before < total, "nothing may be acknowledged while PostgreSQL is away"
    assert not link.closed

    await asyncio.to_thread(own_postgres.start)
    await asyncio.wait_for(asyncio.gather(sending, receiving), 60)
    connection = await asyncpg.connect(own_postgres.database_url)
    expected = (total, total * (total + 1) // 2)
    for query in (
        "SELECT count(*), sum(cost_nano_usd)::bigint FROM ledger.entries",
        "SELECT sum(entries)::bigint, sum(cost_nano_usd)::bigint FROM ledger.rollup_hour",
        "SELECT sum(entries)::bigint, sum(cost_nano_usd)::bigint FROM ledger.rollup_hour_tag",
    ):
        assert tuple(await connection.fetchrow(query)) == expected
    await connection.close()


async def test_a_ledger_starts_before_postgres_and_before_its_migrations(
    own_postgres, start_ledger, new_entry, acknowledged
):
    """It waits for both by itself; meanwhile a link stays open and nothing is acknowledged."""
    url = own_postgres.database_url
    await asyncio.to_thread(own_postgres.stop)
    ledger = await start_ledger(url)
    link = await ledger.link()
    link.send(ledger_pb2.RecordFrame(sequence=1, entry=new_entry()))
    reading = asyncio.create_task(acknowledged(link, 1))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(own_postgres.start)
    await asyncio.sleep(0.5)
    assert not reading.done()
    await migrate(url, "ledger", MIGRATIONS, structlog.get_logger())
    await asyncio.wait_for(reading, 60)
    assert ledger.count("stored") == 1


async def test_a_ledger_stops_in_time_while_postgres_is_away(own_postgres, start_ledger, new_entry):
    """What it holds stays with the router, unacknowledged."""
    url = own_postgres.database_url
    await migrate(url, "ledger", MIGRATIONS, structlog.get_logger())
    ledger = await start_ledger(url)
    link = await ledger.link()
    await asyncio.to_thread(own_postgres.stop)
    link.send(ledger_pb2.RecordFrame(sequence=1, entry=new_entry()))
    await asyncio.sleep(0.1)
    await asyncio.wait_for(ledger.role.stop(), 10)
    with pytest.raises(LinkClosed):
        await link.receive()
