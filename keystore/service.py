"""The control plane: virtual keys and the gateway's budget, for administrators."""

from __future__ import annotations

import json
from collections.abc import Callable

from gateway.v1 import keystore_pb2
from structlog.typing import FilteringBoundLogger

from keystore import secrets
from keystore.counters import Counters
from keystore.keys import Keys
from keystore.policy.access import GATEWAY_SCOPE, Key, key_scope
from keystore.policy.limits import MAX_LIMIT, limit_of
from keystore.policy.operations import Balance, Seed
from keystore.spending import Spending
from keystore.store import KeyRow, Store
from services.errors import GatewayError, Reason
from services.methods import CREATE_KEY, DELETE_KEYS, GET_GATEWAY_BUDGET, GET_KEY, SET_KEY_BLOCKED
from services.money import MAX_BUDGET_NANO_USD
from services.transport import Handlers

# Keys are held in memory by every keystore; these keep one from taking more than its share.
MAX_MODELS = 1_000
MAX_TEXT_CHARACTERS = 512
MAX_METADATA_BYTES = 64 * 1024
# Of one delete.
MAX_NAMES = 1_000
# A hundred years: what a time can be told of everywhere.
MAX_DURATION_SECONDS = 100 * 366 * 24 * 3600

LIMITS = ("rpm_limit", "tpm_limit", "max_parallel_requests")


class KeysService:
    """Offers the RPCs of Keys. Each change is announced before it is answered: it holds from the next admission on."""

    def __init__(
        self,
        *,
        store: Store,
        keys: Keys,
        tokens: secrets.Tokens,
        counters: Counters,
        spending: Spending,
        gateway_cap_nano_usd: int | None,
        now_ms: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self._store = store
        self._keys = keys
        self._tokens = tokens
        self._counters = counters
        self._spending = spending
        self._gateway_cap_nano_usd = gateway_cap_nano_usd
        self._now_ms = now_ms
        self._log = log

    @property
    def handlers(self) -> Handlers:
        """Each RPC's."""
        return {
            CREATE_KEY: self.create,
            GET_KEY: self.get,
            SET_KEY_BLOCKED: self.set_blocked,
            DELETE_KEYS: self.delete,
            GET_GATEWAY_BUDGET: self.get_gateway_budget,
        }

    async def create(self, request: keystore_pb2.CreateKeyRequest) -> keystore_pb2.CreateKeyResponse:
        """Make a key. Other keystores find it when it is first used, so this succeeds while Redis is away."""
        _check(request)
        secret = request.secret or secrets.new_secret()
        now_ms = self._now_ms()
        row = self._row(request, secret, now_ms)
        version = await self._store.insert(row)
        try:
            if row.key.max_budget_nano_usd is not None:
                await self._counters.decide([Seed(key_scope(row.key.key_id), 0)])
            await self._announce(version)
        except GatewayError as error:
            self._log.warning("key_not_announced", key_id=row.key.key_id, error=error.message)
        return keystore_pb2.CreateKeyResponse(key=_shown(row, Balance(0, 0)), secret=secret)

    async def get(self, request: keystore_pb2.GetKeyRequest) -> keystore_pb2.GetKeyResponse:
        """One key, with what it has spent."""
        row = await self._find(request.name)
        return keystore_pb2.GetKeyResponse(key=_shown(row, await self._balance(row.key)))

    async def set_blocked(self, request: keystore_pb2.SetKeyBlockedRequest) -> keystore_pb2.SetKeyBlockedResponse:
        """Block or unblock one key. UNAVAILABLE: it is stored, and holds everywhere within a second or so."""
        found = await self._find(request.name)
        row = await self._store.set_blocked(found.key.key_id, request.blocked, self._now_ms())
        if row is None:
            raise _not_found()
        await self._announce(row.version)
        return keystore_pb2.SetKeyBlockedResponse(key=_shown(row, await self._balance(row.key)))

    async def delete(self, request: keystore_pb2.DeleteKeysRequest) -> keystore_pb2.DeleteKeysResponse:
        """Delete keys, all or none. UNAVAILABLE as for `set_blocked`."""
        if not 0 < len(request.names) + len(request.aliases) <= MAX_NAMES:
            raise _invalid(f"Name between 1 and {MAX_NAMES} keys.", "keys")
        key_ids = {(await self._find(name)).key.key_id for name in request.names}
        if not all(map(_is_short, request.aliases)):
            raise _not_found()
        by_alias = {row.key_alias: row.key.key_id for row in await self._store.find_aliases(request.aliases)}
        if any(alias not in by_alias for alias in request.aliases):
            raise _not_found()
        version = await self._store.delete(sorted(key_ids | set(by_alias.values())), self._now_ms())
        if version is None:
            raise _not_found()
        await self._announce(version)
        return keystore_pb2.DeleteKeysResponse(deleted=[*request.names, *request.aliases])

    async def get_gateway_budget(
        self, _: keystore_pb2.GetGatewayBudgetRequest
    ) -> keystore_pb2.GetGatewayBudgetResponse:
        """The budget of the whole gateway, and what all calls have spent."""
        cap = self._gateway_cap_nano_usd
        balance = await self._spending.balance(GATEWAY_SCOPE, counted=cap is not None)
        return keystore_pb2.GetGatewayBudgetResponse(
            max_budget_nano_usd=cap,
            spent_nano_usd=balance.spent_nano_usd,
            held_nano_usd=balance.held_nano_usd,
        )

    async def _announce(self, version: int) -> None:
        await self._keys.reach(version)
        await self._counters.announce(version)

    async def _find(self, name: str) -> KeyRow:
        names = self._tokens.named(name)
        rows = await self._store.find(names) if names else []
        if len(rows) != 1:
            raise _not_found()
        return rows[0]

    async def _balance(self, key: Key) -> Balance:
        return await self._spending.balance(key_scope(key.key_id), counted=key.max_budget_nano_usd is not None)

    def _row(self, request: keystore_pb2.CreateKeyRequest, secret: str, now_ms: int) -> KeyRow:
        asked = request.key
        token = self._tokens.token_of(secrets.digest_of(secret))
        return KeyRow(
            key=Key(
                key_id=token,
                token=token,
                key_name=secrets.key_name(secret),
                models=frozenset(asked.models),
                max_budget_nano_usd=_if_set(asked, "max_budget_nano_usd"),
                blocked=asked.blocked,
                expires_ms=now_ms + request.duration_seconds * 1000 if request.duration_seconds else 0,
                user_id=asked.user_id,
                team_id=asked.team_id,
                limit=limit_of(token, *(_if_set(asked, name) for name in LIMITS)),
            ),
            key_alias=asked.key_alias,
            created_ms=now_ms,
            updated_ms=now_ms,
            metadata_json=asked.metadata_json or "{}",
        )


def _check(request: keystore_pb2.CreateKeyRequest) -> None:
    """INVALID_REQUEST names the first member that no key can have."""
    key = request.key
    texts = {"key_alias": key.key_alias, "user_id": key.user_id, "team_id": key.team_id, "key": request.secret}
    for param, text in texts.items():
        if not _is_short(text):
            raise _invalid(f"{param} is longer than {MAX_TEXT_CHARACTERS} characters, or has a null in it.", param)
    if request.secret and not (request.secret.startswith(secrets.PREFIX) and len(request.secret) > len(secrets.PREFIX)):
        raise _invalid("A key of your own must start with 'sk-'.", "key")
    if len(key.models) > MAX_MODELS or not all(map(_is_short, key.models)):
        raise _invalid(f"models holds more than {MAX_MODELS} names, or one that is too long.", "models")
    if not 0 <= key.max_budget_nano_usd <= MAX_BUDGET_NANO_USD:
        raise _invalid("max_budget must be between 0 and 9000000 US dollars.", "max_budget")
    for name in LIMITS:
        if not 0 <= getattr(key, name) <= MAX_LIMIT:
            raise _invalid(f"{name} must be between 0 and {MAX_LIMIT}.", name)
    if not 0 <= request.duration_seconds <= MAX_DURATION_SECONDS:
        raise _invalid("duration must be between 0 seconds and 100 years.", "duration")
    if not _is_object(key.metadata_json or "{}"):
        raise _invalid(f"metadata must be a JSON object of at most {MAX_METADATA_BYTES} bytes.", "metadata")


def _if_set(key: keystore_pb2.Key, name: str) -> int | None:
    return getattr(key, name) if key.HasField(name) else None


def _is_short(text: str) -> bool:
    """Whether it can be kept; PostgreSQL knows no null character."""
    return len(text) <= MAX_TEXT_CHARACTERS and "\0" not in text


def _is_object(text: str) -> bool:
    if len(text.encode()) > MAX_METADATA_BYTES:
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _shown(row: KeyRow, balance: Balance) -> keystore_pb2.Key:
    key, limit = row.key, row.key.limit
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
        spent_nano_usd=balance.spent_nano_usd,
        held_nano_usd=balance.held_nano_usd,
        rpm_limit=limit.requests if limit is not None else None,
        tpm_limit=limit.tokens if limit is not None else None,
        max_parallel_requests=limit.parallel if limit is not None else None,
    )


def _not_found() -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_NOT_FOUND, "Key not found in database", param="key")


def _invalid(message: str, param: str) -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)
