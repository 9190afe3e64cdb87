"""The keystore's PostgreSQL: the only place that runs SQL. No answer is GatewayError UNAVAILABLE."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from keystore import queries
from keystore.policy.access import Key
from keystore.policy.limits import limit_of
from keystore.policy.operations import Limit
from services.errors import GatewayError, Reason, unavailable
from services.postgres import connect, mapped

# Rows of one read of the feed: a few milliseconds of the event loop.
PAGE = 1_000

OTHER_PEPPER = (
    "The pepper (TOLLHOUSE_PEPPER, else secrets/pepper in the data folder) is not the one that the keys in this "
    "database were made with."
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is stored: `key` is what admission needs of it. Times are milliseconds since the epoch."""

    key: Key
    key_alias: str
    created_ms: int
    updated_ms: int
    metadata_json: str
    deleted: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What keys are to be listed; None: whatever it is. names: tokens or key ids."""

    user_id: str | None = None
    team_id: str | None = None
    key_alias: str | None = None
    names: Sequence[str] | None = None


class Store:
    """Keys, their feed of changes, and routers.

    fingerprint: of the pepper. The first store of a database has it kept; one with another is refused everything, for
    it would find no key, and make keys that the others do not find.
    """

    def __init__(self, database_url: str, fingerprint: str) -> None:
        self._database_url = database_url
        self._fingerprint = fingerprint
        self._connections: asyncpg.Pool | None = None
        self._is_ours = False

    async def open(self) -> None:
        """Before anything else; the server need not be there yet."""
        self._connections = await connect(self._database_url)

    def close(self) -> None:
        """Drop the connections."""
        if self._connections is not None:
            self._connections.terminate()

    async def has_our_pepper(self) -> bool:
        """Whether the keys that are stored were made with our pepper."""
        if not self._is_ours:
            with mapped():
                # Read first: a keystore may start while the database takes no writes.
                kept = await self._opened.fetchval(queries.PEPPER)
                if kept is None:
                    kept = await self._opened.fetchval(queries.KEEP_PEPPER, self._fingerprint)
            self._is_ours = kept == self._fingerprint
        return self._is_ours

    async def insert(self, row: KeyRow) -> int:
        """Keep a new key; the version of the change. CONFLICT when its secret or its alias is taken."""
        pool = await self._pool()
        with _conflicts(row), mapped():
            version: int = await pool.fetchval(queries.INSERT, row.key.key_id, _time(row.created_ms), *_given(row))
        return version

    async def update(self, row: KeyRow, columns: Collection[str]) -> KeyRow | None:
        """Change these columns of a key, of `queries.GIVEN`; the others of `row` are passed over. The key after it.

        None when it is gone, CONFLICT as for `insert`.
        """
        pool = await self._pool()
        with _conflicts(row), mapped():
            record = await pool.fetchrow(
                queries.UPDATE, row.key.key_id, list(columns), _time(row.updated_ms), *_given(row)
            )
        return _row(record) if record is not None else None

    async def is_retired(self, token: str) -> bool:
        """Whether a key has had this token before it was given another."""
        pool = await self._pool()
        with mapped():
            retired: bool = await pool.fetchval(queries.IS_RETIRED, token)
        return retired

    async def page(self, wanted: Wanted, size: int, offset: int) -> tuple[list[KeyRow], int]:
        """So many keys of those that are wanted, from there on, the newest first; and how many there are in all."""
        what = (wanted.user_id, wanted.team_id, wanted.key_alias, wanted.names)
        pool = await self._pool()
        with mapped():
            count: int = await pool.fetchval(queries.COUNT, *what)
        return await self._rows(queries.LIST, *what, size, offset), count

    async def find(self, names: Sequence[str]) -> list[KeyRow]:
        """The keys with one of these tokens or key ids."""
        return await self._rows(queries.FIND, names)

    async def find_aliases(self, aliases: Sequence[str]) -> list[KeyRow]:
        """The keys with these aliases."""
        return await self._rows(queries.FIND_ALIASES, aliases)

    async def set_blocked(self, key_id: str, blocked: bool, now_ms: int) -> KeyRow | None:
        """Block or unblock a key; None when it is gone."""
        rows = await self._rows(queries.SET_BLOCKED, key_id, blocked, _time(now_ms))
        return rows[0] if rows else None

    async def delete(self, key_ids: Sequence[str], now_ms: int) -> int | None:
        """Delete them all; the version of the change. None, and none is deleted, when one of them is gone."""
        pool = await self._pool()
        with mapped():
            async with pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                gone = await connection.fetch(queries.DELETE, key_ids, _time(now_ms))
                if len(gone) != len(key_ids):
                    await transaction.rollback()
                    return None
                await transaction.commit()
        version: int = gone[0]["version"]
        return version

    async def changes(self, version: int, key_id: str) -> list[KeyRow]:
        """The next PAGE keys that changed, deleted ones too, after a place in the feed: a version and a key of it."""
        return await self._rows(queries.CHANGES, version, key_id, PAGE)

    async def version(self) -> int:
        """Of the newest change."""
        pool = await self._pool()
        with mapped():
            version: int = await pool.fetchval(queries.VERSION)
        return version

    async def see_routers(self, router_ids: Sequence[str]) -> None:
        """These routers are here now."""
        pool = await self._pool()
        with mapped():
            await pool.execute(queries.SEE_ROUTERS, router_ids)

    async def routers(self, seconds: float) -> frozenset[str]:
        """The routers that were seen, by any keystore, in the last so many seconds."""
        pool = await self._pool()
        with mapped():
            rows = await pool.fetch(queries.ROUTERS, seconds)
        return frozenset(row["router_id"] for row in rows)

    async def _pool(self) -> asyncpg.Pool:
        if not await self.has_our_pepper():
            raise unavailable(OTHER_PEPPER)
        return self._opened

    @property
    def _opened(self) -> asyncpg.Pool:
        if self._connections is None:
            raise unavailable("The keystore is starting; try again.")
        return self._connections

    async def _rows(self, query: str, *arguments: Any) -> list[KeyRow]:
        pool = await self._pool()
        with mapped():
            return [_row(record) for record in await pool.fetch(query, *arguments)]


@contextlib.contextmanager
def _conflicts(row: KeyRow) -> Iterator[None]:
    """What PostgreSQL says of a key that it cannot keep, as GatewayError."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "keys_alias":
            raise GatewayError(
                Reason.ERROR_REASON_CONFLICT,
                f"Key with alias '{row.key_alias}' already exists. Unique key aliases across all keys are required.",
                param="key_alias",
            ) from None
        raise secret_taken() from None
    except (asyncpg.DataError, asyncpg.ProgramLimitExceededError):
        # All else was checked before: JSON with a null character, NaN or a thousand levels.
        raise GatewayError(
            Reason.ERROR_REASON_INVALID_REQUEST, "metadata cannot be kept as it is.", param="metadata"
        ) from None


def secret_taken() -> GatewayError:
    """The secret is a key's, or was one's."""
    return GatewayError(
        Reason.ERROR_REASON_CONFLICT, "This key exists already, or did once; choose another.", param="key"
    )


def _given(row: KeyRow) -> list[Any]:
    """As `queries.GIVEN`."""
    key = row.key
    limit = key.limit or Limit("")
    return [
        key.token,
        key.key_name,
        row.key_alias or None,
        sorted(key.models),
        key.max_budget_nano_usd,
        key.blocked,
        _time(key.expires_ms) if key.expires_ms else None,
        key.user_id,
        key.team_id,
        row.metadata_json,
        limit.requests,
        limit.tokens,
        limit.parallel,
    ]


def _row(record: asyncpg.Record) -> KeyRow:
    return KeyRow(
        key=Key(
            key_id=record["key_id"],
            token=record["token"],
            key_name=record["key_name"],
            models=frozenset(record["models"]),
            max_budget_nano_usd=record["max_budget_nano_usd"],
            blocked=record["blocked"],
            expires_ms=_millis(record["expires_at"]) if record["expires_at"] else 0,
            user_id=record["user_id"],
            team_id=record["team_id"],
            limit=limit_of(record["key_id"], record["rpm_limit"], record["tpm_limit"], record["max_parallel_requests"]),
        ),
        key_alias=record["key_alias"] or "",
        created_ms=_millis(record["created_at"]),
        updated_ms=_millis(record["updated_at"]),
        metadata_json=record["metadata"],
        deleted=record["deleted"],
        version=record["version"],
    )


def _time(millis: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=millis)


def _millis(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(milliseconds=1)
