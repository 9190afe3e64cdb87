"""One change by an administrator: keys and owners are read and written in one transaction, and so is its audit line.

It has the feed's row locked, so that nothing else changes meanwhile: what it has read is so until it commits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import asyncpg

from keystore import store_audit, store_keys, store_owners
from keystore.audit import key_line, owner_line
from keystore.columns import time_of
from keystore.policy.owners import Kind
from keystore.rows import KeyRow, OwnerRow
from keystore.store_keys import StoredKeys
from keystore.store_owners import StoredOwners
from services.errors import GatewayError, Reason

# A change whose keystore has gone away is given up by the server, for others wait for it.
IDLE_MILLIS = 5_000
# It locks the feed's row until the commit.
BEGIN = f"""
UPDATE keystore.feed SET version = version + 1
RETURNING version, set_config('idle_in_transaction_session_timeout', '{IDLE_MILLIS}', true)
"""  # noqa: S608

# Of the audit log's object_kind.
KEY = "key"

Connection: TypeAlias = "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"


class Change:
    """`version`: its place in the feed. keys, owners: as they are now, what it has written included.

    Whatever is written has a line in the audit log, by `changed_by`.
    """

    def __init__(self, connection: Connection, version: int, changed_by: str, now_ms: int) -> None:
        self._connection = connection
        self._changed_by = changed_by
        self._now_ms = now_ms
        self.version = version
        self.keys = StoredKeys(connection)
        self.owners = StoredOwners(connection)

    async def insert_key(self, row: KeyRow) -> None:
        """Keep a new key. CONFLICT when its secret or its alias is taken."""
        if await self.keys.is_retired(row.key.token):
            raise secret_taken()
        with _kept(row.key_alias):
            await self._connection.execute(store_keys.INSERT, row.key.key_id, self.version, *store_keys.written(row))
        await self._tell("created", [(KEY, row.key.key_id, None, key_line(row))])

    async def update_key(self, before: KeyRow, after: KeyRow, action: str) -> None:
        """Keep a key as it is from now on. CONFLICT as for `insert_key`."""
        key = after.key
        if key.token != before.key.token and await self.keys.is_retired(key.token):
            raise secret_taken()
        with _kept(after.key_alias):
            await self._connection.execute(store_keys.UPDATE, key.key_id, self.version, *store_keys.written(after))
        await self._tell(action, [(KEY, key.key_id, key_line(before), key_line(after))])

    async def delete_keys(self, rows: Sequence[KeyRow]) -> None:
        """Remove keys, which are there, for good."""
        if rows:
            ids = [row.key.key_id for row in rows]
            await self._connection.execute(
                store_keys.DELETE, ids, self.version, time_of(self._now_ms), self._changed_by
            )
            await self._tell("deleted", [(KEY, row.key.key_id, key_line(row), None) for row in rows])

    async def write_owner(self, before: OwnerRow | None, after: OwnerRow, action: str) -> None:
        """Keep an owner as it is from now on; `before` None: a new one. CONFLICT when its email address is taken."""
        owner = after.owner
        with _kept():
            await self._connection.execute(
                store_owners.WRITE, owner.kind.value, owner.id, self.version, *store_owners.written(after)
            )
        told = owner_line(before) if before is not None else None
        await self._tell(action, [(owner.kind.value, owner.id, told, owner_line(after))])

    async def delete_owners(self, rows: Sequence[OwnerRow]) -> None:
        """Remove owners, which are there, for good."""
        if rows:
            kinds, ids = [row.owner.kind.value for row in rows], [row.owner.id for row in rows]
            await self._connection.execute(
                store_owners.DELETE, kinds, ids, self.version, time_of(self._now_ms), self._changed_by
            )
            lines = [(row.owner.kind.value, row.owner.id, owner_line(row), None) for row in rows]
            await self._tell("deleted", lines)

    async def key(self, key_id: str) -> KeyRow | None:
        """The key with this id, as it is now."""
        rows = [row for row in await self.keys.find([key_id]) if row.key.key_id == key_id]
        return rows[0] if rows else None

    async def owner(self, kind: Kind, owner_id: str) -> OwnerRow | None:
        """The owner of this kind with this id, as it is now."""
        rows = await self.owners.find(kind, [owner_id])
        return rows[0] if rows else None

    async def _tell(self, action: str, lines: Sequence[tuple[str, str, str | None, str | None]]) -> None:
        await self._connection.execute(
            store_audit.APPEND, time_of(self._now_ms), self._changed_by, action, *map(list, zip(*lines, strict=True))
        )


@contextlib.contextmanager
def _kept(key_alias: str = "") -> Iterator[None]:
    """What PostgreSQL says of a key or an owner that it cannot keep, as GatewayError."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        match error.constraint_name:
            case "keys_alias":
                raise GatewayError(
                    Reason.ERROR_REASON_CONFLICT,
                    f"Key with alias '{key_alias}' already exists. Unique key aliases across all keys are required.",
                    param="key_alias",
                ) from None
            case "owners_email":
                raise GatewayError(
                    Reason.ERROR_REASON_CONFLICT, "A user with this email address exists already.", param="user_email"
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
