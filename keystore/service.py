"""The control plane: virtual keys and the gateway's budget, for administrators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.v1 import keystore_pb2

from keystore import secrets
from keystore.announcer import Announcer
from keystore.change import secret_taken
from keystore.checks import check_texts, invalid, is_short
from keystore.keys import Keys
from keystore.members import MAX_DURATION_SECONDS, changed, check, check_members, new_row, shown, with_secret
from keystore.policy.operations import Balance
from keystore.policy.owners import Key
from keystore.policy.standing import Standings
from keystore.references import demand_budget, demand_places, make_user
from keystore.rows import KeyRow
from keystore.spending import Spending
from keystore.store import Store
from keystore.store_keys import SORTS, StoredKeys, Wanted
from services.errors import GatewayError, Reason, unavailable
from services.methods import (
    CREATE_KEY,
    DELETE_KEYS,
    GET_GATEWAY_BUDGET,
    GET_KEY,
    LIST_KEYS,
    REGENERATE_KEY,
    RESET_SPEND,
    SET_KEY_BLOCKED,
    UPDATE_KEY,
)
from services.transport import Handlers

# Of one delete.
MAX_NAMES = 1_000
# Of one page. What each has spent may have to be summed.
MAX_PAGE = 100
MAX_PAGES = 1_000_000
# A change is tried so often when others change the same key meanwhile; each time one of them has got through.
MAX_TRIES = 20


class KeysService:
    """Offers the RPCs of Keys. Each change is announced before it is answered: it holds from the next admission on."""

    def __init__(
        self,
        *,
        store: Store,
        keys: Keys,
        tokens: secrets.Tokens,
        announcer: Announcer,
        spending: Spending,
        standings: Standings,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._keys = keys
        self._tokens = tokens
        self._announcer = announcer
        self._spending = spending
        self._standings = standings
        self._now_ms = now_ms

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
            RESET_SPEND: self.reset_spend,
            GET_GATEWAY_BUDGET: self.get_gateway_budget,
        }

    async def create(self, request: keystore_pb2.CreateKeyRequest) -> keystore_pb2.CreateKeyResponse:
        """Make a key. Other keystores find it when it is first used, so this succeeds while Redis is away."""
        check(request.key, request.secret, request.duration_seconds)
        check_texts({"changed_by": request.changed_by})
        secret, token = self._secret(request.secret)
        by, now_ms = request.changed_by, self._now_ms()
        row = new_row(request.key, secret, token, duration_seconds=request.duration_seconds, by=by, now_ms=now_ms)
        async with self._store.change(by, now_ms) as change:
            await demand_budget(change, row.key.terms)
            await demand_places(change, row.key)
            await make_user(change, row.key.user_id, by, now_ms)
            await change.insert_key(row)
        await self._announcer.announce_if_possible(change.version)
        await self._spending.begin_new_key(row.key)
        return keystore_pb2.CreateKeyResponse(key=self._shown(row, Balance(0, 0)), secret=secret)

    async def get(self, request: keystore_pb2.GetKeyRequest) -> keystore_pb2.GetKeyResponse:
        """One key, with what it has spent. NOT_FOUND also when the digest is of a secret that a key had before."""
        row = await (self._holder(request.digest) if request.digest else self._find(request.name))
        return keystore_pb2.GetKeyResponse(key=self._shown(row, await self._spending.of_key(row.key)))

    async def list(self, request: keystore_pb2.ListKeysRequest) -> keystore_pb2.ListKeysResponse:
        """A page of keys. Without `with_spend` what they have spent is left out."""
        if not (1 <= request.size <= MAX_PAGE and 1 <= request.page <= MAX_PAGES):
            raise invalid(f"A page has 1 to {MAX_PAGE} keys, and there are at most {MAX_PAGES}.", "page")
        sort_by = request.sort_by or "created_ms"
        if sort_by not in SORTS:
            raise invalid(f"Keys are sorted by {', '.join(SORTS)}.", "sort_by")
        if len(request.team_ids) > MAX_NAMES:
            raise invalid(f"Name at most {MAX_NAMES} teams.", "team_id")
        texts = (request.user_id, request.team_id, request.key_alias, request.organization_id, *request.team_ids)
        if not all(map(is_short, texts)):
            return keystore_pb2.ListKeysResponse()
        wanted = Wanted(
            user_id=request.user_id or None,
            team_id=request.team_id or None,
            key_alias=request.key_alias or None,
            names=self._tokens.named(request.name) if request.name else None,
            organization_id=request.organization_id or None,
            team_ids=list(request.team_ids) or None,
            sort_by=sort_by,
            ascending=request.ascending,
        )
        rows, count = await self._store.keys.page(wanted, request.size, (request.page - 1) * request.size)
        return keystore_pb2.ListKeysResponse(
            keys=[
                self._shown(row, await self._spending.of_key(row.key) if request.with_spend else None) for row in rows
            ],
            total_count=count,
        )

    async def update(self, request: keystore_pb2.UpdateKeyRequest) -> keystore_pb2.UpdateKeyResponse:
        """Change members of one key. UNAVAILABLE as for `set_blocked`, or, when nothing has changed yet, because the
        ledger does not say what a key has spent that is to get a budget."""
        change = self._wanted(request)
        row, version = await self._change(request.name, "updated", request.changed_by, change)
        await self._announcer.announce(version)
        return keystore_pb2.UpdateKeyResponse(key=self._shown(row, await self._balance_if_known(row.key)))

    async def regenerate(self, request: keystore_pb2.RegenerateKeyRequest) -> keystore_pb2.RegenerateKeyResponse:
        """Give one key another secret, and change members of it. The old one is refused once its grace is over; without
        any from the next admission on, or while Redis is away within a second or so: the new one is told all the same,
        for it is told only once."""
        check(keystore_pb2.Key(), request.secret, 0)
        if not 0 <= request.grace_seconds <= MAX_DURATION_SECONDS:
            raise invalid("grace_period must be between 0 seconds and 100 years.", "grace_period")
        secret, token = self._secret(request.secret)
        wanted = self._wanted(request.change)

        def change(row: KeyRow) -> KeyRow:
            if token == row.key.token:
                raise secret_taken()
            return with_secret(wanted(row), secret, token, grace_seconds=request.grace_seconds, now_ms=self._now_ms())

        row, version = await self._change(request.change.name, "regenerated", request.change.changed_by, change)
        await self._announcer.announce_if_possible(version)
        balance = await self._balance_if_known(row.key)
        return keystore_pb2.RegenerateKeyResponse(key=self._shown(row, balance), secret=secret)

    async def set_blocked(self, request: keystore_pb2.SetKeyBlockedRequest) -> keystore_pb2.SetKeyBlockedResponse:
        """Block or unblock one key. UNAVAILABLE: it is stored, and holds everywhere within a second or so."""
        asked = keystore_pb2.UpdateKeyRequest(
            members=["blocked"], key=keystore_pb2.Key(blocked=request.blocked), changed_by=request.changed_by
        )
        action = "blocked" if request.blocked else "unblocked"
        row, version = await self._change(request.name, action, request.changed_by, self._wanted(asked))
        await self._announcer.announce(version)
        return keystore_pb2.SetKeyBlockedResponse(key=self._shown(row, await self._balance_if_known(row.key)))

    async def delete(self, request: keystore_pb2.DeleteKeysRequest) -> keystore_pb2.DeleteKeysResponse:
        """Delete keys, all or none. UNAVAILABLE as for `set_blocked`."""
        if not 0 < len(request.names) + len(request.aliases) <= MAX_NAMES:
            raise invalid(f"Name between 1 and {MAX_NAMES} keys.", "keys")
        check_texts({"changed_by": request.changed_by})
        if not all(map(is_short, request.aliases)):
            raise _not_found()
        async with self._store.change(request.changed_by, self._now_ms()) as change:
            rows = [*await self._all(change.keys, request.names), *await _with_aliases(change.keys, request.aliases)]
            await change.delete_keys(list({row.key.key_id: row for row in rows}.values()))
        await self._announcer.announce(change.version)
        return keystore_pb2.DeleteKeysResponse(deleted=[*request.names, *request.aliases])

    async def reset_spend(self, request: keystore_pb2.ResetSpendRequest) -> keystore_pb2.ResetSpendResponse:
        """Let what a key has spent begin anew at an amount. UNAVAILABLE as for `update`."""
        found = await self._find(request.name)
        spent_nano_usd = (await self._spending.of_key(found.key)).spent_nano_usd
        if not 0 <= request.spent_nano_usd <= spent_nano_usd:
            raise invalid("reset_to must be between 0 and what the key has spent.", "reset_to")
        now_ms = self._now_ms()

        def change(row: KeyRow) -> KeyRow:
            key = replace(row.key, spent_since_ms=now_ms, spent_before_nano_usd=request.spent_nano_usd)
            return replace(row, key=key, updated_ms=now_ms, updated_by=request.changed_by)

        row, version = await self._change(found.key.key_id, "spend_reset", request.changed_by, change)
        await self._announcer.announce(version)
        return keystore_pb2.ResetSpendResponse(key=self._shown(row, await self._balance_if_known(row.key)))

    async def get_gateway_budget(
        self, _: keystore_pb2.GetGatewayBudgetRequest
    ) -> keystore_pb2.GetGatewayBudgetResponse:
        """The budget of the whole gateway, and what all calls have spent in its present period."""
        cap, balance = await self._spending.of_gateway()
        return keystore_pb2.GetGatewayBudgetResponse(
            max_budget_nano_usd=cap,
            spent_nano_usd=balance.spent_nano_usd,
            held_nano_usd=balance.held_nano_usd,
        )

    def _secret(self, asked: str) -> tuple[str, str]:
        """The secret that is asked for, or a new one, and its token."""
        secret = asked or secrets.new_secret()
        return secret, self._tokens.token_of(secrets.digest_of(secret))

    def _wanted(self, request: keystore_pb2.UpdateKeyRequest) -> Callable[[KeyRow], KeyRow]:
        """The change that is asked for. INVALID_REQUEST: it cannot be."""
        check_members(request.members)
        check(request.key, "", request.duration_seconds)
        check_texts({"changed_by": request.changed_by})

        def change(row: KeyRow) -> KeyRow:
            return changed(
                row,
                request.members,
                request.key,
                duration_seconds=request.duration_seconds,
                by=request.changed_by,
                now_ms=self._now_ms(),
            )

        return change

    async def _change(self, name: str, action: str, by: str, wanted: Callable[[KeyRow], KeyRow]) -> tuple[KeyRow, int]:
        """The key after it, and the version of the change.

        Counters that an earlier budget has left stood still. They are told what the ledger knows before the change,
        which is why that goes by the key as it was then: when it is another meanwhile, all begins anew.
        """
        for _ in range(MAX_TRIES):
            found = await self._find(name)
            after = wanted(found)
            await self._spending.begin_budgets_of_key(found.key, after.key)
            async with self._store.change(by, self._now_ms()) as change:
                now = await change.key(found.key.key_id)
                if now is None:
                    raise _not_found()
                if now.version == found.version:
                    await demand_budget(change, after.key.terms)
                    await demand_places(change, after.key)
                    await make_user(change, after.key.user_id, by, self._now_ms())
                    await change.update_key(found, after, action)
                    return after, change.version
        raise unavailable("The key is being changed by many; try again.")

    async def _holder(self, digest: bytes) -> KeyRow:
        """The key that opens with the secret of this digest now."""
        rows = await self._store.keys.with_token(self._tokens.token_of(digest))
        if not rows:
            raise _not_found()
        return rows[0]

    async def _find(self, name: str) -> KeyRow:
        return (await self._all(self._store.keys, [name]))[0]

    async def _all(self, stored: StoredKeys, names: Sequence[str]) -> Sequence[KeyRow]:
        """The keys with these names."""
        meant = [self._tokens.named(name) for name in names]
        found: dict[str, KeyRow] = {}
        for row in await stored.find([each for tokens in meant for each in tokens]):
            found |= dict.fromkeys((row.key.previous_token, row.key.token, row.key.key_id), row)
        rows = [next((found[each] for each in tokens if each in found), None) for tokens in meant]
        if not all(rows):
            raise _not_found()
        return [row for row in rows if row is not None]

    def _shown(self, row: KeyRow, balance: Balance | None) -> keystore_pb2.Key:
        return shown(row, balance, self._standings.period_end_ms(self._standings.line_of_key(row.key), self._now_ms()))

    async def _balance_if_known(self, key: Key) -> Balance | None:
        """What is done must not be told as failed because the ledger is away."""
        try:
            return await self._spending.of_key(key)
        except GatewayError:
            return None


async def _with_aliases(stored: StoredKeys, aliases: Sequence[str]) -> list[KeyRow]:
    rows = await stored.find_aliases(aliases)
    if {row.key_alias for row in rows} != set(aliases):
        raise _not_found()
    return rows


def _not_found() -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_NOT_FOUND, "Key not found in database", param="key")
