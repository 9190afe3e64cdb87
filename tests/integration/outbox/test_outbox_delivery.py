"""Entries reach the ledger: all of them, in order, again after a break, and never more at once than it can gather."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import structlog
from gateway.v1 import ledger_pb2
from prometheus_client import CollectorRegistry

import ledger
from ledger.main import build
from router import delivery
from router.delivery import LedgerDelivery
from services.config import Config
from services.errors import unavailable
from services.inprocess import InProcessChannel
from services.lifecycle import Runtime
from services.methods import RECORD
from services.postgres import migrate
from services.settings import Settings


class ScriptedLedger:
    """Keeps what arrives. It stores, and says so, while `stores` is set; `cut` ends the link."""

    def __init__(self) -> None:
        self.channel = InProcessChannel({RECORD: self.record}, structlog.get_logger())
        self.stores = asyncio.Event()
        self.stores.set()
        self.arrived: list[ledger_pb2.Entry] = []
        # How many frames came together.
        self.batches: list[int] = []
        self.links = 0
        self._link = None
        self._last = 0

    async def record(self, link) -> None:
        self.links += 1
        self._link = link
        while True:
            frames = await link.receive()
            self.batches.append(len(frames))
            self.arrived += [frame.entry for frame in frames]
            self._last = frames[-1].sequence
            if self.stores.is_set():
                self.store()

    def store(self) -> None:
        """Say that all that has arrived is stored."""
        self.stores.set()
        self._link.send(ledger_pb2.StoredFrame(sequence=self._last))

    def cut(self) -> None:
        self._link.end(unavailable("cut"))

    async def has(self, count: int) -> None:
        """Until so many entries have arrived."""
        async with asyncio.timeout(10):
            while len(self.arrived) < count:
                await asyncio.sleep(0.005)


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedLedger]:
    scripted_ledger = ScriptedLedger()
    yield scripted_ledger
    await scripted_ledger.channel.close()


async def put(outbox, *entries: ledger_pb2.Entry) -> None:
    for entry in entries:
        sequence = outbox.append(entry)
    await outbox.committed(sequence)


async def test_entries_arrive_in_order_and_are_acknowledged(new_outbox, new_entry, scripted) -> None:
    outbox = new_outbox().outbox
    entries = [new_entry() for _ in range(1_200)]
    await put(outbox, *entries[:700])
    delivering = LedgerDelivery(scripted.channel, outbox, structlog.get_logger())
    await delivering.start()
    await put(outbox, *entries[700:])
    await delivering.stop(5)
    assert scripted.arrived == entries
    await asyncio.wait_for(outbox.delivered("ledger"), 1)


async def test_entries_that_come_one_by_one_travel_together(new_outbox, new_entry, scripted) -> None:
    outbox = new_outbox().outbox
    delivering = LedgerDelivery(scripted.channel, outbox, structlog.get_logger())
    await delivering.start()
    for _ in range(50):
        await put(outbox, new_entry())
        await asyncio.sleep(0.001)
    await scripted.has(50)
    await delivering.stop(5)
    assert len(scripted.batches) <= 10


async def test_after_a_break_what_is_not_acknowledged_is_sent_again(new_outbox, new_entry, scripted) -> None:
    outbox = new_outbox().outbox
    entries = [new_entry() for _ in range(30)]
    delivering = LedgerDelivery(scripted.channel, outbox, structlog.get_logger())
    await delivering.start()
    await put(outbox, *entries[:10])
    await asyncio.wait_for(outbox.delivered("ledger"), 5)
    scripted.stores.clear()
    await put(outbox, *entries[10:])
    await scripted.has(30)
    scripted.stores.set()
    scripted.cut()
    await asyncio.wait_for(outbox.delivered("ledger"), 10)
    await delivering.stop(5)
    assert scripted.links == 2
    assert scripted.arrived == entries + entries[10:]


async def test_a_ledger_that_stores_nothing_is_sent_no_more_than_it_may_gather(
    new_outbox, new_entry, scripted, monkeypatch
) -> None:
    monkeypatch.setattr(delivery, "MAX_UNACKNOWLEDGED", 100)
    monkeypatch.setattr(delivery, "GATHER_SECONDS", 0.001)
    monkeypatch.setattr(delivery, "TAKE_BYTES", 1_000)
    outbox = new_outbox().outbox
    entries = [new_entry() for _ in range(500)]
    scripted.stores.clear()
    delivering = LedgerDelivery(scripted.channel, outbox, structlog.get_logger())
    await delivering.start()
    await put(outbox, *entries)
    await scripted.has(100)
    await asyncio.sleep(0.1)
    assert 100 <= len(scripted.arrived) < 150
    scripted.store()
    await asyncio.wait_for(outbox.delivered("ledger"), 10)
    await delivering.stop(5)
    assert scripted.arrived == entries


async def test_a_stop_waits_no_longer_than_it_may_and_the_entries_stay(new_outbox, new_entry, scripted) -> None:
    outbox = new_outbox().outbox
    entry = new_entry()
    scripted.stores.clear()
    delivering = LedgerDelivery(scripted.channel, outbox, structlog.get_logger())
    await delivering.start()
    await put(outbox, entry)
    await asyncio.wait_for(delivering.stop(0.1), 5)
    outbox.close()
    successor = new_outbox()
    await successor.adoption.run_once()
    assert [taken for _, taken in await successor.outbox.take("ledger", 1_000)] == [entry]


async def test_the_real_ledger_has_every_entry_once_though_it_was_away(new_outbox, new_entry, database_url) -> None:
    """It stops in the middle and comes back; the outbox is then lost, taken over, and delivers all again."""
    log = structlog.get_logger()
    await migrate(database_url, "ledger", Path(ledger.__file__).parent / "migrations", log)
    settings = Settings(database_url=database_url)

    async def start():
        role = build(Runtime(Config(), settings, log, CollectorRegistry(), {}))
        await role.start()
        return role, InProcessChannel(role.handlers, log)

    entries = [new_entry() for _ in range(300)]
    first = new_outbox()
    role, channel = await start()
    delivering = LedgerDelivery(channel, first.outbox, log)
    await delivering.start()
    await put(first.outbox, *entries[:100])
    await asyncio.wait_for(first.outbox.delivered("ledger"), 10)
    await channel.close()
    await role.stop()
    await put(first.outbox, *entries[100:200])
    await delivering.stop(0.1)
    first.lose()

    role, channel = await start()
    second = new_outbox()
    delivering = LedgerDelivery(channel, second.outbox, log)
    await delivering.start()
    await second.adoption.run_once()
    await put(second.outbox, *entries[200:])
    await delivering.stop(20)
    await channel.close()
    await role.stop()
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT dispatch_id, cost_nano_usd FROM ledger.entries")
    await connection.close()
    assert len(rows) == 300
    assert {row["dispatch_id"].bytes for row in rows} == {entry.dispatch_id for entry in entries}
    assert sum(row["cost_nano_usd"] for row in rows) == 2_100
