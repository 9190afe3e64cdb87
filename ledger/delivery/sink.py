"""What a delivery goes to, and how it can fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ledger.rows import Entry


class NotTaken(Exception):
    """Not this batch, however often it comes; others may be taken. The message says why."""


class Sink(Protocol):
    """One receiver. name: under which PostgreSQL remembers what it has not got. most_entries: of one delivery.
    wait_seconds: how long entries may wait for others to travel with."""

    name: str
    most_entries: int
    wait_seconds: float

    async def deliver(self, key: str, entries: Sequence[Entry]) -> None:
        """Hand over entries in the order of their ids. key: the same for the same entries. Raises Later, NotTaken."""

    async def close(self) -> None:
        """End its connections."""
