"""Drops entries that are older than they are to be kept. Their sums stay.

Whole partitions go at once, one a transaction; rows of `late` in batches. Days are those of PostgreSQL's clock, which
all ledgers share: a host whose clock is wrong must not drop what is young. `ledger.retained` is moved first, so that
sums know from which id on they may count single entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from ledger.partitions import DAY_SECONDS, lowest_id
from services.postgres import mapped

# Whoever comes after waits as long as this does, batches among them; better it is tried again at the next round.
_LOCK_TIMEOUT = "2s"
# Rows of `late` that one statement deletes, and statements of one round: the rest is for the next.
LATE_ROWS = 5_000
LATE_STATEMENTS = 200

_NOW_SECONDS = "SELECT extract(epoch FROM now())::float8"
_MOVE = "UPDATE ledger.retained SET first_id = $1 WHERE first_id < $1"
_EXPIRED = """
SELECT name FROM ledger.partitions, ledger.retained WHERE end_id <= retained.first_id ORDER BY partitions.first_id
"""
_FORGET = "DELETE FROM ledger.partitions WHERE name = $1 RETURNING name"
# $1 seconds that an entry is kept, $2 how many. What another ledger deletes already is left to it.
_DELETE_LATE = """
DELETE FROM ledger.late WHERE dispatch_id IN (
    SELECT dispatch_id FROM ledger.late
    WHERE dispatch_id < (SELECT first_id FROM ledger.retained)
      AND recorded_at < now() - make_interval(secs => $1)
    ORDER BY dispatch_id LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The partitions that this round has dropped, and how many late rows."""

    partitions: Sequence[str] = ()
    late: int = 0


async def drop_expired(pool: asyncpg.Pool, kept_seconds: float) -> Dropped:
    """Drop what is older, whichever of several ledgers comes first. UNAVAILABLE: not now; what was done is done."""
    with mapped():
        kept_since = await pool.fetchval(_NOW_SECONDS) - kept_seconds
        await pool.execute(_MOVE, lowest_id(int(kept_since // DAY_SECONDS)))
        names = [row["name"] for row in await pool.fetch(_EXPIRED)]
        dropped = tuple([name for name in names if await _drop(pool, name)])
        return Dropped(dropped, await _delete_late(pool, kept_seconds))


async def _drop(pool: asyncpg.Pool, name: str) -> bool:
    """Whether it was still there."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        # What dropping a partition needs, before anything else is locked. With it no batch is in flight (see
        # ledger.partitions).
        await connection.execute("LOCK TABLE ledger.entries IN ACCESS EXCLUSIVE MODE")
        if await connection.fetchval(_FORGET, name) is None:
            return False
        # DDL takes no parameters; the name is one that `partitions.py` has made.
        await connection.execute(f"DROP TABLE ledger.{name}")
        return True


async def _delete_late(pool: asyncpg.Pool, kept_seconds: float) -> int:
    """How many."""
    deleted = 0
    for _ in range(LATE_STATEMENTS):
        # "DELETE 17"
        rows = int((await pool.execute(_DELETE_LATE, kept_seconds, LATE_ROWS)).rpartition(" ")[2])
        deleted += rows
        if rows < LATE_ROWS:
            break
    return deleted
