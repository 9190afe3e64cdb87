"""The control plane: virtual keys and the gateway's budget, for administrators."""

from __future__ import annotations

from collections.abc import Callable

from gateway.v1 import keystore_pb2
from structlog.typing import FilteringBoundLogger

from keystore import secrets
from keystore.counters import Counters
from keystore.keys import Keys
from keystore.members import COLUMNS, check, invalid, is_short, row_of, shown
from keystore.policy.access import GATEWAY_SCOPE, Key, key_scope
from keystore.policy.operations import Balance, Raise, Seed
from keystore.spending import Spending
from keystore.store import KeyRow, Store, Wanted, secret_taken
from services.errors import GatewayError, Reason
from services.methods import (
    CREATE_KEY,
    DELETE_KEYS,
    GET_GATEWAY_BUDGET,
    GET_KEY,
    LIST_KEYS,
    REGENERATE_KEY,
    SET_KEY_BLOCKED,
    UPDATE_KEY,
)
from services.transport import Handlers

# Of one delete.
MAX_NAMES = 1_000
# Of one page. What each has spent may have to be summed.
MAX_PAGE = 100
MAX_PAGES = 1_000_000


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
            LIST_KEYS: self.list,
            UPDATE_KEY: self.update,
            REGENERATE_KEY: self.regenerate,
            SET_KEY_BLOCKED: self.set_blocked,
            DELETE_KEYS: self.delete,
            GET_GATEWAY_BUDGET: self.get_gateway_budget,
        }

    async def create(self, request: keystore_pb2.CreateKeyRequest) -> keystore_pb2.CreateKeyResponse:
        """Make a key. Other keystores find it when it is first used, so this succeeds while Redis is away."""
        check(request.key, request.secret, request.duration_seconds)
        secret, token = await self._secret(request.secret)
        row = row_of(
            request.key,
            key_id=token,
            token=token,
            key_name=secrets.key_name(secret),
            duration_seconds=request.duration_seconds,
            now_ms=self._now_ms(),
        )
        version = await self._store.insert(row)
        try:
            if row.key.max_budget_nano_usd is not None:
                await self._counters.decide([Seed(key_scope(row.key.key_id), 0)])
            await self._announce(version)
        except GatewayError as error:
            self._log.warning("key_not_announced", key_id=row.key.key_id, error=error.message)
        return keystore_pb2.CreateKeyResponse(key=shown(row, Balance(0, 0)), secret=secret)

    async def get(self, request: keystore_pb2.GetKeyRequest) -> keystore_pb2.GetKeyResponse:
        """One key, with what it has spent. NOT_FOUND also when the digest is of a secret that a key had before."""
        row = await (self._holder(request.digest) if request.digest else self._find(request.name))
        return keystore_pb2.GetKeyResponse(key=shown(row, await self._balance(row.key)))

    async def list(self, request: keystore_pb2.ListKeysRequest) -> keystore_pb2.ListKeysResponse:
        """A page of keys. Without `with_spend` what they have spent is left out."""
        if not (1 <= request.size <= MAX_PAGE and 1 <= request.page <= MAX_PAGES):
            raise invalid(f"A page has 1 to {MAX_PAGE} keys, and there are at most {MAX_PAGES}.", "page")
        if not all(map(is_short, (request.user_id, request.team_id, request.key_alias))):
            return keystore_pb2.ListKeysResponse()
        names = self._tokens.named(request.name) if request.name else None
        wanted = Wanted(request.user_id or None, request.team_id or None, request.key_alias or None, names)
        rows, count = await self._store.page(wanted, request.size, (request.page - 1) * request.size)
        return keystore_pb2.ListKeysResponse(
            keys=[shown(row, await self._balance(row.key) if request.with_spend else None) for row in rows],
            total_count=count,
        )

    async def update(self, request: keystore_pb2.UpdateKeyRequest) -> keystore_pb2.UpdateKeyResponse:
        """Change members of one key. UNAVAILABLE as for `set_blocked`, or, when nothing has changed yet, because the
        ledger does not say what a key has spent that is to get a budget."""
        row = await self._change(request, None)
        await self._announce(row.version)
        return keystore_pb2.UpdateKeyResponse(key=shown(row, await self._balance_if_known(row.key)))

    async def regenerate(self, request: keystore_pb2.RegenerateKeyRequest) -> keystore_pb2.RegenerateKeyResponse:
        """Give one key another secret, and change members of it. The old one is refused from the next admission on, or
        while Redis is away within a second or so: the new one is told all the same, for it is told only once."""
        check(keystore_pb2.Key(), request.secret, 0)
        secret, _ = await self._secret(request.secret)
        row = await self._change(request.change, secret)
        try:
            await self._announce(row.version)
        except GatewayError as error:
            self._log.warning("key_not_announced", key_id=row.key.key_id, error=error.message)
        balance = await self._balance_if_known(row.key)
        return keystore_pb2.RegenerateKeyResponse(key=shown(row, balance), secret=secret)

    async def set_blocked(self, request: keystore_pb2.SetKeyBlockedRequest) -> keystore_pb2.SetKeyBlockedResponse:
        """Block or unblock one key. UNAVAILABLE: it is stored, and holds everywhere within a second or so."""
        found = await self._find(request.name)
        row = await self._store.set_blocked(found.key.key_id, request.blocked, self._now_ms())
        if row is None:
            raise _not_found()
        await self._announce(row.version)
        return keystore_pb2.SetKeyBlockedResponse(key=shown(row, await self._balance(row.key)))

    async def delete(self, request: keystore_pb2.DeleteKeysRequest) -> keystore_pb2.DeleteKeysResponse:
        """Delete keys, all or none. UNAVAILABLE as for `set_blocked`."""
        if not 0 < len(request.names) + len(request.aliases) <= MAX_NAMES:
            raise invalid(f"Name between 1 and {MAX_NAMES} keys.", "keys")
        key_ids = {(await self._find(name)).key.key_id for name in request.names}
        if not all(map(is_short, request.aliases)):
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

    async def _secret(self, asked: str) -> tuple[str, str]:
        """The secret that is asked for, or a new one, and its token. CONFLICT: it was one before."""
        secret = asked or secrets.new_secret()
        token = self._tokens.token_of(secrets.digest_of(secret))
        if asked and await self._store.is_retired(token):
            raise secret_taken()
        return secret, token

    async def _change(self, request: keystore_pb2.UpdateKeyRequest, secret: str | None) -> KeyRow:
        """The key after it."""
        for member in request.members:
            if member not in COLUMNS:
                raise invalid(f"{member} of a key cannot be changed.", member)
        check(request.key, "", request.duration_seconds)
        found = (await self._find(request.name)).key
        token, key_name, columns = found.token, found.key_name, {COLUMNS[member] for member in request.members}
        if secret is not None:
            token, key_name = self._tokens.token_of(secrets.digest_of(secret)), secrets.key_name(secret)
            columns |= {"token", "key_name"}
            if token == found.token:
                raise secret_taken()
        changed = row_of(
            request.key,
            key_id=found.key_id,
            token=token,
            key_name=key_name,
            duration_seconds=request.duration_seconds,
            now_ms=self._now_ms(),
        )
        if "max_budget_nano_usd" in columns and changed.key.max_budget_nano_usd is not None:
            await self._begin_budget(found)
        row = await self._store.update(changed, columns)
        if row is None:
            raise _not_found()
        return row

    async def _begin_budget(self, key: Key) -> None:
        """A counter that an earlier budget of the key has left stood still: tell it what the ledger knows."""
        if key.max_budget_nano_usd is None:
            scope = key_scope(key.key_id)
            await self._counters.decide([Raise(scope, await self._spending.sum(scope))])

    async def _holder(self, digest: bytes) -> KeyRow:
        """The key that has the secret with this digest now."""
        token = self._tokens.token_of(digest)
        for row in await self._store.find([token]):
            if row.key.token == token:
                return row
        raise _not_found()

    async def _find(self, name: str) -> KeyRow:
        names = self._tokens.named(name)
        rows = await self._store.find(names) if names else []
        if len(rows) != 1:
            raise _not_found()
        return rows[0]

    async def _balance_if_known(self, key: Key) -> Balance | None:
        """What is done must not be told as failed because the ledger is away."""
        try:
            return await self._balance(key)
        except GatewayError:
            return None

    async def _balance(self, key: Key) -> Balance:
        return await self._spending.balance(key_scope(key.key_id), counted=key.max_budget_nano_usd is not None)


def _not_found() -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_NOT_FOUND, "Key not found in database", param="key")
