"""Entries as JSON, for those who get them delivered. Pure; made in threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ledger.rows import Entry
from services.entry_columns import COLUMNS, Kind, time_text
from services.money import usd_text


def object_of(entry: Entry) -> dict[str, object]:
    """An entry as a flat object, by the names of the columns of exports; money as exact text, tags as a list."""
    members: dict[str, object] = {}
    for name, kind, value_of in COLUMNS:
        value = value_of(entry)
        if kind is Kind.TIME:
            value = time_text(int(value or 0))
        elif kind is Kind.MONEY:
            value = usd_text(int(value or 0))
        members[name] = value
    members["tags"] = list(entry.principal.tags)
    return members


def parts_of(entries: Sequence[Entry], most_bytes: int) -> Iterator[bytes]:
    """Lists of entries in JSON, together all of them in their order, none longer unless a single entry is."""
    part: list[bytes] = []
    size = 0
    for entry in entries:
        one = msgspec.json.encode(object_of(entry))
        if part and size + len(one) > most_bytes:
            yield b"[" + b",".join(part) + b"]"
            part, size = [], 0
        part.append(one)
        size += len(one) + 1
    if part:
        yield b"[" + b",".join(part) + b"]"


def lines_of(entries: Sequence[Entry]) -> bytes:
    """An entry a line."""
    return b"".join(msgspec.json.encode(object_of(entry)) + b"\n" for entry in entries)
