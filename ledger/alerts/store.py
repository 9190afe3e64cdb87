"""Alerts in PostgreSQL. No answer is GatewayError UNAVAILABLE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg
from gateway.v1.ledger_pb2 import Alert, KeptAlert

from services.postgres import mapped

# $1 key, $2 channels, $3 type, $4 title, $5 body, $6 event, $7 seconds to be quiet, $8 told already. Where it may be
# told again, the key is that of a stretch of time, so that of two ledgers that are asked at once one keeps it.
_NOTE = """
WITH told AS (
    SELECT CASE WHEN $7::integer = 0 THEN $1::text
        ELSE $1 || '@' || floor(extract(epoch FROM now()) / $7)::bigint END AS key
)
INSERT INTO ledger.alerts (key, subject, channel, type, title, body, event_json, delivered_at, attempts)
SELECT told.key, $1, channel, $3, $4, $5, $6, CASE WHEN $8 THEN now() END, $8::boolean::integer
FROM told, unnest($2::text[]) AS channel
WHERE NOT EXISTS (
    SELECT FROM ledger.alerts AS other
    WHERE other.subject = $1 AND ($7 = 0 OR other.noted_at > now() - $7 * interval '1 second')
)
ON CONFLICT (key, channel) DO NOTHING RETURNING number
"""
# $1 how many, $2 seconds until another may. What other ledgers are taking up now is passed over.
_TAKE = """
UPDATE ledger.alerts SET attempts = attempts + 1, next_at = now() + $2 * interval '1 second'
WHERE number IN (
    SELECT number FROM ledger.alerts
    WHERE delivered_at IS NULL AND NOT given_up AND next_at <= now() ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING number, subject, channel, type, title, body, event_json, attempts
"""
_DELIVERED = "UPDATE ledger.alerts SET delivered_at = now(), last_error = '' WHERE number = $1"
# $2 why, $3 seconds until the next attempt, $4 whether there is none.
_FAILED = """
UPDATE ledger.alerts SET last_error = $2, next_at = now() + $3 * interval '1 second', given_up = $4 WHERE number = $1
"""
# $1 type or '', $2 how many, $3 before which number; 0: the newest.
_LIST = """
SELECT number, subject, channel, type, title, body, event_json, attempts, last_error, given_up,
    (extract(epoch FROM noted_at) * 1000)::bigint AS noted_ms,
    coalesce((extract(epoch FROM delivered_at) * 1000)::bigint, 0) AS delivered_ms
FROM ledger.alerts WHERE ($1 = '' OR type = $1) AND ($3::bigint = 0 OR number < $3) ORDER BY number DESC LIMIT $2
"""
# $1 days. Keys of budgets without a period are told once for as long as they are kept here.
_FORGET = "DELETE FROM ledger.alerts WHERE noted_at < now() - $1 * interval '1 day'"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An alert that is to be told over a channel now, for the n-th time."""

    number: int
    channel: str
    alert: Alert
    attempts: int


class AlertStore:
    """pool: the connections of the moment."""

    def __init__(self, pool: Callable[[], asyncpg.Pool]) -> None:
        self._pool = pool

    async def note(self, alert: Alert, channels: Sequence[str]) -> bool:
        """Keep an alert, once; whether it was new."""
        members = (alert.key, channels, alert.type, alert.title, alert.text, alert.event_json)
        with mapped():
            return bool(await self._pool().fetch(_NOTE, *members, alert.quiet_seconds, alert.told))

    async def take(self, most: int, seconds: float) -> list[Waiting]:
        """Those whose time has come, for this ledger alone for so long."""
        with mapped():
            rows = await self._pool().fetch(_TAKE, most, seconds)
        return [Waiting(row["number"], row["channel"], _alert(row), row["attempts"]) for row in rows]

    async def delivered(self, number: int) -> None:
        """It was told."""
        with mapped():
            await self._pool().execute(_DELIVERED, number)

    async def failed(self, number: int, why: str, seconds: float, *, gives_up: bool) -> None:
        """It was not, and is tried again after so long, unless it is given up."""
        with mapped():
            await self._pool().execute(_FAILED, number, why, seconds, gives_up)

    async def list(self, alert_type: str, most: int, before_number: int) -> list[KeptAlert]:
        """A page, the newest first."""
        with mapped():
            rows = await self._pool().fetch(_LIST, alert_type, most, before_number)
        same = ("number", "channel", "noted_ms", "delivered_ms", "attempts", "last_error", "given_up")
        return [KeptAlert(alert=_alert(row), **{name: row[name] for name in same}) for row in rows]

    async def forget(self, days: int) -> None:
        """Drop what is older."""
        with mapped():
            await self._pool().execute(_FORGET, days)


def _alert(row: asyncpg.Record) -> Alert:
    return Alert(
        key=row["subject"], type=row["type"], title=row["title"], text=row["body"], event_json=row["event_json"]
    )
