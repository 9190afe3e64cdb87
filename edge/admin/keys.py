"""Virtual keys: LiteLLM's /key/* paths onto the keystore's Keys service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.endpoint import Access, AdminRequest, AdminRoute, convert, number_of
from edge.admin.key_members import (
    GenerateKey,
    RegenerateKey,
    UpdateKey,
    budget_of,
    change_of,
    key_row,
    refuse_unknown,
    whole_number,
)
from edge.admin.times import duration_seconds
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
        refuse_unknown(request.body, GenerateKey)
        asked: GenerateKey = convert(request.body, GenerateKey)
        key = keystore_pb2.Key(
            key_alias=asked.key_alias or "",
            models=asked.models or [],
            user_id=asked.user_id or "",
            team_id=asked.team_id or "",
            metadata_json=msgspec.json.encode(asked.metadata or {}).decode(),
            rpm_limit=whole_number(asked.rpm_limit, "rpm_limit"),
            tpm_limit=whole_number(asked.tpm_limit, "tpm_limit"),
            max_parallel_requests=whole_number(asked.max_parallel_requests, "max_parallel_requests"),
        )
        if asked.max_budget is not None:
            key.max_budget_nano_usd = budget_of(request.body["max_budget"])
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
        refuse_unknown(request.body, UpdateKey)
        asked: UpdateKey = convert(request.body, UpdateKey)
        answer = await self._keystore.call(
            UPDATE_KEY, change_of(asked, request.body, self._now()), timeout_seconds=TIMEOUT_SECONDS
        )
        return {"key": asked.key, **key_row(answer.key)}

    async def regenerate(self, request: AdminRequest) -> object:
        """Another secret for a key, which stays the same key; the answer is the only place where it is shown."""
        body = {**request.body, **request.path}
        refuse_unknown(body, RegenerateKey)
        asked: RegenerateKey = convert(body, RegenerateKey)
        answer = await self._keystore.call(
            REGENERATE_KEY,
            keystore_pb2.RegenerateKeyRequest(change=change_of(asked, body, self._now()), secret=asked.new_key or ""),
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
