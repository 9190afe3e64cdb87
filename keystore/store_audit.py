"""The audit log in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass

from keystore.columns import millis_of, time_of
from keystore.rows import AuditRow
from keystore.sql import Asks

# When, by whom, what; then kinds, ids, and how they were before and after.
APPEND = """
INSERT INTO keystore.audit (at, changed_by, action, object_kind, object_id, before, after)
SELECT $1, $2, $3, line.* FROM unnest($4::text[], $5::text[], $6::jsonb[], $7::jsonb[]) AS line
"""

# What is NULL is not asked for.
_PAGE = """
SELECT id, at, changed_by, action, object_kind, object_id, before, after FROM keystore.audit
WHERE ($1::bigint IS NULL OR id < $1) AND ($2::text IS NULL OR changed_by = $2)
    AND ($3::text IS NULL OR object_kind = $3) AND ($4::text IS NULL OR object_id = $4)
    AND ($5::text IS NULL OR action = $5) AND ($6::timestamptz IS NULL OR at >= $6)
    AND ($7::timestamptz IS NULL OR at < $7)
ORDER BY id DESC LIMIT $8
"""


@dataclass(frozen=True, slots=True)
class WantedChanges:
    """What lines are to be listed; None: whatever it is. start_ms, end_ms: 0: open."""

    before_id: int | None = None
    changed_by: str | None = None
    object_kind: str | None = None
    object_id: str | None = None
    action: str | None = None
    start_ms: int = 0
    end_ms: int = 0


class StoredAudit:
    """Reads it. GatewayError UNAVAILABLE when the store does not answer."""

    def __init__(self, server: Asks) -> None:
        self._server = server

    async def page(self, wanted: WantedChanges, size: int) -> list[AuditRow]:
        """So many lines, the newest first."""
        records = await self._server.fetch(
            _PAGE,
            wanted.before_id,
            wanted.changed_by,
            wanted.object_kind,
            wanted.object_id,
            wanted.action,
            time_of(wanted.start_ms),
            time_of(wanted.end_ms),
            size,
        )
        return [
            AuditRow(
                id=record["id"],
                at_ms=millis_of(record["at"]),
                changed_by=record["changed_by"],
                action=record["action"],
                object_kind=record["object_kind"],
                object_id=record["object_id"],
                before_json=record["before"] or "",
                after_json=record["after"] or "",
            )
            for record in records
        ]
