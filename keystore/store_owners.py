"""Owners in PostgreSQL: how they are written and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from keystore.columns import json_of, millis_of, names_of, terms_of, time_of
from keystore.policy.owners import Kind, Owner
from keystore.rows import OwnerRow
from keystore.sql import PAGE, Asks, columns, placeholders

# What is written of an owner, in this order, when it is made and when it changes.
_WRITTEN = (
    "alias",
    "email",
    "role",
    "user_id",
    "team_id",
    "organization_id",
    "blocked",
    "terms",
    "member_terms",
    "aliases",
    "metadata",
    "attributes",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
    "deleted",
)
_COLUMNS = f"kind, id, {columns(_WRITTEN)}, version"

# Kind, id, version, then what is written. Who was deleted may be made again.
WRITE = f"""
INSERT INTO keystore.owners (kind, id, version, {columns(_WRITTEN)}) VALUES ($1, $2, $3, {placeholders(_WRITTEN, 4)})
ON CONFLICT (kind, id) DO UPDATE
SET version = $3, ({columns(_WRITTEN)}) = ROW({placeholders(_WRITTEN, 4)})
"""  # noqa: S608
# Kinds, ids, version, when, by whom.
DELETE = """
UPDATE keystore.owners o SET deleted = true, version = $3, updated_at = $4, updated_by = $5
FROM unnest($1::text[], $2::text[]) AS gone (kind, id) WHERE o.kind = gone.kind AND o.id = gone.id
"""

_FIND = f"SELECT {_COLUMNS} FROM keystore.owners WHERE kind = $1 AND id = ANY($2) AND NOT deleted"  # noqa: S608
_IS_GONE = "SELECT EXISTS (SELECT FROM keystore.owners WHERE kind = $1 AND id = $2 AND deleted) AS gone"
_OF_USERS = f"SELECT {_COLUMNS} FROM keystore.owners WHERE user_id = ANY($1) AND NOT deleted"  # noqa: S608
_OF_TEAMS = f"SELECT {_COLUMNS} FROM keystore.owners WHERE team_id = ANY($1) AND NOT deleted"  # noqa: S608
_OF_ORGANIZATIONS = f"SELECT {_COLUMNS} FROM keystore.owners WHERE organization_id = ANY($1) AND NOT deleted"  # noqa: S608
_WITH_BUDGET = """
SELECT count(*) FROM keystore.owners WHERE NOT deleted AND (
    (terms ? 'budget_id' AND terms ->> 'budget_id' = ANY($1))
    OR (member_terms ? 'budget_id' AND member_terms ->> 'budget_id' = ANY($1)))
"""

# What is NULL is not asked for.
_LISTED = """
FROM keystore.owners WHERE NOT deleted AND kind = $1 AND ($2::text IS NULL OR alias = $2)
    AND ($3::text IS NULL OR user_id = $3) AND ($4::text IS NULL OR team_id = $4)
    AND ($5::text IS NULL OR organization_id = $5) AND ($6::text IS NULL OR role = $6)
    AND ($7::text IS NULL OR strpos(lower(email), lower($7)) > 0)
    AND ($8::text IS NULL OR (terms ? 'budget_id' AND terms ->> 'budget_id' = $8))
"""
_COUNT = f"SELECT count(*) {_LISTED}"
_LIST = f"SELECT {_COLUMNS} {_LISTED} ORDER BY created_at DESC, id LIMIT $9 OFFSET $10"

# A commit has one version, so a page may end inside one: kind and id continue it.
_CHANGES = f"""
SELECT {_COLUMNS} FROM keystore.owners WHERE (version, kind, id) > ($1, $2, $3) AND version <= $4
ORDER BY version, kind, id LIMIT {PAGE}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class WantedOwners:
    """What owners are to be listed; None: whatever it is. email: a part of it."""

    kind: Kind
    alias: str | None = None
    user_id: str | None = None
    team_id: str | None = None
    organization_id: str | None = None
    role: str | None = None
    email: str | None = None
    budget_id: str | None = None


class StoredOwners:
    """Reads them. GatewayError UNAVAILABLE when the store does not answer."""

    def __init__(self, server: Asks) -> None:
        self._server = server

    async def find(self, kind: Kind, ids: Sequence[str]) -> list[OwnerRow]:
        """Those of one kind with these ids."""
        return await self._rows(_FIND, kind.value, ids)

    async def is_gone(self, kind: Kind, owner_id: str) -> bool:
        """Whether there was one of this kind with this id, and is none now."""
        return bool((await self._server.fetch(_IS_GONE, kind.value, owner_id))[0]["gone"])

    async def of_users(self, user_ids: Sequence[str]) -> list[OwnerRow]:
        """All memberships of some users."""
        return await self._rows(_OF_USERS, user_ids)

    async def of_teams(self, team_ids: Sequence[str]) -> list[OwnerRow]:
        """All members of some teams."""
        return await self._rows(_OF_TEAMS, team_ids)

    async def of_organizations(self, organization_ids: Sequence[str]) -> list[OwnerRow]:
        """All members and teams of some organisations."""
        return await self._rows(_OF_ORGANIZATIONS, organization_ids)

    async def with_budgets(self, budget_ids: Sequence[str]) -> int:
        """How many owners refer to one of these budgets, for themselves or for their members."""
        return int((await self._server.fetch(_WITH_BUDGET, budget_ids))[0]["count"])

    async def page(self, wanted: WantedOwners, size: int, offset: int) -> tuple[list[OwnerRow], int]:
        """So many of those that are wanted, from there on, the newest first; and how many there are in all."""
        what = (
            wanted.kind.value,
            wanted.alias,
            wanted.user_id,
            wanted.team_id,
            wanted.organization_id,
            wanted.role,
            wanted.email,
            wanted.budget_id,
        )
        count = (await self._server.fetch(_COUNT, *what))[0]["count"]
        return await self._rows(_LIST, *what, size, offset), count

    async def changes(self, place: tuple[int, str, str], version: int) -> list[OwnerRow]:
        """The next PAGE owners that changed, deleted ones too, after a place in the feed (a version, and a kind and an
        id of it) up to a version."""
        return await self._rows(_CHANGES, *place, version)

    async def _rows(self, query: str, *arguments: Any) -> list[OwnerRow]:
        return [_row(record) for record in await self._server.fetch(query, *arguments)]


def written(row: OwnerRow) -> list[Any]:
    """As `WRITE` takes it."""
    owner = row.owner
    return [
        row.alias,
        row.email,
        owner.role,
        owner.user_id,
        owner.team_id,
        owner.organization_id,
        owner.blocked,
        json_of(owner.terms),
        json_of(owner.member_terms) if owner.member_terms is not None else None,
        json_of(owner.aliases),
        row.metadata_json,
        row.attributes_json,
        time_of(row.created_ms),
        row.created_by,
        time_of(row.updated_ms),
        row.updated_by,
        row.deleted,
    ]


def _row(record: asyncpg.Record) -> OwnerRow:
    return OwnerRow(
        owner=Owner(
            kind=Kind(record["kind"]),
            id=record["id"],
            terms=terms_of(record["terms"]),
            blocked=record["blocked"],
            role=record["role"],
            user_id=record["user_id"],
            team_id=record["team_id"],
            organization_id=record["organization_id"],
            aliases=names_of(record["aliases"]),
            member_terms=terms_of(record["member_terms"]) if record["member_terms"] is not None else None,
        ),
        alias=record["alias"],
        email=record["email"],
        metadata_json=record["metadata"],
        attributes_json=record["attributes"],
        created_ms=millis_of(record["created_at"]),
        created_by=record["created_by"],
        updated_ms=millis_of(record["updated_at"]),
        updated_by=record["updated_by"],
        deleted=record["deleted"],
        version=record["version"],
    )
