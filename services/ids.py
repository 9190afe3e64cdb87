"""Dispatch ids: UUIDv7 (RFC 9562), 16 bytes, rising within one process, carrying the millisecond they were made."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable


class IdMint:
    """Makes ids that rise strictly, even when the clock stands still or goes back.

    The 74 bits after the time are a counter with a random start in every millisecond: 42 bits of it stay random, so
    that two processes do not meet.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._clock = clock
        self._randomness = randomness
        self._millis = 0
        self._tail = 0

    def new(self) -> bytes:
        """A new id, greater than every id that this mint has made."""
        millis = int(self._clock() * 1000)
        if millis > self._millis:
            self._millis = millis
            # The top bit stays 0, so that the counter has room to rise within the millisecond.
            self._tail = int.from_bytes(self._randomness(10), "big") & ((1 << 73) - 1)
        else:
            self._tail += 1 + int.from_bytes(self._randomness(4), "big")
            if self._tail >= 1 << 74:
                self._millis += 1
                self._tail = int.from_bytes(self._randomness(10), "big") & ((1 << 73) - 1)
        high = self._tail >> 62
        low = self._tail & ((1 << 62) - 1)
        value = (self._millis << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low
        return value.to_bytes(16, "big")


def to_text(dispatch_id: bytes) -> str:
    """The hyphenated form that people see."""
    # Not through `uuid.UUID`, which takes three times as long: every call has one.
    text = dispatch_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def from_text(text: str) -> bytes:
    """The 16 bytes of a hyphenated or plain hex form; ValueError when it is none."""
    return uuid.UUID(text).bytes


def millis_of(dispatch_id: bytes) -> int:
    """When the id was made, in milliseconds since the epoch."""
    return int.from_bytes(dispatch_id[:6], "big")


def lowest_at(millis: int) -> bytes:
    """The smallest id of a millisecond: a bound for ranges."""
    return millis.to_bytes(6, "big") + bytes(10)
