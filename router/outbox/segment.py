"""Segment files: the one that this process writes now, those it has written, and those that others left."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.v1 import router_pb2
from google.protobuf.message import DecodeError

from router.outbox.record import HEAD_BYTES, MAX_RECORD_BYTES, scan


@dataclass(slots=True, eq=False)
class Segment:
    """What is known of one of this process's segments.

    first, last: sequences of its first record, and of its last one that is written. last_entry: of its last entry
    that is written; 0: none. size: of what is written. open: how many dispatches have their `opened` in it, and no
    entry yet.
    """

    path: Path
    first: int
    created_seconds: float
    last: int = 0
    last_entry: int = 0
    size: int = 0
    open: int = 0


class SegmentWriter:
    """The file of one segment. It is made with the first write, so that a full disk shows only there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def write(self, buffer: bytearray) -> None:
        """Write the buffer and empty it. After an OSError it holds what is left, and can be tried again."""
        if self._file < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        while buffer:
            del buffer[: os.write(self._file, buffer)]

    def close(self) -> None:
        """No more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of a segment, from some offset to `end`. damaged: nothing after `end` can be read."""

    records: list[router_pb2.OutboxRecord]
    end: int
    damaged: bool


def read_chunk(path: Path, offset: int, max_bytes: int, size: int) -> Chunk:
    """The records from `offset` on, of a segment that is known to be `size` bytes long.

    As many as lie within `max_bytes`, at least one if there is one. A file that is gone or shorter is damaged.
    """
    expected = min(max_bytes, size - offset)
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(expected)
            found = scan(data)
            if not found.payloads and not found.damaged:
                # The next record is larger than what was asked for.
                expected = min(HEAD_BYTES + MAX_RECORD_BYTES, size - offset)
                data += file.read(expected - len(data))
                found = scan(data)
    except OSError:
        return Chunk([], offset, damaged=True)
    records: list[router_pb2.OutboxRecord] = []
    end = offset
    for payload in found.payloads:
        try:
            records.append(router_pb2.OutboxRecord.FromString(payload))
        except DecodeError:
            return Chunk(records, end, damaged=True)
        end += HEAD_BYTES + len(payload)
    is_cut = len(data) < expected or (offset + len(data) == size and end < size)
    return Chunk(records, end, damaged=found.damaged or is_cut)
