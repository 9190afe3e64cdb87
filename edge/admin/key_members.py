"""Virtual keys as LiteLLM's paths write them, and how they are shown."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from gateway.v1 import keystore_pb2
from msgspec import UNSET, UnsetType

from edge.admin.times import duration_seconds, iso
from services.errors import GatewayError, Reason
from services.money import MAX_BUDGET_NANO_USD, nano_from_usd, usd_from_nano, usd_text

# What of a key may change: LiteLLM's name for it, and the keystore's.
MEMBERS = {
    "key_alias": "key_alias",
    "duration": "expires_ms",
    "models": "models",
    "max_budget": "max_budget_nano_usd",
    "metadata": "metadata_json",
    "user_id": "user_id",
    "team_id": "team_id",
    "rpm_limit": "rpm_limit",
    "tpm_limit": "tpm_limit",
    "max_parallel_requests": "max_parallel_requests",
    "blocked": "blocked",
}


class GenerateKey(msgspec.Struct):
    """The members of POST /key/generate that this version acts on."""

    key: str | None = None
    key_alias: str | None = None
    duration: str | None = None
    models: list[str] | None = None
    max_budget: int | float | None = None
    metadata: dict[str, Any] | None = None
    user_id: str | None = None
    team_id: str | None = None
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    max_parallel_requests: int | None = None


class UpdateKey(msgspec.Struct):
    """The members of POST /key/update. null takes away what a key has; what is not there stays as it is."""

    key: str
    key_alias: str | UnsetType | None = UNSET
    duration: str | UnsetType | None = UNSET
    models: list[str] | UnsetType | None = UNSET
    max_budget: int | float | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    user_id: str | UnsetType | None = UNSET
    team_id: str | UnsetType | None = UNSET
    rpm_limit: int | UnsetType | None = UNSET
    tpm_limit: int | UnsetType | None = UNSET
    max_parallel_requests: int | UnsetType | None = UNSET
    blocked: bool | UnsetType | None = UNSET


class RegenerateKey(UpdateKey):
    """The members of POST /key/regenerate. new_key: a secret of the admin's choice."""

    new_key: str | None = None


def change_of(asked: UpdateKey, body: dict[str, Any], now: datetime) -> keystore_pb2.UpdateKeyRequest:
    """What is asked for, as the keystore takes it."""
    change = keystore_pb2.UpdateKeyRequest(name=asked.key)
    for name, member in MEMBERS.items():
        value = getattr(asked, name)
        if value is UNSET:
            continue
        change.members.append(member)
        if value is None:
            continue  # it is not there, and so the key has none
        if name == "duration":
            change.duration_seconds = duration_seconds(value, now)
        elif name == "models":
            change.key.models.extend(value)
        elif name == "metadata":
            change.key.metadata_json = msgspec.json.encode(value).decode()
        elif name == "max_budget":
            change.key.max_budget_nano_usd = budget_of(body[name])
        elif isinstance(value, int) and not isinstance(value, bool):
            setattr(change.key, member, whole_number(value, name))
        else:
            setattr(change.key, member, value)
    return change


def refuse_unknown(body: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """A limit that is taken and not kept would be a lie: what this version does not act on is refused by name."""
    idle = sorted(
        name
        for name, value in body.items()
        if name not in struct.__struct_fields__ and value not in (None, False, [], {}, "", 0)
    )
    if idle:
        raise GatewayError(
            Reason.ERROR_REASON_INVALID_REQUEST,
            f"This version does not act on: {', '.join(idle)}. Leave them out.",
            param=idle[0],
        )


def whole_number(number: int | None, name: str) -> int | None:
    """A number that a message can carry; the keystore says what it may be."""
    if number is not None and not 0 <= number < 1 << 63:
        raise GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, f"{name} must not be below 0.", param=name)
    return number


def budget_of(usd: object) -> int:
    """Dollars of a JSON number in nano-USD, by its shortest decimal text: 0.1 is exactly 0.1."""
    try:
        nano_usd = nano_from_usd(Decimal(repr(usd)))
    except (ValueError, ArithmeticError):
        nano_usd = -1
    if not 0 <= nano_usd <= MAX_BUDGET_NANO_USD:
        raise GatewayError(
            Reason.ERROR_REASON_INVALID_REQUEST,
            f"max_budget must be an amount of US dollars, from 0 to {usd_text(MAX_BUDGET_NANO_USD)}.",
            param="max_budget",
        )
    return nano_usd


def key_row(key: keystore_pb2.Key) -> dict[str, object]:
    """A key as LiteLLM shows it."""
    has_budget = key.HasField("max_budget_nano_usd")
    return {
        "token": key.token,
        "key_name": key.key_name,
        "key_alias": key.key_alias or None,
        "models": list(key.models),
        "spend": usd_from_nano(key.spent_nano_usd) if key.HasField("spent_nano_usd") else None,
        "max_budget": usd_from_nano(key.max_budget_nano_usd) if has_budget else None,
        "held": usd_from_nano(key.held_nano_usd),
        "rpm_limit": key.rpm_limit if key.HasField("rpm_limit") else None,
        "tpm_limit": key.tpm_limit if key.HasField("tpm_limit") else None,
        "max_parallel_requests": key.max_parallel_requests if key.HasField("max_parallel_requests") else None,
        "blocked": key.blocked,
        "expires": iso(key.expires_ms),
        "metadata": msgspec.json.decode(key.metadata_json) if key.metadata_json else {},
        "user_id": key.user_id or None,
        "team_id": key.team_id or None,
        "created_at": iso(key.created_ms),
        "updated_at": iso(key.updated_ms),
    }
