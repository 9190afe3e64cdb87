"""The ledger's side of exports: its statement, and a page of what that gives. Pure; pages are made in threads.

A page is one statement by the primary key, from where the page before ended: no transaction and no cursor stays open
while somebody reads slowly, and a page costs the same wherever it lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.v1 import ledger_pb2

from ledger.rows import Row, entry_of
from services.link import MAX_BATCH_BYTES

# $1 from this id on, $2 after this one, $3 before this one (NULL: open), $4 how many.
EXPORT = f"""
SELECT {", ".join(Row.__struct_fields__)} FROM ledger.every_entry
WHERE ($1::uuid IS NULL OR dispatch_id >= $1) AND ($2::uuid IS NULL OR dispatch_id > $2)
  AND ($3::uuid IS NULL OR dispatch_id < $3)
ORDER BY dispatch_id LIMIT $4
"""  # noqa: S608 (from constants alone)


def page_of(rows: Iterable[Any]) -> ledger_pb2.ExportEntriesResponse:
    """The entries of records of PostgreSQL, as far as one message carries them: at least one, if there is one."""
    page = ledger_pb2.ExportEntriesResponse()
    page_bytes = 0
    for row in rows:
        entry = entry_of(dict(row))
        page_bytes += entry.ByteSize()
        if page_bytes > MAX_BATCH_BYTES and page.entries:
            break
        page.entries.append(entry)
    return page
