"""The youngest entries of the outbox, in memory: consumers that keep up never read a file."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter

from gateway.v1 import ledger_pb2

# About 30,000 entries: some ten seconds at full load. As Python objects they take about twice as much.
MAX_TAIL_BYTES = 16 * 1024 * 1024

_sequence = itemgetter(0)


class Tail:
    """Entries by sequence. `after`: every entry with a greater sequence is here."""

    def __init__(self, max_bytes: int = MAX_TAIL_BYTES) -> None:
        self.after = 0
        self._max_bytes = max_bytes
        self._bytes = 0
        # (sequence, entry, size)
        self._items: list[tuple[int, ledger_pb2.Entry, int]] = []

    def add(self, sequence: int, entry: ledger_pb2.Entry, size: int) -> None:
        """The next entry; the oldest make room for it."""
        self._items.append((sequence, entry, size))
        self._bytes += size
        if self._bytes > self._max_bytes:
            self._shrink()

    def read(self, after: int, max_bytes: int) -> list[tuple[int, ledger_pb2.Entry]]:
        """Entries after a sequence, in order: as many as fit into `max_bytes`, at least one if there is one."""
        taken: list[tuple[int, ledger_pb2.Entry]] = []
        taken_bytes = 0
        for index in range(bisect_right(self._items, after, key=_sequence), len(self._items)):
            sequence, entry, size = self._items[index]
            taken_bytes += size
            if taken and taken_bytes > max_bytes:
                break
            taken.append((sequence, entry))
        return taken

    def drop(self, through: int) -> None:
        """Nobody will ask for entries up to `through` again."""
        self._drop_first(bisect_right(self._items, through, key=_sequence))

    def _shrink(self) -> None:
        # To half, so that a list of this length is not moved for every entry.
        excess = self._bytes - self._max_bytes // 2
        count = 0
        while excess > 0:
            excess -= self._items[count][2]
            count += 1
        self._drop_first(count)

    def _drop_first(self, count: int) -> None:
        if count:
            self.after = self._items[count - 1][0]
            self._bytes -= sum(size for _, _, size in self._items[:count])
            del self._items[:count]
