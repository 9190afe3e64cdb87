"""The outbox on a real file system: commits, order, deletion of segments, the limit, a disk that refuses writes."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path

import pytest
from gateway.v1 import ledger_pb2

from router.outbox.journal import Limits
from router.outbox.record import scan
from services.errors import GatewayError, Reason

ONE_RECORD = Limits(segment_bytes=1)
TAKE = 1024 * 1024


def segments(path: Path) -> list[str]:
    return sorted(file.name for file in path.glob("*.segment"))


def interrupted(entry: ledger_pb2.Entry) -> ledger_pb2.Entry:
    """The `opened` that belongs to an entry."""
    return ledger_pb2.Entry(dispatch_id=entry.dispatch_id, status=ledger_pb2.ENTRY_STATUS_INTERRUPTED)


async def put(outbox, *entries: ledger_pb2.Entry) -> int:
    """Append and commit; the last sequence."""
    for entry in entries:
        sequence = outbox.append(entry)
    await outbox.committed(sequence)
    return sequence


async def drain(outbox, consumer: str, count: int, max_bytes: int = TAKE) -> list[ledger_pb2.Entry]:
    """Take `count` entries, acknowledging each batch."""
    entries: list[ledger_pb2.Entry] = []
    while len(entries) < count:
        taken = await asyncio.wait_for(outbox.take(consumer, max_bytes), 5)
        entries += [entry for _, entry in taken]
        outbox.ack(consumer, taken[-1][0])
    return entries


async def test_what_is_committed_is_in_the_file(new_outbox, new_entry) -> None:
    outbox = new_outbox().outbox
    entry = new_entry()
    outbox.opened(interrupted(entry))
    sequence = outbox.append(entry)
    (name,) = [outbox.path / f"{1:020d}.segment"]
    assert not name.exists()
    await outbox.committed(sequence)
    assert len(scan(name.read_bytes()).payloads) == 2


async def test_records_of_a_tick_go_out_in_one_write(new_outbox, new_entry, monkeypatch) -> None:
    writes = []
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: writes.append(len(data)) or real_write(file, data))
    outbox = new_outbox().outbox
    await asyncio.gather(*(put(outbox, new_entry()) for _ in range(100)))
    assert len(writes) == 1


async def test_each_consumer_gets_every_entry_in_order_and_no_opened(new_outbox, new_entry) -> None:
    outbox = new_outbox().outbox
    entries = [new_entry(call_id=str(number)) for number in range(20)]
    for entry in entries:
        outbox.opened(interrupted(entry))
    await put(outbox, *entries)
    assert await drain(outbox, "ledger", 20) == entries
    assert await drain(outbox, "keystore", 20, max_bytes=1) == entries


async def test_a_consumer_waits_for_the_first_entry(new_outbox, new_entry) -> None:
    outbox = new_outbox().outbox
    waiting = asyncio.create_task(outbox.take("ledger", TAKE))
    entry = new_entry()
    outbox.opened(interrupted(entry))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    sequence = outbox.append(entry)
    assert await asyncio.wait_for(waiting, 5) == [(sequence, entry)]


async def test_a_consumer_that_is_far_behind_reads_files_and_then_memory(new_outbox, new_entry) -> None:
    """The memory holds a tenth of the entries here; none is left out or given twice where one ends."""
    outbox = new_outbox(limits=Limits(segment_bytes=2_000), tail_bytes=1_000).outbox
    entries = [new_entry(call_id=str(number)) for number in range(300)]
    for entry in entries[:200]:
        outbox.opened(interrupted(entry))
        await put(outbox, entry)
    assert len(segments(outbox.path)) > 3
    first = await drain(outbox, "ledger", 1, max_bytes=300)
    for entry in entries[200:]:
        await put(outbox, entry)
    assert first + await drain(outbox, "ledger", 300 - len(first), max_bytes=300) == entries
    assert await drain(outbox, "keystore", 300) == entries


async def test_after_a_rewind_what_was_not_acknowledged_comes_again(new_outbox, new_entry) -> None:
    for tail_bytes in (1, TAKE):  # from files, and from memory
        outbox = new_outbox(tail_bytes=tail_bytes).outbox
        entries = [new_entry() for _ in range(10)]
        first = await put(outbox, *entries) - 9
        taken = []
        while len(taken) < 10:
            taken += await outbox.take("ledger", 1)
        assert [sequence for sequence, _ in taken] == list(range(first, first + 10))
        outbox.ack("ledger", first + 3)
        outbox.rewind("ledger")
        assert (await drain(outbox, "ledger", 6))[:6] == entries[4:]


async def test_acknowledging_more_than_was_taken_acknowledges_what_was_taken(new_outbox, new_entry) -> None:
    outbox = new_outbox().outbox
    entries = [new_entry(), new_entry()]
    last = await put(outbox, *entries)
    await outbox.take("ledger", 1)
    outbox.ack("ledger", last)
    outbox.rewind("ledger")
    assert await outbox.take("ledger", TAKE) == [(last, entries[1])]


async def test_a_segment_is_deleted_when_both_consumers_have_passed_it(new_outbox, new_entry) -> None:
    outbox = new_outbox(limits=ONE_RECORD).outbox
    for _ in range(3):
        await put(outbox, new_entry())
    names = segments(outbox.path)
    assert len(names) == 3
    await drain(outbox, "ledger", 3)
    assert segments(outbox.path) == names
    await outbox.take("keystore", TAKE)
    outbox.ack("keystore", 2)
    assert segments(outbox.path) == names[2:]
    outbox.ack("keystore", 3)
    assert segments(outbox.path) == []


async def test_a_segment_stays_while_a_dispatch_that_it_opened_is_open(new_outbox, new_entry) -> None:
    """And the later ones go: one long call does not fill the disk."""
    outbox = new_outbox(limits=ONE_RECORD).outbox
    long = new_entry()
    await outbox.committed(outbox.opened(interrupted(long)))
    await put(outbox, new_entry())
    await drain(outbox, "ledger", 1)
    await drain(outbox, "keystore", 1)
    assert segments(outbox.path) == [f"{1:020d}.segment"]
    sequence = outbox.append(long)
    assert segments(outbox.path) == [f"{1:020d}.segment"], "its entry is not written yet"
    await outbox.committed(sequence)
    assert segments(outbox.path) == [f"{sequence:020d}.segment"]


async def test_a_dispatch_that_is_opened_again_needs_only_the_newer_one(new_outbox, new_entry) -> None:
    outbox = new_outbox(limits=ONE_RECORD).outbox
    entry = new_entry()
    await outbox.committed(outbox.opened(interrupted(entry)))
    await outbox.committed(outbox.opened(interrupted(entry)))
    assert segments(outbox.path) == [f"{2:020d}.segment"]


async def test_a_segment_ends_by_age_too(new_outbox, new_entry) -> None:
    now = 0.0
    outbox = new_outbox(clock=lambda: now).outbox
    await put(outbox, new_entry())
    now = 59.0
    await put(outbox, new_entry())
    assert len(segments(outbox.path)) == 1
    now = 61.0
    await put(outbox, new_entry())
    await put(outbox, new_entry())
    assert len(segments(outbox.path)) == 2


async def test_delivered_waits_for_what_is_there_now(new_outbox, new_entry) -> None:
    outbox = new_outbox().outbox
    await asyncio.wait_for(outbox.delivered("ledger"), 5)
    await put(outbox, new_entry(), new_entry())
    waiting = asyncio.create_task(outbox.delivered("ledger"))
    await asyncio.sleep(0)
    taken = await outbox.take("ledger", TAKE)
    await put(outbox, new_entry())
    outbox.ack("ledger", taken[0][0])
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.ack("ledger", taken[1][0])
    await asyncio.wait_for(waiting, 5)


async def test_a_full_outbox_takes_no_new_dispatches_but_lets_the_open_ones_end(new_outbox, new_entry) -> None:
    outbox = new_outbox(limits=Limits(bytes=500, segment_bytes=1)).outbox
    running = new_entry()
    outbox.opened(interrupted(running))
    filling = [new_entry(call_id="x" * 100) for _ in range(4)]
    for entry in filling:
        await put(outbox, entry)
    for refused in (outbox.opened, outbox.append):
        with pytest.raises(GatewayError) as raised:
            refused(new_entry())
        assert raised.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    outbox.opened(interrupted(running))
    await put(outbox, running)
    for consumer in ("ledger", "keystore"):
        assert await drain(outbox, consumer, 5) == [*filling, running]
    await put(outbox, new_entry())


async def test_a_disk_that_refuses_writes_stops_new_calls_until_it_takes_them(
    new_outbox, new_entry, monkeypatch
) -> None:
    """What could not be written is kept, and written whole: also when a part of it got through."""
    monkeypatch.setattr("router.outbox.journal.RETRY_SECONDS", 0.01)
    opened = new_outbox()
    outbox = opened.outbox
    await put(outbox, new_entry())
    real_write = os.write
    writes = iter([10])

    def refuse(file: int, data: bytes) -> int:
        size = next(writes, 0)
        if not size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(file, memoryview(data)[:size])

    running = new_entry()
    outbox.opened(interrupted(running))
    monkeypatch.setattr(os, "write", refuse)
    sequence = outbox.append(running)
    with pytest.raises(GatewayError, match="disk"):
        await outbox.committed(sequence)
    for refused in (outbox.opened, outbox.append):
        with pytest.raises(GatewayError, match="disk"):
            refused(new_entry())
    assert opened.count("write_errors") >= 1
    monkeypatch.setattr(os, "write", real_write)
    async with asyncio.timeout(5):
        while True:
            try:
                await put(outbox, new_entry(call_id="after"))
                break
            except GatewayError:
                await asyncio.sleep(0.01)
    found = scan((outbox.path / f"{1:020d}.segment").read_bytes())
    assert (len(found.payloads), found.damaged) == (4, False)
    assert [entry.call_id for entry in await drain(outbox, "ledger", 3)] == ["", "", "after"]


async def test_a_damaged_segment_is_told_and_passed_over(new_outbox, new_entry) -> None:
    opened = new_outbox(limits=Limits(segment_bytes=200), tail_bytes=1)
    outbox = opened.outbox
    entries = [new_entry(call_id=str(number)) for number in range(12)]
    for entry in entries:
        await put(outbox, entry)
    first = outbox.path / f"{1:020d}.segment"
    data = bytearray(first.read_bytes())
    in_first = len(scan(data).payloads)
    assert in_first > 2
    data[len(data) // in_first + 12] ^= 1  # in the second record
    first.write_bytes(data)
    assert await drain(outbox, "ledger", 12 - in_first + 1) == [entries[0], *entries[in_first:]]
    assert opened.count("damaged") == 1


async def test_an_outbox_without_entries_leaves_nothing_behind(new_outbox, new_entry) -> None:
    outbox = new_outbox().outbox
    entry = new_entry()
    outbox.opened(interrupted(entry))
    await put(outbox, entry)
    await drain(outbox, "ledger", 1)
    await drain(outbox, "keystore", 1)
    outbox.close()
    assert list(outbox.root.iterdir()) == []
    with pytest.raises(GatewayError, match="closed"):
        outbox.append(new_entry())


async def test_a_closed_outbox_leaves_what_is_not_delivered(new_outbox, new_entry) -> None:
    """Also what was appended a moment before."""
    outbox = new_outbox().outbox
    outbox.append(new_entry())
    outbox.close()
    (name,) = segments(outbox.path)
    assert len(scan((outbox.path / name).read_bytes()).payloads) == 1


async def test_a_closed_outbox_leaves_what_is_still_open(new_outbox, new_entry) -> None:
    """Its dispatch is interrupted, for whoever takes the folder over."""
    outbox = new_outbox().outbox
    await put(outbox, new_entry())
    for consumer in ("ledger", "keystore"):
        await drain(outbox, consumer, 1)
    outbox.opened(interrupted(new_entry()))
    outbox.close()
    assert len(segments(outbox.path)) == 1


async def test_what_a_call_costs_here(new_outbox, new_entry) -> None:
    """Prints it (pytest -s): `opened`, entry and commit, 64 calls at once. 15 us is the aim; nothing is asserted."""
    outbox = new_outbox().outbox
    entries = [new_entry(call_id="call-0123456789", deployment_id="d" * 32) for _ in range(6_400)]

    async def call(entry: ledger_pb2.Entry) -> None:
        outbox.opened(entry)
        await outbox.committed(outbox.append(entry))

    began = time.process_time()
    for start in range(0, len(entries), 64):
        await asyncio.gather(*(call(entry) for entry in entries[start : start + 64]))
    spent_us = (time.process_time() - began) / len(entries) * 1e6
    print(f"\nopened + append + commit: {spent_us:.1f} us of CPU a call, with its task")
    assert outbox.last_sequence == 2 * len(entries)
