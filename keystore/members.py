"""What a key consists of, as administrators name it: what no key can have, how one changes, how it is shown. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.v1 import keystore_pb2

from keystore import secrets
from keystore.checks import (
    check_aliases,
    check_document,
    check_duration,
    check_names,
    check_terms,
    check_texts,
    invalid,
)
from keystore.policy.operations import Balance
from keystore.policy.owners import Key
from keystore.rows import KeyRow
from keystore.term_members import TERMS, shown_terms, with_members
from services import durations

# A hundred years: what a time can be told of everywhere.
MAX_DURATION_SECONDS = 100 * 366 * 24 * 3600

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What of a key may change beside its terms: what admission needs, and the rest.
_OF_KEY = (
    "blocked",
    "expires_ms",
    "user_id",
    "team_id",
    "organization_id",
    "tags",
    "aliases",
    "allowed_routes",
    "drop_params",
)
_OF_ROW = ("key_alias", "metadata_json", "attributes_json", "rotation_interval")
MEMBERS = frozenset((*_OF_KEY, *_OF_ROW, *TERMS, "terms"))


def check(key: keystore_pb2.Key, secret: str, duration_seconds: int) -> None:
    """INVALID_REQUEST names the first member that no key can have."""
    check_texts(
        {
            "key_alias": key.key_alias,
            "user_id": key.user_id,
            "team_id": key.team_id,
            "organization_id": key.organization_id,
            "key": secret,
        }
    )
    if secret and not (secret.startswith(secrets.PREFIX) and len(secret) > len(secrets.PREFIX)):
        raise invalid("A key of your own must start with 'sk-'.", "key")
    if not 0 <= duration_seconds <= MAX_DURATION_SECONDS:
        raise invalid("duration must be between 0 seconds and 100 years.", "duration")
    check_terms(key.terms)
    check_names(key.tags, "tags")
    check_aliases(key.aliases, "aliases")
    check_names(key.allowed_routes, "allowed_routes")
    check_duration(key.rotation_interval, "rotation_interval")
    check_document(key.metadata_json, "metadata")
    check_document(key.attributes_json, "attributes")


def check_members(members: Collection[str]) -> None:
    """INVALID_REQUEST names the first that is not to be changed."""
    for member in members:
        if member not in MEMBERS:
            raise invalid(f"{member} of a key cannot be changed.", member)


def new_row(asked: keystore_pb2.Key, secret: str, token: str, *, duration_seconds: int, by: str, now_ms: int) -> KeyRow:
    """A new key as it is asked for."""
    made = KeyRow(
        key=Key(key_id=token, token=token, key_name=secrets.key_name(secret)), created_ms=now_ms, created_by=by
    )
    return changed(made, MEMBERS, asked, duration_seconds=duration_seconds, by=by, now_ms=now_ms)


def changed(
    row: KeyRow, members: Collection[str], asked: keystore_pb2.Key, *, duration_seconds: int, by: str, now_ms: int
) -> KeyRow:
    """A key in which these members are as asked for."""
    values: dict[str, Any] = {
        "blocked": asked.blocked,
        "expires_ms": now_ms + duration_seconds * 1000 if duration_seconds else 0,
        "user_id": asked.user_id,
        "team_id": asked.team_id,
        "organization_id": asked.organization_id,
        "tags": tuple(dict.fromkeys(asked.tags)),
        "aliases": dict(asked.aliases),
        "allowed_routes": tuple(dict.fromkeys(asked.allowed_routes)),
        "drop_params": asked.drop_params if asked.HasField("drop_params") else None,
        "key_alias": asked.key_alias,
        "metadata_json": asked.metadata_json or "{}",
        "attributes_json": asked.attributes_json or "{}",
        "rotation_interval": asked.rotation_interval,
    }
    of_key = {name: values[name] for name in _OF_KEY if name in members}
    of_row = {name: values[name] for name in _OF_ROW if name in members}
    if "rotation_interval" in members:
        of_row["rotation_ms"] = next_rotation_ms(asked.rotation_interval, now_ms)
    key = replace(row.key, terms=with_members(row.key.terms, members, asked.terms), **of_key)
    return replace(row, key=key, updated_ms=now_ms, updated_by=by, **of_row)


def with_secret(row: KeyRow, secret: str, token: str, *, grace_seconds: int, now_ms: int) -> KeyRow:
    """A key with another secret. The one before it is good for so long; one before that no more."""
    key = replace(
        row.key,
        token=token,
        key_name=secrets.key_name(secret),
        previous_token=row.key.token if grace_seconds else "",
        previous_until_ms=now_ms + grace_seconds * 1000 if grace_seconds else 0,
    )
    return replace(
        row,
        key=key,
        rotation_ms=next_rotation_ms(row.rotation_interval, now_ms),
        rotation_count=row.rotation_count + 1,
    )


def next_rotation_ms(interval: str, now_ms: int) -> int:
    """When a key that gets its next secret by itself gets it; 0: never."""
    if not interval:
        return 0
    return now_ms + 1000 * durations.seconds_from(durations.parse(interval), _EPOCH + timedelta(milliseconds=now_ms))


def shown(row: KeyRow, balance: Balance | None, budget_reset_ms: int = 0) -> keystore_pb2.Key:
    """A key, with what it has spent; None: that is not known."""
    key = row.key
    return keystore_pb2.Key(
        key_id=key.key_id,
        token=key.token,
        key_name=key.key_name,
        key_alias=row.key_alias,
        blocked=key.blocked,
        expires_ms=key.expires_ms,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        user_id=key.user_id,
        team_id=key.team_id,
        metadata_json=row.metadata_json,
        spent_nano_usd=balance.spent_nano_usd if balance is not None else None,
        held_nano_usd=balance.held_nano_usd if balance is not None else 0,
        terms=shown_terms(key.terms),
        organization_id=key.organization_id,
        tags=key.tags,
        aliases=key.aliases,
        allowed_routes=key.allowed_routes,
        attributes_json=row.attributes_json,
        created_by=row.created_by,
        updated_by=row.updated_by,
        rotation_interval=row.rotation_interval,
        rotation_ms=row.rotation_ms,
        rotation_count=row.rotation_count,
        budget_reset_ms=budget_reset_ms,
        drop_params=key.drop_params,
    )
