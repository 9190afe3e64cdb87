"""Virtual keys: LiteLLM's /key/* paths onto the keystore's Keys service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.endpoint import Access, AdminRequest, AdminRoute, convert
from edge.admin.times import duration_seconds, iso
from services.errors import GatewayError, Reason
from services.methods import CREATE_KEY, DELETE_KEYS, GET_KEY, SET_KEY_BLOCKED
from services.money import MAX_BUDGET_NANO_USD, nano_from_usd, usd_from_nano, usd_text
from services.transport import Channel

# An admin waits longer than a call: the keystore may be catching up with PostgreSQL.
TIMEOUT_SECONDS = 10.0


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


class NameKeys(msgspec.Struct):
    """POST /key/delete."""

    keys: list[str] | None = None
    key_aliases: list[str] | None = None


class NameKey(msgspec.Struct):
    """POST /key/block and /key/unblock."""

    key: str


class KeyAdmin:
    """The handlers of /key/*."""

    def __init__(self, keystore: Channel, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._keystore = keystore
        self._now = now

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("POST", "/key/generate", Access.MASTER, self.generate),
            AdminRoute("GET", "/key/info", Access.ANY_KEY, self.info),
            AdminRoute("POST", "/key/block", Access.MASTER, self.block),
            AdminRoute("POST", "/key/unblock", Access.MASTER, self.unblock),
            AdminRoute("POST", "/key/delete", Access.MASTER, self.delete),
        ]

    async def generate(self, request: AdminRequest) -> object:
        """A new key; the answer is the only place its secret is shown."""
        _refuse_unknown(request.body)
        asked: GenerateKey = convert(request.body, GenerateKey)
        key = keystore_pb2.Key(
            key_alias=asked.key_alias or "",
            models=asked.models or [],
            user_id=asked.user_id or "",
            team_id=asked.team_id or "",
            metadata_json=msgspec.json.encode(asked.metadata or {}).decode(),
            rpm_limit=_whole(asked.rpm_limit, "rpm_limit"),
            tpm_limit=_whole(asked.tpm_limit, "tpm_limit"),
            max_parallel_requests=_whole(asked.max_parallel_requests, "max_parallel_requests"),
        )
        if asked.max_budget is not None:
            key.max_budget_nano_usd = _budget(request.body["max_budget"])
        answer = await self._keystore.call(
            CREATE_KEY,
            keystore_pb2.CreateKeyRequest(
                key=key,
                secret=asked.key or "",
                duration_seconds=duration_seconds(asked.duration, self._now()) if asked.duration else 0,
            ),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        return {**key_row(answer.key), "key": answer.secret, "token_id": answer.key.token, "duration": None}

    async def info(self, request: AdminRequest) -> object:
        """One key; without `key` the caller's own, which is also the only one that a virtual key may see."""
        assert request.credential is not None
        own = request.credential.digest.hex()
        name = request.query.get("key") or ("" if request.credential.master else own)
        if not name:
            raise GatewayError(
                Reason.ERROR_REASON_INVALID_REQUEST, "The query parameter 'key' is missing.", param="key"
            )
        key = await self._get(name)
        if not request.credential.master and (await self._get(own)).key_id != key.key_id:
            raise GatewayError(
                Reason.ERROR_REASON_PERMISSION_DENIED, "Authentication Error, a key may see only itself.", param="key"
            )
        return {"key": name, "info": key_row(key)}

    async def block(self, request: AdminRequest) -> object:
        """Refuse a key from its next call on."""
        return await self._set_blocked(request, True)

    async def unblock(self, request: AdminRequest) -> object:
        """Take a key again."""
        return await self._set_blocked(request, False)

    async def delete(self, request: AdminRequest) -> object:
        """Remove keys for good."""
        asked: NameKeys = convert(request.body, NameKeys)
        if not asked.keys and not asked.key_aliases:
            raise GatewayError(
                Reason.ERROR_REASON_INVALID_REQUEST, "Name keys in 'keys' or 'key_aliases'.", param="keys"
            )
        answer = await self._keystore.call(
            DELETE_KEYS,
            keystore_pb2.DeleteKeysRequest(names=asked.keys or [], aliases=asked.key_aliases or []),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        return {"deleted_keys": list(answer.deleted)}

    async def _set_blocked(self, request: AdminRequest, blocked: bool) -> object:
        asked: NameKey = convert(request.body, NameKey)
        answer = await self._keystore.call(
            SET_KEY_BLOCKED,
            keystore_pb2.SetKeyBlockedRequest(name=asked.key, blocked=blocked),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        return key_row(answer.key)

    async def _get(self, name: str) -> keystore_pb2.Key:
        answer = await self._keystore.call(
            GET_KEY, keystore_pb2.GetKeyRequest(name=name), timeout_seconds=TIMEOUT_SECONDS
        )
        return answer.key


def _refuse_unknown(body: dict[str, Any]) -> None:
    """A limit that is taken and not kept would be a lie: what this version does not act on is refused by name."""
    idle = sorted(
        name
        for name, value in body.items()
        if name not in GenerateKey.__struct_fields__ and value not in (None, False, [], {}, "", 0)
    )
    if idle:
        raise GatewayError(
            Reason.ERROR_REASON_INVALID_REQUEST,
            f"This version does not act on: {', '.join(idle)}. Leave them out.",
            param=idle[0],
        )


def _whole(number: int | None, name: str) -> int | None:
    """A number that a message can carry; the keystore says what it may be."""
    if number is not None and not 0 <= number < 1 << 63:
        raise GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, f"{name} must not be below 0.", param=name)
    return number


def _budget(usd: object) -> int:
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
        "spend": usd_from_nano(key.spent_nano_usd),
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
