"""Keys in PostgreSQL: how they are written and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from keystore.columns import json_of, millis_of, names_of, terms_of, time_of
from keystore.policy.owners import Key
from keystore.rows import KeyRow
from keystore.sql import PAGE, Asks, columns, placeholders

# What is written of a key, in this order, when it is made and when it changes.
_WRITTEN = (
    "token",
    "key_name",
    "key_alias",
    "blocked",
    "expires_at",
    "user_id",
    "team_id",
    "organization_id",
    "terms",
    "tags",
    "aliases",
    "allowed_routes",
    "metadata",
    "attributes",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
    "previous_token",
    "previous_until",
    "spent_since",
    "spent_before_nano_usd",
    "rotation_interval",
    "rotation_at",
    "rotation_count",
    "drop_params",
)
_COLUMNS = f"key_id, {columns(_WRITTEN)}, deleted, version"

# Key id, version, then what is written.
INSERT = (
    f"INSERT INTO keystore.keys (key_id, version, {columns(_WRITTEN)}) VALUES ($1, $2, {placeholders(_WRITTEN, 3)})"  # noqa: S608
)
# A token that a key has had is never one again.
UPDATE = f"""
UPDATE keystore.keys SET version = $2, ({columns(_WRITTEN)}) = ROW({placeholders(_WRITTEN, 3)}),
    retired_tokens = CASE WHEN token <> $3 THEN retired_tokens || token ELSE retired_tokens END
WHERE key_id = $1
"""  # noqa: S608
DELETE = (
    "UPDATE keystore.keys SET deleted = true, version = $2, updated_at = $3, updated_by = $4 WHERE key_id = ANY($1)"
)

_IS_RETIRED = "SELECT EXISTS (SELECT FROM keystore.keys WHERE retired_tokens @> ARRAY[$1::text]) AS retired"

# A name is a token or a key id; or the token before, while it is good.
_FIND = f"""
SELECT {_COLUMNS} FROM keystore.keys WHERE NOT deleted
    AND (token = ANY($1) OR key_id = ANY($1) OR (previous_token = ANY($1) AND previous_until > now()))
"""  # noqa: S608
# An id is the first token that a key has had, and opens nothing.
_HOLDER = f"""
SELECT {_COLUMNS} FROM keystore.keys WHERE NOT deleted
    AND (token = $1 OR (previous_token = $1 AND previous_until > now()))
"""  # noqa: S608
_FIND_ALIASES = f"SELECT {_COLUMNS} FROM keystore.keys WHERE key_alias = ANY($1) AND NOT deleted"  # noqa: S608
_OF_USERS = f"SELECT {_COLUMNS} FROM keystore.keys WHERE user_id = ANY($1) AND NOT deleted"  # noqa: S608
_OF_TEAMS = f"SELECT {_COLUMNS} FROM keystore.keys WHERE team_id = ANY($1) AND NOT deleted"  # noqa: S608
_OF_ORGANIZATIONS = f"SELECT {_COLUMNS} FROM keystore.keys WHERE organization_id = ANY($1) AND NOT deleted"  # noqa: S608
_WITH_BUDGET = """
SELECT count(*) FROM keystore.keys WHERE NOT deleted AND terms ? 'budget_id' AND terms ->> 'budget_id' = ANY($1)
"""
_DUE = f"""
SELECT {_COLUMNS} FROM keystore.keys WHERE NOT deleted AND rotation_at <= $1 AND NOT blocked
    AND (expires_at IS NULL OR expires_at > $1)
ORDER BY rotation_at LIMIT $2
"""  # noqa: S608

# What is NULL is not asked for. The keys of some teams come beside those of a user.
_LISTED = """
FROM keystore.keys WHERE NOT deleted AND ($1::text IS NULL OR team_id = $1) AND ($2::text IS NULL OR key_alias = $2)
    AND ($3::text[] IS NULL OR token = ANY($3) OR key_id = ANY($3)) AND ($4::text IS NULL OR organization_id = $4)
    AND (($5::text IS NULL AND $6::text[] IS NULL) OR user_id = $5 OR team_id = ANY($6))
"""
_COUNT = f"SELECT count(*) {_LISTED}"
# A sort that may be asked for, and its column.
SORTS = {"created_ms": "created_at", "updated_ms": "updated_at", "key_alias": "key_alias", "expires_ms": "expires_at"}

# A commit has one version, so a page may end inside one: the key id continues it.
_CHANGES = f"""
SELECT {_COLUMNS} FROM keystore.keys WHERE (version, key_id) > ($1, $2) AND version <= $3
ORDER BY version, key_id LIMIT {PAGE}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Wanted:
    """What keys are to be listed; None: whatever it is. names: tokens or key ids. team_ids: beside the user's."""

    user_id: str | None = None
    team_id: str | None = None
    key_alias: str | None = None
    names: Sequence[str] | None = None
    organization_id: str | None = None
    team_ids: Sequence[str] | None = None
    sort_by: str = "created_ms"
    ascending: bool = False


class StoredKeys:
    """Reads them. GatewayError UNAVAILABLE when the store does not answer."""

    def __init__(self, server: Asks) -> None:
        self._server = server

    async def find(self, names: Sequence[str]) -> list[KeyRow]:
        """The keys with one of these tokens or key ids, or with such a token before, which is good still."""
        return await self._rows(_FIND, names)

    async def with_token(self, token: str) -> list[KeyRow]:
        """The key, if any, that opens with the secret of this token now."""
        return await self._rows(_HOLDER, token)

    async def find_aliases(self, aliases: Sequence[str]) -> list[KeyRow]:
        """The keys with these aliases."""
        return await self._rows(_FIND_ALIASES, aliases)

    async def of_users(self, user_ids: Sequence[str]) -> list[KeyRow]:
        """All keys of some users."""
        return await self._rows(_OF_USERS, user_ids)

    async def of_teams(self, team_ids: Sequence[str]) -> list[KeyRow]:
        """All keys of some teams."""
        return await self._rows(_OF_TEAMS, team_ids)

    async def of_organizations(self, organization_ids: Sequence[str]) -> list[KeyRow]:
        """All keys of some organisations that say so themselves."""
        return await self._rows(_OF_ORGANIZATIONS, organization_ids)

    async def with_budgets(self, budget_ids: Sequence[str]) -> int:
        """How many keys refer to one of these budgets."""
        return int((await self._server.fetch(_WITH_BUDGET, budget_ids))[0]["count"])

    async def is_retired(self, token: str) -> bool:
        """Whether a key has had this token before it was given another."""
        return bool((await self._server.fetch(_IS_RETIRED, token))[0]["retired"])

    async def due(self, now_ms: int, most: int) -> list[KeyRow]:
        """Keys that are to get another secret by now, and can be used."""
        return await self._rows(_DUE, time_of(now_ms), most)

    async def page(self, wanted: Wanted, size: int, offset: int) -> tuple[list[KeyRow], int]:
        """So many keys of those that are wanted, from there on; and how many there are in all."""
        what = (
            wanted.team_id,
            wanted.key_alias,
            wanted.names,
            wanted.organization_id,
            wanted.user_id,
            wanted.team_ids,
        )
        order = f"{SORTS[wanted.sort_by]} {'ASC' if wanted.ascending else 'DESC'} NULLS LAST"
        query = f"SELECT {_COLUMNS} {_LISTED} ORDER BY {order}, key_id LIMIT $7 OFFSET $8"
        count = (await self._server.fetch(_COUNT, *what))[0]["count"]
        return await self._rows(query, *what, size, offset), count

    async def changes(self, place: tuple[int, str], version: int) -> list[KeyRow]:
        """The next PAGE keys that changed, deleted ones too, after a place in the feed, which is a version and a key of
        it, up to a version."""
        return await self._rows(_CHANGES, *place, version)

    async def _rows(self, query: str, *arguments: Any) -> list[KeyRow]:
        return [_row(record) for record in await self._server.fetch(query, *arguments)]


def written(row: KeyRow) -> list[Any]:
    """As `INSERT` and `UPDATE` take it."""
    key = row.key
    return [
        key.token,
        key.key_name,
        row.key_alias or None,
        key.blocked,
        time_of(key.expires_ms),
        key.user_id,
        key.team_id,
        key.organization_id,
        json_of(key.terms),
        key.tags,
        json_of(key.aliases),
        key.allowed_routes,
        row.metadata_json,
        row.attributes_json,
        time_of(row.created_ms),
        row.created_by,
        time_of(row.updated_ms),
        row.updated_by,
        key.previous_token or None,
        time_of(key.previous_until_ms),
        time_of(key.spent_since_ms),
        key.spent_before_nano_usd,
        row.rotation_interval,
        time_of(row.rotation_ms),
        row.rotation_count,
        key.drop_params,
    ]


def _row(record: asyncpg.Record) -> KeyRow:
    return KeyRow(
        key=Key(
            key_id=record["key_id"],
            token=record["token"],
            key_name=record["key_name"],
            terms=terms_of(record["terms"]),
            blocked=record["blocked"],
            expires_ms=millis_of(record["expires_at"]),
            user_id=record["user_id"],
            team_id=record["team_id"],
            organization_id=record["organization_id"],
            tags=tuple(record["tags"]),
            aliases=names_of(record["aliases"]),
            allowed_routes=tuple(record["allowed_routes"]),
            previous_token=record["previous_token"] or "",
            previous_until_ms=millis_of(record["previous_until"]),
            spent_since_ms=millis_of(record["spent_since"]),
            spent_before_nano_usd=record["spent_before_nano_usd"],
            drop_params=record["drop_params"],
        ),
        key_alias=record["key_alias"] or "",
        metadata_json=record["metadata"],
        attributes_json=record["attributes"],
        created_ms=millis_of(record["created_at"]),
        created_by=record["created_by"],
        updated_ms=millis_of(record["updated_at"]),
        updated_by=record["updated_by"],
        rotation_interval=record["rotation_interval"],
        rotation_ms=millis_of(record["rotation_at"]),
        rotation_count=record["rotation_count"],
        deleted=record["deleted"],
        version=record["version"],
    )
