"""How entries are gathered from a link: what is read, what travels together, what is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import pytest
from gateway.v1 import ledger_pb2

from ledger.recording import MAX_BYTES, MAX_ENTRIES, Recording
from ledger.writer import Writer
from services.inprocess import InProcessLink
from services.link import LinkClosed


class HeldWriter:
    """Stands for the writer where a transaction must take as long as the test wants. `sizes`: of each batch begun."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.bytes: list[int] = []
        self.commit = asyncio.Event()

    async def write(self, entries: Sequence[ledger_pb2.Entry], is_over: Callable[[], bool]) -> bool:
        self.sizes.append(len(entries))
        self.bytes.append(sum(entry.ByteSize() for entry in entries))
        while not self.commit.is_set():
            if is_over():
                return False
            await asyncio.sleep(0.001)
        return True


class Session:
    """A recording that runs, and the router's end of its link."""

    def __init__(self) -> None:
        client: InProcessLink[Any, Any]
        client, server = InProcessLink.pair()
        self.link = client
        self.writer = HeldWriter()
        self.recording = Recording(server, cast("Writer", self.writer))
        self.running = asyncio.create_task(self.recording.run())
        self.sequence = 0

    def send(self, count: int, size: int = 0) -> None:
        for _ in range(count):
            self.sequence += 1
            entry = ledger_pb2.Entry(call_id="x" * size)
            self.link.send(ledger_pb2.RecordFrame(sequence=self.sequence, entry=entry))

    async def acknowledged(self) -> int:
        last = 0
        while last < self.sequence:
            last = (await self.link.receive())[-1].sequence
        return last


@pytest.fixture
async def session():
    one = Session()
    yield one
    one.link.end(None)
    await asyncio.wait({one.running}, timeout=5)
    assert one.running.done()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_what_arrives_during_a_transaction_travels_in_the_next(session):
    session.send(1)
    await settle()
    for _ in range(10):
        session.send(3)
        await settle()
    session.writer.commit.set()
    await session.acknowledged()
    assert session.writer.sizes == [1, 30]


async def test_nothing_is_acknowledged_before_it_is_written(session):
    session.send(5)
    reading = asyncio.create_task(session.acknowledged())
    await settle()
    assert session.writer.sizes == [5]
    assert not reading.done()
    session.writer.commit.set()
    assert await reading == 5


async def test_a_transaction_is_bounded_in_entries(session):
    session.writer.commit.set()
    session.send(3 * MAX_ENTRIES + 7)
    await session.acknowledged()
    assert session.writer.sizes == [MAX_ENTRIES] * 3 + [7]


async def test_a_transaction_is_bounded_in_bytes(session):
    session.writer.commit.set()
    session.send(20, size=200_000)
    await session.acknowledged()
    assert max(session.writer.bytes) <= MAX_BYTES + 200_100
    assert sum(session.writer.sizes) == 20


async def test_no_more_is_read_than_the_next_transaction_needs(session):
    """The rest waits in the transport, whose limits hold the sender back."""
    session.send(1)
    await settle()
    for _ in range(5):
        session.send(MAX_ENTRIES)
        await settle()
    assert len(session.recording._gathered) == MAX_ENTRIES
    session.writer.commit.set()
    await session.acknowledged()
    assert sum(session.writer.sizes) == session.sequence


async def test_a_batch_given_up_is_not_acknowledged_by_a_later_one(session):
    """Acknowledgements are cumulative: the first batch fails while stopping, the second would succeed."""
    session.send(1)
    await settle()
    session.send(1)
    await settle()
    session.recording.stop()
    await asyncio.sleep(0)
    await asyncio.wait_for(session.running, 5)
    session.writer.commit.set()
    session.link.end(None)
    with pytest.raises(LinkClosed):
        await session.link.receive()
    assert session.writer.sizes == [1]


async def test_a_link_that_ends_is_not_written_for_any_longer(session):
    session.send(1)
    await settle()
    session.send(1)
    session.link.end(None)
    with suppress(LinkClosed):
        await asyncio.wait_for(session.running, 5)
    assert session.writer.sizes == [1]


async def test_stopping_writes_what_is_here_and_ends_in_order(session):
    session.send(2)
    await settle()
    session.send(2)
    await settle()
    session.writer.commit.set()
    session.recording.stop()
    await asyncio.wait_for(session.running, 5)
    assert session.writer.sizes == [2, 2]
    assert (await session.link.receive())[-1].sequence == 4
