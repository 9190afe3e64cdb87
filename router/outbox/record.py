"""The form of a segment file: records one after the other, each

length of the payload (4 bytes, little-endian), CRC-32 of the payload (4 bytes, little-endian), payload (OutboxRecord)

A process may be killed in mid-write, so a file may end in a part of a record.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from services.link import MAX_FRAME_BYTES

# An entry must fit into one frame to the ledger, with its sequence.
MAX_RECORD_BYTES = MAX_FRAME_BYTES - 1024

_HEAD = struct.Struct("<II")
HEAD_BYTES = _HEAD.size


@dataclass(frozen=True, slots=True)
class Scan:
    """What some bytes of a segment hold.

    payloads: of its whole records. end: where they end; a part of a record may follow. damaged: what follows is no
    record, nor the beginning of one.
    """

    payloads: list[bytes]
    end: int
    damaged: bool


def encode(payload: bytes) -> bytes:
    """A payload as a record. ValueError when it is empty or larger than MAX_RECORD_BYTES."""
    if not 0 < len(payload) <= MAX_RECORD_BYTES:
        raise ValueError(f"a record of {len(payload)} bytes is not between 1 and {MAX_RECORD_BYTES}")
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def scan(data: bytes) -> Scan:
    """The records that `data`, which begins with one, holds."""
    payloads: list[bytes] = []
    start = 0
    while start + HEAD_BYTES <= len(data):
        length, checksum = _HEAD.unpack_from(data, start)
        # No record is empty: a file system that has lost power may leave zeros, whose checksum would be right.
        if not 0 < length <= MAX_RECORD_BYTES:
            return Scan(payloads, start, damaged=True)
        end = start + HEAD_BYTES + length
        if end > len(data):
            break
        payload = data[start + HEAD_BYTES : end]
        if zlib.crc32(payload) != checksum:
            return Scan(payloads, start, damaged=True)
        payloads.append(payload)
        start = end
    return Scan(payloads, start, damaged=False)
