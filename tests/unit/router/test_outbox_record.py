"""The form of segment files: what is whole is read, what is not is found out."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway.v1 import ledger_pb2, router_pb2
from hypothesis import given
from hypothesis import strategies as st

from router.outbox.record import HEAD_BYTES, MAX_RECORD_BYTES, encode, scan
from router.outbox.segment import read_chunk

payloads = st.lists(st.binary(min_size=1, max_size=60), max_size=6)


def whole_records(given_payloads: list[bytes], size: int) -> list[bytes]:
    """The payloads whose records lie within the first `size` bytes."""
    kept: list[bytes] = []
    for payload in given_payloads:
        size -= HEAD_BYTES + len(payload)
        if size < 0:
            break
        kept.append(payload)
    return kept


@given(payloads, st.data())
def test_a_cut_at_any_byte_leaves_exactly_the_whole_records_before_it(given_payloads, data) -> None:
    segment = b"".join(map(encode, given_payloads))
    cut = data.draw(st.integers(0, len(segment)))
    found = scan(segment[:cut])
    assert found.payloads == whole_records(given_payloads, cut)
    assert found.end == sum(HEAD_BYTES + len(payload) for payload in found.payloads)
    assert not found.damaged


@given(payloads.filter(bool), st.data())
def test_a_changed_byte_never_passes_and_never_harms_the_records_before_it(given_payloads, data) -> None:
    segment = bytearray(b"".join(map(encode, given_payloads)))
    place = data.draw(st.integers(0, len(segment) - 1))
    segment[place] ^= data.draw(st.integers(1, 255))
    found = scan(bytes(segment))
    assert found.payloads == whole_records(given_payloads, place)
    assert found.damaged or found.end < len(segment)


@given(payloads, st.integers(1, 200))
def test_zeros_after_the_records_are_no_records(given_payloads, zeros) -> None:
    """What a file system may leave of a file after a loss of power."""
    found = scan(b"".join(map(encode, given_payloads)) + bytes(zeros))
    assert found.payloads == given_payloads
    assert found.damaged == (zeros >= HEAD_BYTES)


@pytest.mark.parametrize("size", [0, MAX_RECORD_BYTES + 1])
def test_a_record_that_could_not_be_read_is_not_written(size) -> None:
    with pytest.raises(ValueError, match="record"):
        encode(bytes(size))


def entry_record(call_id: str) -> bytes:
    record = router_pb2.OutboxRecord(entry=ledger_pb2.Entry(call_id=call_id))
    return encode(record.SerializeToString())


@given(st.lists(st.text(max_size=40), max_size=12), st.integers(1, 120), st.data())
def test_a_segment_read_in_steps_of_any_size_is_the_segment(tmp_path_factory, call_ids, step, data) -> None:
    """Also when its end was cut off: the whole records come, then the damage is told."""
    path: Path = tmp_path_factory.getbasetemp() / "steps.segment"
    segment = b"".join(map(entry_record, call_ids))
    cut = data.draw(st.integers(0, len(segment)))
    path.write_bytes(segment[:cut])
    read: list[str] = []
    offset, damaged = 0, False
    while offset < cut and not damaged:
        chunk = read_chunk(path, offset, step, cut)
        assert chunk.records or chunk.damaged
        read += [record.entry.call_id for record in chunk.records]
        offset, damaged = chunk.end, chunk.damaged
    assert read == call_ids[: len(read)]
    assert offset == len(b"".join(map(entry_record, read)))
    assert damaged == (offset < cut)
    assert len(read) == len(call_ids) or cut < offset + len(entry_record(call_ids[len(read)]))


def test_a_file_that_is_gone_or_shorter_than_known_is_damaged(tmp_path) -> None:
    path = tmp_path / "a.segment"
    assert read_chunk(path, 0, 100, 50).damaged
    first = entry_record("a")
    path.write_bytes(first)
    chunk = read_chunk(path, 0, 1000, 2 * len(first))
    assert [record.entry.call_id for record in chunk.records] == ["a"]
    assert chunk.damaged


def test_a_record_whose_checksum_is_right_but_which_is_no_message_is_damage(tmp_path) -> None:
    path = tmp_path / "a.segment"
    first, second = entry_record("a"), encode(b"\xff\xff\xff")
    path.write_bytes(first + second)
    chunk = read_chunk(path, 0, 1000, len(first + second))
    assert [record.entry.call_id for record in chunk.records] == ["a"]
    assert (chunk.end, chunk.damaged) == (len(first), True)
