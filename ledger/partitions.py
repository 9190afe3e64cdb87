"""Which partitions `entries` needs, and making them. A partition is a range of ids, so a range of days (UTC).

Days are counted from the epoch. Partitions lie side by side without gaps: when no ledger has run for days, one
partition makes up for all of them, because entries of those days may still wait in a router's outbox.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import asyncpg

from services.ids import lowest_at, millis_of
from services.postgres import mapped

DAY_SECONDS = 86_400
# Made ahead of today, so that a ledger that cannot make any for a long weekend still has them.
DAYS_AHEAD = 3
# Batches wait while a partition is made; rather than wait long itself, for a batch that hangs, it is tried again.
_LOCK_TIMEOUT = "5s"

_EPOCH = date(1970, 1, 1)

_END = "SELECT end_id FROM ledger.partitions ORDER BY first_id DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Partition:
    """The days from `first_day` up to, not including, `end_day`."""

    first_day: int
    end_day: int

    @property
    def name(self) -> str:
        """Its table's name, by its first day."""
        return f"entries_{_EPOCH + timedelta(days=self.first_day):%Y%m%d}"

    @property
    def first_id(self) -> uuid.UUID:
        """The lowest id in it."""
        return lowest_id(self.first_day)

    @property
    def end_id(self) -> uuid.UUID:
        """The lowest id beyond it."""
        return lowest_id(self.end_day)


def lowest_id(day: int) -> uuid.UUID:
    """The lowest id of a day."""
    return uuid.UUID(bytes=lowest_at(day * DAY_SECONDS * 1000))


def missing(end_day: int | None, today: int) -> Sequence[Partition]:
    """What is to be made so that today and DAYS_AHEAD more are covered; `end_day` is where what exists ends."""
    made = []
    first_day = today if end_day is None else end_day
    if first_day < today:
        made.append(Partition(first_day, today))
        first_day = today
    made += [Partition(day, day + 1) for day in range(first_day, today + DAYS_AHEAD + 1)]
    return made


async def ensure(pool: asyncpg.Pool, today: int) -> Sequence[Partition]:
    """Make what is missing, whichever of several ledgers comes first; what this one made. UNAVAILABLE: not now."""
    with mapped():
        async with pool.acquire() as connection:
            # Almost always nothing is missing, and then nobody must wait.
            if not missing(_day_of(await connection.fetchval(_END)), today):
                return []
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                # Against other ledgers that do the same, and against batches (see ledger.partitions); readers go on.
                await connection.execute("LOCK TABLE ledger.entries IN SHARE ROW EXCLUSIVE MODE")
                partitions = missing(_day_of(await connection.fetchval(_END)), today)
                for partition in partitions:
                    await _make(connection, partition)
                return partitions


async def _make(connection: asyncpg.pool.PoolConnectionProxy, partition: Partition) -> None:
    # DDL takes no parameters; these are numbers of ours. Made apart and then attached: CREATE ... PARTITION OF would
    # lock out readers too.
    await connection.execute(f"CREATE TABLE ledger.{partition.name} (LIKE ledger.entries INCLUDING ALL)")
    await connection.execute(
        f"ALTER TABLE ledger.entries ATTACH PARTITION ledger.{partition.name} "
        f"FOR VALUES FROM ('{partition.first_id}') TO ('{partition.end_id}')"
    )
    await connection.execute(
        "INSERT INTO ledger.partitions (first_id, end_id, name) VALUES ($1, $2, $3)",
        partition.first_id,
        partition.end_id,
        partition.name,
    )


def _day_of(end_id: uuid.UUID | None) -> int | None:
    return None if end_id is None else millis_of(end_id.bytes) // (DAY_SECONDS * 1000)
