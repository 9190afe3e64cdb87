"""Virtual keys: LiteLLM's /key/* paths onto the keystore's Keys service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from gateway.v1 import keystore_pb2
from msgspec import UNSET, UnsetType

from edge.admin.endpoint import Access, AdminRequest, AdminRoute, convert, number_of
from edge.admin.times import duration_seconds, iso
from services.errors import GatewayError, Reason
from services.methods import (
    CREATE_KEY,
    DELETE_KEYS,
    GET_KEY,
    LIST_KEYS,
    REGENERATE_KEY,
    SET_KEY_BLOCKED,
    UPDATE_KEY,
)
from services.money import MAX_BUDGET_NANO_USD, nano_from_usd, usd_from_nano, usd_text
from services.transport import Channel

# An admin waits longer than a call: the keystore may be catching up with PostgreSQL.
TIMEOUT_SECONDS = 10.0
# Of each key in a list what it has spent may have to be summed.
LIST_TIMEOUT_SECONDS = 60.0
# Keys on a page, if nobody says how many, as in LiteLLM.
PAGE = 10
MAX_PAGE = 100
MAX_PAGES = 1_000_000
LISTED_BY = frozenset(("page", "size", "user_id", "team_id", "key_alias", "key_hash", "return_full_object"))

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
            AdminRoute("GET", "/key/list", Access.MASTER, self.list),
            AdminRoute("POST", "/key/update", Access.MASTER, self.update),
            AdminRoute("POST", "/key/regenerate", Access.MASTER, self.regenerate),
            AdminRoute("POST", "/key/{key}/regenerate", Access.MASTER, self.regenerate),
            AdminRoute("POST", "/key/block", Access.MASTER, self.block),
            AdminRoute("POST", "/key/unblock", Access.MASTER, self.unblock),
            AdminRoute("POST", "/key/delete", Access.MASTER, self.delete),
        ]

    async def generate(self, request: AdminRequest) -> object:
        """A new key; the answer is the only place its secret is shown."""
        _refuse_unknown(request.body, GenerateKey)
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
        name = request.query.get("key")
        if request.credential.master:
            if not name:
                raise GatewayError(
                    Reason.ERROR_REASON_INVALID_REQUEST, "The query parameter 'key' is missing.", param="key"
                )
            return {"key": name, "info": key_row(await self._get(keystore_pb2.GetKeyRequest(name=name)))}
        own = await self._get(keystore_pb2.GetKeyRequest(digest=request.credential.digest))
        if name and (await self._get(keystore_pb2.GetKeyRequest(name=name))).key_id != own.key_id:
            raise GatewayError(
                Reason.ERROR_REASON_PERMISSION_DENIED, "Authentication Error, a key may see only itself.", param="key"
            )
        return {"key": name or request.credential.digest.hex(), "info": key_row(own)}

    async def list(self, request: AdminRequest) -> object:
        """A page of keys, the newest first: their tokens, or with `return_full_object` all of each."""
        query = request.query
        for name, value in query.items():
            if value and name not in LISTED_BY:
                raise GatewayError(
                    Reason.ERROR_REASON_INVALID_REQUEST, f"This version does not list keys by {name}.", param=name
                )
        page, size = number_of(query, "page", 1, MAX_PAGES), number_of(query, "size", PAGE, MAX_PAGE)
        is_full = query.get("return_full_object", "").lower() == "true"
        answer = await self._keystore.call(
            LIST_KEYS,
            keystore_pb2.ListKeysRequest(
                page=page,
                size=size,
                user_id=query.get("user_id"),
                team_id=query.get("team_id"),
                key_alias=query.get("key_alias"),
                name=query.get("key_hash"),
                with_spend=is_full,
            ),
            timeout_seconds=LIST_TIMEOUT_SECONDS,
        )
        return {
            "keys": [key_row(key) if is_full else key.token for key in answer.keys],
            "total_count": answer.total_count,
            "current_page": page,
            "total_pages": -(-answer.total_count // size),
        }

    async def update(self, request: AdminRequest) -> object:
        """Change what the body names, from the key's next call on."""
        _refuse_unknown(request.body, UpdateKey)
        asked: UpdateKey = convert(request.body, UpdateKey)
        answer = await self._keystore.call(
            UPDATE_KEY, self._change(asked, request.body), timeout_seconds=TIMEOUT_SECONDS
        )
        return {"key": asked.key, **key_row(answer.key)}

    async def regenerate(self, request: AdminRequest) -> object:
        """Another secret for a key, which stays the same key; the answer is the only place where it is shown."""
        body = {**request.body, **request.path}
        _refuse_unknown(body, RegenerateKey)
        asked: RegenerateKey = convert(body, RegenerateKey)
        answer = await self._keystore.call(
            REGENERATE_KEY,
            keystore_pb2.RegenerateKeyRequest(change=self._change(asked, body), secret=asked.new_key or ""),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        return {**key_row(answer.key), "key": answer.secret, "token_id": answer.key.token}

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

    async def _get(self, named: keystore_pb2.GetKeyRequest) -> keystore_pb2.Key:
        return (await self._keystore.call(GET_KEY, named, timeout_seconds=TIMEOUT_SECONDS)).key

    def _change(self, asked: UpdateKey, body: dict[str, Any]) -> keystore_pb2.UpdateKeyRequest:
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
                change.duration_seconds = duration_seconds(value, self._now())
            elif name == "models":
                change.key.models.extend(value)
            elif name == "metadata":
                change.key.metadata_json = msgspec.json.encode(value).decode()
            elif name == "max_budget":
                change.key.max_budget_nano_usd = _budget(body[name])
            elif isinstance(value, int) and not isinstance(value, bool):
                setattr(change.key, member, _whole(value, name))
            else:
                setattr(change.key, member, value)
        return change


def _refuse_unknown(body: dict[str, Any], struct: type[msgspec.Struct]) -> None:
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
