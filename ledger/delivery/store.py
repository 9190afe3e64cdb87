"""What is still to be delivered, in PostgreSQL. No answer is GatewayError UNAVAILABLE."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from ledger.rows import Entry, Row, clean, entry_of
from services.postgres import mapped

# $1 name. A sink that is new gets what arrives from now on.
_REGISTER = """
INSERT INTO ledger.sinks (name, seen_at) VALUES ($1, now()) ON CONFLICT (name) DO UPDATE SET seen_at = now()
"""
# Sinks that nobody has been told of for a week, and what waits for them.
_FORGET = """
WITH gone AS (DELETE FROM ledger.sinks WHERE seen_at < now() - interval '7 days' RETURNING name)
DELETE FROM ledger.arrivals WHERE sink IN (SELECT name FROM gone)
"""
# $1 name, $2 ledger, $3 seconds. One ledger at a time: another only when the time of the last is up.
_HOLD = """
UPDATE ledger.sinks SET holder = $2, held_until = now() + $3 * interval '1 second', seen_at = now()
WHERE name = $1 AND (holder = $2 OR held_until < now()) RETURNING name
"""
_LET_GO = "UPDATE ledger.sinks SET held_until = '-infinity' WHERE name = $1 AND holder = $2"
# $1 name, $2 how many batches, $3 how many entries: with the batch in which they are full.
_NEXT = """
SELECT number, dispatch_ids, extract(epoch FROM now() - arrived_at)::float8 AS waited_seconds
FROM (
    SELECT *, sum(cardinality(dispatch_ids)) OVER (ORDER BY number) AS running
    FROM (
        SELECT * FROM ledger.arrivals WHERE sink = $1 AND refusal IS NULL ORDER BY number LIMIT $2
    ) AS oldest
) AS counted
WHERE running - cardinality(dispatch_ids) < $3 ORDER BY number
"""
_ENTRIES = f"""
SELECT {", ".join(Row.__struct_fields__)} FROM ledger.every_entry
WHERE dispatch_id = ANY ($1::uuid[]) ORDER BY dispatch_id
"""  # noqa: S608 (from constants alone)
# $1 name, $2 numbers.
_DELIVERED = "DELETE FROM ledger.arrivals WHERE sink = $1 AND number = ANY ($2::bigint[])"
# $1 name, $2 number, $3 why, $4 how often at most. Whether it was set aside now.
_REFUSED = """
UPDATE ledger.arrivals SET refusals = refusals + 1, refusal = CASE WHEN refusals + 1 >= $4 THEN $3::text END
WHERE sink = $1 AND number = $2 RETURNING refusal IS NOT NULL
"""
# $1 name. What has been in vain for a week.
_GIVE_UP = """
DELETE FROM ledger.arrivals WHERE sink = $1 AND arrived_at < now() - interval '7 days'
RETURNING cardinality(dispatch_ids)
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch of entries as it was written. waited_seconds: since then."""

    number: int
    dispatch_ids: Sequence[uuid.UUID]
    waited_seconds: float


class DeliveryStore:
    """pool: the connections of the moment."""

    def __init__(self, pool: Callable[[], asyncpg.Pool]) -> None:
        self._pool = pool

    async def register(self, sink: str) -> None:
        """Keep what arrives from now on for this sink; those that are gone for long are forgotten."""
        with mapped():
            await self._pool().execute(_REGISTER, sink)
            await self._pool().execute(_FORGET)

    async def hold(self, sink: str, holder: uuid.UUID, seconds: float) -> bool:
        """Be the one who delivers to a sink, for so long; False: another is."""
        with mapped():
            return await self._pool().fetchval(_HOLD, sink, holder, seconds) is not None

    async def let_go(self, sink: str, holder: uuid.UUID) -> None:
        """Let another deliver at once."""
        with mapped():
            await self._pool().execute(_LET_GO, sink, holder)

    async def next(self, sink: str, batches: int, entries: int) -> list[Arrival]:
        """The oldest that wait: at most so many batches, and no more once there are so many entries."""
        with mapped():
            return [Arrival(**row) for row in await self._pool().fetch(_NEXT, sink, batches, entries)]

    async def records(self, dispatch_ids: Sequence[uuid.UUID]) -> list[asyncpg.Record]:
        """Entries by their ids, in their order, for `entries_of`; without those that are there no more."""
        with mapped():
            return await self._pool().fetch(_ENTRIES, dispatch_ids)

    async def delivered(self, sink: str, numbers: Sequence[int]) -> None:
        """These batches wait no more."""
        with mapped():
            await self._pool().execute(_DELIVERED, sink, numbers)

    async def refused(self, sink: str, number: int, why: str, most: int) -> bool:
        """A batch was refused once more; whether it is set aside now, since that was the last time."""
        with mapped():
            return bool(await self._pool().fetchval(_REFUSED, sink, number, clean(why), most))

    async def give_up(self, sink: str) -> int:
        """Forget what has waited, or been set aside, for a week; how many entries that was."""
        with mapped():
            return sum(row[0] for row in await self._pool().fetch(_GIVE_UP, sink))


def entries_of(records: Sequence[asyncpg.Record]) -> list[Entry]:
    """For a thread: hundreds are more than an event loop can do between two calls."""
    return [entry_of(dict(record)) for record in records]
