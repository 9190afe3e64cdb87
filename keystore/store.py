"""The keystore's PostgreSQL: `store*.py` and `change.py` alone speak SQL. No answer is GatewayError UNAVAILABLE."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from keystore.change import BEGIN, Change
from keystore.store_audit import StoredAudit
from keystore.store_keys import StoredKeys
from keystore.store_owners import StoredOwners
from services.errors import unavailable
from services.postgres import connect, mapped

OTHER_PEPPER = (
    "The pepper (TOLLHOUSE_PEPPER, else secrets/pepper in the data folder) is not the one that the keys in this "
    "database were made with."
)

_VERSION = "SELECT version FROM keystore.feed"

# Routers not seen for a day are forgotten: long after any lease.
_SEE_ROUTERS = """
WITH forgotten AS (DELETE FROM keystore.routers WHERE last_seen < now() - interval '1 day' AND router_id <> ALL($1))
INSERT INTO keystore.routers (router_id, last_seen) SELECT unnest($1::text[]), now()
ON CONFLICT (router_id) DO UPDATE SET last_seen = now()
"""
_ROUTERS = "SELECT router_id FROM keystore.routers WHERE last_seen > now() - make_interval(secs => $1)"

_PEPPER = "SELECT fingerprint FROM keystore.pepper"
# Keep a fingerprint, if there is none; the one that is kept.
_KEEP_PEPPER = """
INSERT INTO keystore.pepper AS kept (fingerprint) VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET fingerprint = kept.fingerprint
RETURNING fingerprint
"""


class Store:
    """Keys, owners, their feed of changes, the audit log, and routers.

    fingerprint: of the pepper. The first store of a database has it kept; one with another is refused everything, for
    it would find no key, and make keys that the others do not find.
    """

    def __init__(self, database_url: str, fingerprint: str) -> None:
        self._database_url = database_url
        self._fingerprint = fingerprint
        self._connections: asyncpg.Pool | None = None
        self._is_ours = False
        self.keys = StoredKeys(self)
        self.owners = StoredOwners(self)
        self.audit = StoredAudit(self)

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
                kept = await self._opened.fetchval(_PEPPER)
                if kept is None:
                    kept = await self._opened.fetchval(_KEEP_PEPPER, self._fingerprint)
            self._is_ours = kept == self._fingerprint
        return self._is_ours

    @asynccontextmanager
    async def change(self, changed_by: str, now_ms: int) -> AsyncIterator[Change]:
        """Change something, all or nothing: an error within it undoes it. UNAVAILABLE at its end: it may be done."""
        pool = await self._pool()
        with mapped():
            async with pool.acquire() as connection, connection.transaction():
                version = await connection.fetchval(BEGIN)
                yield Change(connection, version, changed_by, now_ms)

    async def version(self) -> int:
        """Of the newest change."""
        rows = await self.fetch(_VERSION)
        return int(rows[0]["version"])

    async def see_routers(self, router_ids: Sequence[str]) -> None:
        """These routers are here now."""
        await self.fetch(_SEE_ROUTERS, router_ids)

    async def routers(self, seconds: float) -> frozenset[str]:
        """The routers that were seen, by any keystore, in the last so many seconds."""
        return frozenset(row["router_id"] for row in await self.fetch(_ROUTERS, seconds))

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows that a query of a store gives."""
        pool = await self._pool()
        with mapped():
            rows: list[asyncpg.Record] = await pool.fetch(query, *arguments)
        return rows

    async def _pool(self) -> asyncpg.Pool:
        if not await self.has_our_pepper():
            raise unavailable(OTHER_PEPPER)
        return self._opened

    @property
    def _opened(self) -> asyncpg.Pool:
        if self._connections is None:
            raise unavailable("The keystore is starting; try again.")
        return self._connections
