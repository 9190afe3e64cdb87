"""Folders of processes that are gone are taken over: nothing that was committed is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import collections
import sys
from pathlib import Path

import pytest
from gateway.v1 import ledger_pb2

from router.outbox import folder
from router.outbox.journal import Limits

INTERRUPTED, SUCCESS = ledger_pb2.ENTRY_STATUS_INTERRUPTED, ledger_pb2.ENTRY_STATUS_SUCCESS


async def entries_of(outbox) -> list[ledger_pb2.Entry]:
    """Every entry that is in an outbox now."""
    outbox.rewind("ledger")
    entries: list[ledger_pb2.Entry] = []
    while True:
        try:
            taken = await asyncio.wait_for(outbox.take("ledger", 100_000), 0.1)
        except TimeoutError:
            return entries
        entries += [entry for _, entry in taken]


def interrupted(entry: ledger_pb2.Entry) -> ledger_pb2.Entry:
    return ledger_pb2.Entry(dispatch_id=entry.dispatch_id, status=INTERRUPTED)


@pytest.mark.parametrize("lines", [1, 40, 400, 1500])
async def test_after_a_kill_every_reported_entry_is_there_once(new_outbox, tmp_path, lines) -> None:
    """A real process, killed at different moments. What it had opened is interrupted, unless its entry was written."""
    root = tmp_path / "outbox"
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, Path(__file__).with_name("writer.py"), root),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    reported: dict[str, set[bytes]] = {"opened": set(), "committed": set()}
    for number in range(100_000):
        if number == lines:
            writer.kill()
        line = await asyncio.wait_for(writer.stdout.readline(), 30)
        if not line.endswith(b"\n"):
            break
        word, dispatch_id = line.decode().split()
        reported[word].add(bytes.fromhex(dispatch_id))
    await writer.wait()

    opened = new_outbox()
    await opened.adoption.run_once()
    entries = await entries_of(opened.outbox)
    times = collections.Counter(entry.dispatch_id for entry in entries)
    assert set(times.values()) <= {1}
    by_id = {entry.dispatch_id: entry for entry in entries}
    assert reported["committed"] <= {name for name, entry in by_id.items() if entry.status == SUCCESS}
    assert set(by_id) <= reported["opened"]
    for entry in entries:
        assert (entry.status, entry.cost_nano_usd, entry.estimated) in ((SUCCESS, 9, False), (INTERRUPTED, 5, True))
    assert opened.count("adopted") == 1
    assert opened.count("interrupted") == sum(entry.status == INTERRUPTED for entry in entries)
    assert [path for path in root.iterdir() if path.is_dir()] == [opened.outbox.path]


async def test_a_folder_whose_process_lives_is_left_alone(new_outbox, new_entry) -> None:
    living, other = new_outbox(), new_outbox()
    entry = new_entry()
    await living.outbox.committed(living.outbox.append(entry))
    await other.adoption.run_once()
    assert await entries_of(other.outbox) == []
    assert await entries_of(living.outbox) == [entry]


async def test_of_two_processes_one_takes_a_folder_over(new_outbox, new_entry) -> None:
    lost = new_outbox()
    entry = new_entry()
    await lost.outbox.committed(lost.outbox.append(entry))
    lost.lose()
    adopters = [new_outbox(), new_outbox()]
    await asyncio.gather(*(each.adoption.run_once() for each in adopters))
    assert [entry for each in adopters for entry in await entries_of(each.outbox)] == [entry]


async def test_what_was_in_flight_becomes_the_entry_that_was_last_opened(new_outbox, new_entry) -> None:
    lost = new_outbox(limits=Limits(segment_bytes=1))
    ended, first_try = new_entry(), new_entry()
    second_try = interrupted(first_try)
    second_try.deployment_id = "d2"
    lost.outbox.opened(interrupted(ended))
    await lost.outbox.committed(lost.outbox.opened(interrupted(first_try)))
    lost.outbox.append(ended)
    await lost.outbox.committed(lost.outbox.opened(second_try))
    lost.lose()
    adopter = new_outbox()
    await adopter.adoption.run_once()
    assert await entries_of(adopter.outbox) == [ended, second_try]


async def test_a_cut_or_damaged_segment_costs_only_what_follows_in_it(new_outbox, new_entry) -> None:
    lost = new_outbox(limits=Limits(segment_bytes=200))
    entries = [new_entry(call_id=str(number)) for number in range(12)]
    for entry in entries:
        await lost.outbox.committed(lost.outbox.append(entry))
    first, second = sorted(lost.outbox.path.glob("*.segment"))[:2]
    lost.lose()
    data = first.read_bytes()
    in_first = int(second.stem) - 1
    first.write_bytes(data[:-1])
    adopter = new_outbox()
    await adopter.adoption.run_once()
    assert await entries_of(adopter.outbox) == entries[: in_first - 1] + entries[in_first:]
    assert adopter.count("damaged") == 1


async def test_a_full_outbox_leaves_a_folder_for_later(new_outbox, new_entry) -> None:
    lost = new_outbox()
    entry = new_entry()
    await lost.outbox.committed(lost.outbox.append(entry))
    lost.lose()
    adopter = new_outbox(limits=Limits(bytes=1, segment_bytes=1))
    own = new_entry()
    await adopter.outbox.committed(adopter.outbox.append(own))
    await adopter.adoption.run_once()
    assert await entries_of(adopter.outbox) == [own]
    adopter.outbox.ack("ledger", 1)
    await adopter.outbox.take("keystore", 1)
    adopter.outbox.ack("keystore", 1)
    await adopter.adoption.run_once()
    assert await entries_of(adopter.outbox) == [entry]


async def test_an_adoption_that_is_cut_off_is_done_again_by_another(new_outbox, new_entry, monkeypatch) -> None:
    """The disk says no before the folder is deleted: it stays, and is free."""
    lost = new_outbox()
    entry = new_entry()
    await lost.outbox.committed(lost.outbox.append(entry))
    lost.lose()
    first, second = new_outbox(), new_outbox()

    async def refuse(since: int) -> None:
        raise OSError("no")

    monkeypatch.setattr(first.outbox, "sync", refuse)
    await first.adoption.run_once()
    assert lost.outbox.path.exists()
    await second.adoption.run_once()
    assert not lost.outbox.path.exists()
    assert await entries_of(first.outbox) == [entry]
    assert await entries_of(second.outbox) == [entry]


async def test_a_folder_is_deleted_from_its_oldest_segment_on(new_outbox, new_entry, monkeypatch) -> None:
    """An `opened` never outlives its entry: what is taken over half deleted must not say `interrupted`."""
    lost = new_outbox(limits=Limits(segment_bytes=1))
    for _ in range(3):
        await lost.outbox.committed(lost.outbox.append(new_entry()))
    lost.lose()
    deleted: list[str] = []
    real_unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **options: deleted.append(path.name) or real_unlink(path))
    await new_outbox().adoption.run_once()
    assert deleted == [f"{number:020d}.segment" for number in (1, 2, 3)] + ["lock"]


async def test_a_folder_that_another_has_just_deleted_is_not_taken_over(new_outbox, tmp_path, monkeypatch) -> None:
    lost = new_outbox()
    lost.lose()
    path = lost.outbox.path
    real_flock = folder.fcntl.flock

    def deleted_meanwhile(lock: int, operation: int) -> None:
        real_flock(lock, operation)
        (path / folder.LOCK).unlink()

    monkeypatch.setattr(folder.fcntl, "flock", deleted_meanwhile)
    assert folder.take_over(path) is None
    assert folder.take_over(path) is None, "without a lock file it is what is left of a deletion"
    assert not path.exists()


async def test_what_is_no_outbox_is_not_touched(new_outbox) -> None:
    """The root may be a volume of its own."""
    adopter = new_outbox()
    for name in ("lost+found", ".new-0123456789abcdef0123456789abcdef"):
        (adopter.outbox.root / name).mkdir()
    await adopter.adoption.run_once()
    assert len(list(adopter.outbox.root.iterdir())) == 3


async def test_adoption_begins_at_the_start(new_outbox, new_entry) -> None:
    lost = new_outbox()
    entry = new_entry()
    await lost.outbox.committed(lost.outbox.append(entry))
    lost.lose()
    adopter = new_outbox()
    await adopter.adoption.start()
    taken = await asyncio.wait_for(adopter.outbox.take("ledger", 1000), 5)
    await adopter.adoption.stop()
    assert [entry for _, entry in taken] == [entry]
