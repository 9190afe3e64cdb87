"""What a key consists of, as administrators name it: what no key can have, and how one is shown. Pure."""

from __future__ import annotations

import json

from gateway.v1 import keystore_pb2

from keystore import secrets
from keystore.policy.access import Key
from keystore.policy.limits import MAX_LIMIT, limit_of
from keystore.policy.operations import Balance, Limit
from keystore.store import KeyRow
from services.errors import GatewayError, Reason
from services.money import MAX_BUDGET_NANO_USD

# Keys are held in memory by every keystore; these keep one from taking more than its share.
MAX_MODELS = 1_000
MAX_TEXT_CHARACTERS = 512
MAX_METADATA_BYTES = 64 * 1024
# A hundred years: what a time can be told of everywhere.
MAX_DURATION_SECONDS = 100 * 366 * 24 * 3600

LIMITS = ("rpm_limit", "tpm_limit", "max_parallel_requests")

# What of a key may change, by its column.
COLUMNS = {
    "key_alias": "key_alias",
    "models": "models",
    "max_budget_nano_usd": "max_budget_nano_usd",
    "blocked": "blocked",
    "expires_ms": "expires_at",
    "user_id": "user_id",
    "team_id": "team_id",
    "metadata_json": "metadata",
    **{name: name for name in LIMITS},
}


def check(key: keystore_pb2.Key, secret: str, duration_seconds: int) -> None:
    """INVALID_REQUEST names the first member that no key can have."""
    texts = {"key_alias": key.key_alias, "user_id": key.user_id, "team_id": key.team_id, "key": secret}
    for param, text in texts.items():
        if not is_short(text):
            raise invalid(f"{param} is longer than {MAX_TEXT_CHARACTERS} characters, or has a null in it.", param)
    if secret and not (secret.startswith(secrets.PREFIX) and len(secret) > len(secrets.PREFIX)):
        raise invalid("A key of your own must start with 'sk-'.", "key")
    if len(key.models) > MAX_MODELS or not all(map(is_short, key.models)):
        raise invalid(f"models holds more than {MAX_MODELS} names, or one that is too long.", "models")
    if not 0 <= key.max_budget_nano_usd <= MAX_BUDGET_NANO_USD:
        raise invalid("max_budget must be between 0 and 9000000 US dollars.", "max_budget")
    for name in LIMITS:
        if not 0 <= getattr(key, name) <= MAX_LIMIT:
            raise invalid(f"{name} must be between 0 and {MAX_LIMIT}.", name)
    if not 0 <= duration_seconds <= MAX_DURATION_SECONDS:
        raise invalid("duration must be between 0 seconds and 100 years.", "duration")
    if not _is_object(key.metadata_json or "{}"):
        raise invalid(f"metadata must be a JSON object of at most {MAX_METADATA_BYTES} bytes.", "metadata")


def row_of(
    asked: keystore_pb2.Key, *, key_id: str, token: str, key_name: str, duration_seconds: int, now_ms: int
) -> KeyRow:
    """A key as it is asked for, with these names."""
    return KeyRow(
        key=Key(
            key_id=key_id,
            token=token,
            key_name=key_name,
            models=frozenset(asked.models),
            max_budget_nano_usd=_if_set(asked, "max_budget_nano_usd"),
            blocked=asked.blocked,
            expires_ms=now_ms + duration_seconds * 1000 if duration_seconds else 0,
            user_id=asked.user_id,
            team_id=asked.team_id,
            limit=limit_of(key_id, *(_if_set(asked, name) for name in LIMITS)),
        ),
        key_alias=asked.key_alias,
        created_ms=now_ms,
        updated_ms=now_ms,
        metadata_json=asked.metadata_json or "{}",
    )


def shown(row: KeyRow, balance: Balance | None) -> keystore_pb2.Key:
    """A key, with what it has spent; None: that is not known."""
    key, limit = row.key, row.key.limit or Limit("")
    return keystore_pb2.Key(
        key_id=key.key_id,
        token=key.token,
        key_name=key.key_name,
        key_alias=row.key_alias,
        models=sorted(key.models),
        max_budget_nano_usd=key.max_budget_nano_usd,
        blocked=key.blocked,
        expires_ms=key.expires_ms,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        user_id=key.user_id,
        team_id=key.team_id,
        metadata_json=row.metadata_json,
        spent_nano_usd=balance.spent_nano_usd if balance is not None else None,
        held_nano_usd=balance.held_nano_usd if balance is not None else 0,
        rpm_limit=limit.requests,
        tpm_limit=limit.tokens,
        max_parallel_requests=limit.parallel,
    )


def is_short(text: str) -> bool:
    """Whether it can be kept; PostgreSQL knows no null character."""
    return len(text) <= MAX_TEXT_CHARACTERS and "\0" not in text


def invalid(message: str, param: str) -> GatewayError:
    """What was asked for cannot be."""
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)


def _if_set(key: keystore_pb2.Key, name: str) -> int | None:
    value: int | None = getattr(key, name) if key.HasField(name) else None
    return value


def _is_object(text: str) -> bool:
    if len(text.encode()) > MAX_METADATA_BYTES:
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
