"""The ledger's PostgreSQL: with `partitions.py` and `retention.py` the only place that runs SQL.

No answer is GatewayError UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg

from ledger import partitions, queries, retention
from ledger.export import EXPORT
from ledger.filters import Filter, Range, SpendQuestion, SumQuestion
from ledger.rows import Entry, encode, entry_of
from services.errors import unavailable
from services.postgres import connect, mapped

# Closing waits for connections in use; whoever stops has drained them already.
CLOSE_SECONDS = 1.0


class Refused(Exception):
    """PostgreSQL will never take these values. The message is its reason."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a batch came to: new in `entries`, new in `late`; the rest was there already."""

    stored: int
    late: int


@dataclass(frozen=True, slots=True)
class Spend:
    """A sum over entries; `keys` say of which group, in the order of the question's dimensions."""

    cost_nano_usd: int
    entries: int
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    # Entries that ended well.
    succeeded: int = 0
    keys: Sequence[str] = ()


class Store:
    """Entries and their sums."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connections: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Before anything else; the server need not be there yet."""
        self._connections = await connect(self._database_url)

    async def close(self) -> None:
        """End the connections; what is still being written is rolled back and fails with UNAVAILABLE."""
        if self._connections is not None:
            # When its time is up, close() cuts the connections that are in use.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._connections.close(), CLOSE_SECONDS)

    async def ensure_partitions(self, today: int) -> Sequence[partitions.Partition]:
        """Make the partitions that are missing on a day (counted from the epoch); what was made."""
        return await partitions.ensure(self._pool, today)

    async def drop_expired(self, kept_seconds: float) -> retention.Dropped:
        """Drop entries that are older, by whole days, and late ones that were kept so long; what was dropped."""
        return await retention.drop_expired(self._pool, kept_seconds)

    async def write(self, entries: Sequence[Entry]) -> Written:
        """Keep well-formed entries and add them to the sums, in one transaction; those kept before change nothing.

        Refused when a value of theirs is impossible; then none is kept. Any other failure is UNAVAILABLE, even one of
        our own making (a table that is not migrated): the entries must come again.
        """
        try:
            row = await self._row(queries.WRITE, encode(entries))
        except (asyncpg.DataError, asyncpg.ProgramLimitExceededError, ValueError) as error:
            raise Refused(f"{type(error).__name__}: {error}") from error
        except asyncpg.PostgresError as error:
            raise unavailable(f"The ledger cannot write: {error}") from error
        return Written(row["stored"], row["late"])

    async def reject(self, entry: Entry, reason: str) -> None:
        """Keep an entry that cannot be kept as a row, for a person to look at."""
        content = entry.SerializeToString(deterministic=True)
        with mapped():
            await self._pool.execute(queries.REJECT, hashlib.sha256(content).digest(), content, reason)

    async def sum_spend(self, question: SumQuestion) -> Spend:
        """The one sum that is asked for."""
        row = await self._row(
            queries.sum_spend(tuple(question.lists)),
            question.first_id,
            question.first_hour,
            *question.hour_ids,
            question.excluded_ids,
            *question.excluded_bounds,
            *question.lists.values(),
        )
        return Spend(row["cost_nano_usd"], row["entries"])

    async def reprice(self, costs: Mapping[uuid.UUID, int]) -> Spend:
        """Give these entries their cost, those that have none, and add it to the sums; what has changed."""
        ids = list(costs)
        with mapped():
            async with self._pool.acquire() as connection, connection.transaction():
                # In statements of their own, so that the next sees what it no longer has to wait for.
                for lock in queries.LOCK_UNPRICED:
                    await connection.execute(lock, ids)
                (row,) = await connection.fetch(queries.REPRICE, ids, list(costs.values()))
        return Spend(row["cost_nano_usd"], row["entries"])

    async def list_entries(self, wanted: Filter, limit: int) -> list[Entry]:
        """The newest entries that match, newest first, at most `limit`."""
        with mapped():
            rows = await self._pool.fetch(
                queries.list_entries(tuple(wanted.lists), unpriced=wanted.unpriced),
                wanted.key_id,
                wanted.user_id,
                wanted.request_id,
                wanted.dispatch_id,
                wanted.first_id,
                wanted.end_id,
                limit,
                wanted.offset,
                *wanted.lists.values(),
            )
        return [entry_of(dict(row)) for row in rows]

    async def export(self, wanted: Range) -> list[asyncpg.Record]:
        """The oldest entries of a range, as records, for `export.page_of`."""
        with mapped():
            return await self._pool.fetch(EXPORT, wanted.first_id, wanted.after_id, wanted.end_id, wanted.limit)

    async def query_spend(self, question: SpendQuestion) -> list[Spend]:
        """Sums of a rollup, dearest first: as many as asked for and, if there is one, the next."""
        with mapped():
            rows = await self._pool.fetch(
                queries.query_spend(question.dimensions, tuple(question.lists), whole_days=question.is_of_whole_days),
                question.first_hour,
                question.end_hour,
                question.user_id,
                question.limit + 1,
                question.offset,
                *question.lists.values(),
            )
        return [Spend(**row) for row in rows]

    def pool(self) -> asyncpg.Pool:
        """The connections, for what has SQL of its own. UNAVAILABLE before they are there."""
        return self._pool

    @property
    def _pool(self) -> asyncpg.Pool:
        if self._connections is None:
            raise unavailable("The ledger is starting; try again.")
        return self._connections

    async def _row(self, query: str, *arguments: Any) -> asyncpg.Record:
        """The one row of a query that always has one."""
        with mapped():
            (row,) = await self._pool.fetch(query, *arguments)
        return row
