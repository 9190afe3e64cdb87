"""Virtual keys: LiteLLM's /key/* paths that make and change them, onto the keystore's Keys service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.columns import refuse_others, shown
from edge.admin.endpoint import AdminAnswer, AdminRequest, AdminRoute, convert
from edge.admin.key_members import ALSO, COLUMNS, answer_row, key_change, key_row, new_key, normal
from edge.admin.key_rights import KeyRights
from edge.admin.kinds import budget_of
from edge.admin.making import bounded, filled_for, taken_away
from edge.admin.owners import Owners
from edge.admin.rights import after_change, expiry
from edge.admin.times import duration_seconds, iso
from edge.admin.words import Body, invalid
from services.admin_defaults import AdminDefaults
from services.errors import GatewayError
from services.methods import (
    CREATE_KEY,
    DELETE_KEYS,
    GET_KEY,
    LIST_KEYS,
    NEXT_SECRET,
    REGENERATE_KEY,
    RESET_SPEND,
    SET_KEY_BLOCKED,
    UPDATE_KEY,
)
from services.money import usd_from_nano
from services.transport import Channel

# An admin waits longer than a call: the keystore may be catching up with PostgreSQL.
TIMEOUT_SECONDS = 10.0
# Each of one body is several questions to the keystore.
MAX_CHANGED_AT_ONCE = 500


class NameKeys(msgspec.Struct):
    """POST /key/delete."""

    keys: list[str] | None = None
    key_aliases: list[str] | None = None


class NameKey(msgspec.Struct):
    """POST /key/block, /key/unblock, and the one that an update is about."""

    key: str


class UpdateKeys(msgspec.Struct):
    """POST /key/bulk_update."""

    keys: list[dict[str, Any]] = []


class ResetSpend(msgspec.Struct):
    """POST /key/{key}/reset_spend."""

    reset_to: int | float = 0


class KeyAdmin:
    """The handlers of /key/* that change something. now: the wall clock."""

    def __init__(
        self,
        keystore: Channel,
        owners: Owners,
        rights: KeyRights,
        defaults: AdminDefaults,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keystore = keystore
        self._owners = owners
        self._rights = rights
        self._defaults = defaults
        self._now = now

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("POST", "/key/generate", self.generate),
            AdminRoute("POST", "/key/service-account/generate", self.generate_for_a_service),
            AdminRoute("POST", "/key/update", self.update),
            AdminRoute("POST", "/key/bulk_update", self.update_many),
            AdminRoute("POST", "/key/regenerate", self.regenerate),
            AdminRoute("POST", "/key/{key}/regenerate", self.regenerate),
            AdminRoute("POST", "/key/next_secret", self.next_secret),
            AdminRoute("POST", "/key/{key}/reset_spend", self.reset_spend),
            AdminRoute("POST", "/key/block", self.block),
            AdminRoute("POST", "/key/unblock", self.unblock),
            AdminRoute("POST", "/key/delete", self.delete),
        ]

    async def generate(self, request: AdminRequest) -> object:
        """A new key; the answer is the only place its secret is shown."""
        return await self.make(request, request.body)

    async def generate_for_a_service(self, request: AdminRequest) -> object:
        """A new key of a team and of no user."""
        body = request.body
        if not body.get("team_id"):
            detail = "team_id is required for service account keys. Please specify `team_id` in the request body."
            return AdminAnswer(400, {"detail": detail})
        if body.get("user_id"):
            raise invalid("A service account's key has no user_id.", "user_id")
        metadata = body.get("metadata")
        named = {"service_account_id": body.get("key_alias")} if body.get("key_alias") else {}
        return await self.make(request, {**body, "metadata": {**(metadata or named)}})

    async def make(self, request: AdminRequest, body: Body) -> dict[str, object]:
        """A new key of this body, by whoever asks."""
        now = self._now()
        own = request.caller.key if not request.reach.everything else None
        fill = filled_for(shown(COLUMNS, own) if own is not None else {}, self._defaults.key, self._defaults.upper)
        said = normal(bounded(body, self._defaults.upper, fill))
        asked = new_key(said, now)
        wants_ms = expiry(asked.duration_seconds, _ms(now))
        if own is not None and own.expires_ms and body.get("duration") is None:
            wants_ms = min(wants_ms, own.expires_ms) if wants_ms else own.expires_ms
        await self._rights.may_make(request, asked.key, wants_ms, said)
        if wants_ms:
            asked.duration_seconds = max(1, (wants_ms - _ms(now)) // 1000)
        asked.key.created_by = asked.changed_by = request.changed_by
        answer = await self._keystore.call(CREATE_KEY, asked, timeout_seconds=TIMEOUT_SECONDS)
        return {**answer_row(answer.key, answer.secret), **await self._budget_table(answer.key)}

    async def update(self, request: AdminRequest) -> object:
        """Change what the body names, from the key's next call on."""
        return await self._update(request, request.body)

    async def update_many(self, request: AdminRequest) -> object:
        """The same for several keys, one after the other; what could not be changed is told of."""
        asked: UpdateKeys = convert(request.body, UpdateKeys)
        if not asked.keys:
            return AdminAnswer(400, {"detail": {"error": "No keys provided for update"}})
        if len(asked.keys) > MAX_CHANGED_AT_ONCE:
            raise invalid(f"At most {MAX_CHANGED_AT_ONCE} keys at once.", "keys")
        good: list[dict[str, object]] = []
        bad: list[dict[str, object]] = []
        for body in asked.keys:
            name = body.get("key")
            try:
                good.append({"key": name, "key_info": await self._update(request, body)})
            except GatewayError as error:
                bad.append({"key": name, "key_info": None, "failed_reason": error.message})
        return {"total_requested": len(asked.keys), "successful_updates": good, "failed_updates": bad}

    async def regenerate(self, request: AdminRequest) -> object:
        """Another secret for a key, which stays the same key; the answer is the only place where it is shown."""
        body = {**request.body, **request.path}
        secret, grace = body.pop("new_key", None), body.pop("grace_period", None)
        if not isinstance(secret, str | None):
            raise invalid("new_key must be a text.", "new_key")
        if not isinstance(grace, str | None):
            raise invalid("grace_period must be a duration, such as 24h.", "grace_period")
        change = await self._change(request, body, shows_secret=True)
        asked = keystore_pb2.RegenerateKeyRequest(
            change=change,
            secret=secret or "",
            grace_seconds=duration_seconds(grace, self._now(), "grace_period") if grace else 0,
        )
        answer = await self._keystore.call(REGENERATE_KEY, asked, timeout_seconds=TIMEOUT_SECONDS)
        return {**answer_row(answer.key, answer.secret), **await self._budget_table(answer.key)}

    async def next_secret(self, request: AdminRequest) -> object:
        """The secret that took the place of the one that is shown, of a key that is rotated by itself."""
        asked = keystore_pb2.NextSecretRequest(digest=request.caller.digest)
        answer = await self._keystore.call(NEXT_SECRET, asked, timeout_seconds=TIMEOUT_SECONDS)
        return {"key": answer.secret, "previous_key_expires": iso(answer.previous_until_ms)}

    async def reset_spend(self, request: AdminRequest) -> object:
        """Let what a key has spent begin anew, at `reset_to`."""
        asked: ResetSpend = convert(request.body, ResetSpend)
        before = await self._get(request.path["key"])
        await self._rights.check_covers(request.reach, before)
        answer = await self._keystore.call(
            RESET_SPEND,
            keystore_pb2.ResetSpendRequest(
                name=before.key_id,
                spent_nano_usd=budget_of(asked.reset_to, "reset_to"),
                changed_by=request.changed_by,
            ),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        row = key_row(answer.key)
        return {
            "key_hash": answer.key.token,
            "spend": row["spend"],
            "previous_spend": usd_from_nano(before.spent_nano_usd),
            "max_budget": row["max_budget"],
            "budget_reset_at": iso(answer.key.budget_reset_ms),
        }

    async def block(self, request: AdminRequest) -> object:
        """Refuse a key from its next call on."""
        return await self._set_blocked(request, True)

    async def unblock(self, request: AdminRequest) -> object:
        """Take a key again."""
        return await self._set_blocked(request, False)

    async def delete(self, request: AdminRequest) -> object:
        """Remove keys for good, all or none."""
        asked: NameKeys = convert(request.body, NameKeys)
        names, aliases = asked.keys or [], asked.key_aliases or []
        if not names and not aliases:
            raise invalid("Name keys in 'keys' or 'key_aliases'.", "keys")
        if len(names) + len(aliases) > MAX_CHANGED_AT_ONCE:
            raise invalid(f"At most {MAX_CHANGED_AT_ONCE} keys at once.", "keys")
        if not request.reach.everything:
            for name in names:
                await self._rights.check_covers(request.reach, await self._get(name))
            for alias in aliases:
                for key in await self._of_alias(alias):
                    await self._rights.check_covers(request.reach, key, "key_aliases")
        answer = await self._keystore.call(
            DELETE_KEYS,
            keystore_pb2.DeleteKeysRequest(names=names, aliases=aliases, changed_by=request.changed_by),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        return {"deleted_keys": list(answer.deleted)}

    async def _update(self, request: AdminRequest, body: Body) -> dict[str, object]:
        change = await self._change(request, body, shows_secret=False)
        answer = await self._keystore.call(UPDATE_KEY, change, timeout_seconds=TIMEOUT_SECONDS)
        return {**key_row(answer.key), **await self._budget_table(answer.key), "key": body["key"]}

    async def _change(self, request: AdminRequest, body: Body, *, shows_secret: bool) -> keystore_pb2.UpdateKeyRequest:
        """What a body asks for, that the caller may. shows_secret: they are to get one that opens with the key."""
        refuse_others(body, COLUMNS, ALSO)
        named: NameKey = convert(dict(body), NameKey)
        before = await self._get(named.key)
        now = self._now()
        said = normal(bounded(body, self._defaults.upper, taken_away(body, self._defaults.upper)), before)
        change = key_change({name: value for name, value in said.items() if name != "key"}, before, now)
        expires_ms = before.expires_ms
        if "expires_ms" in change.members:
            expires_ms = expiry(change.duration_seconds, _ms(now))
        after = after_change(change.members, change.key, before)
        await self._rights.may_change(request, before, after, expires_ms, said, shows_secret=shows_secret)
        change.changed_by = request.changed_by
        return change

    async def _set_blocked(self, request: AdminRequest, blocked: bool) -> object:
        named: NameKey = convert(request.body, NameKey)
        if not request.reach.everything:
            await self._rights.check_covers(request.reach, await self._get(named.key))
        answer = await self._keystore.call(
            SET_KEY_BLOCKED,
            keystore_pb2.SetKeyBlockedRequest(name=named.key, blocked=blocked, changed_by=request.changed_by),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        return key_row(answer.key)

    async def _budget_table(self, key: keystore_pb2.Key) -> Mapping[str, object]:
        if not key.terms.budget_id:
            return {}
        budgets = await self._owners.budgets_of([key.terms])
        return {"litellm_budget_table": key_row(key, budgets)["litellm_budget_table"]}

    async def _get(self, name: str) -> keystore_pb2.Key:
        asked = keystore_pb2.GetKeyRequest(name=name)
        return (await self._keystore.call(GET_KEY, asked, timeout_seconds=TIMEOUT_SECONDS)).key

    async def _of_alias(self, alias: str) -> Sequence[keystore_pb2.Key]:
        asked = keystore_pb2.ListKeysRequest(page=1, size=2, key_alias=alias)
        return (await self._keystore.call(LIST_KEYS, asked, timeout_seconds=TIMEOUT_SECONDS)).keys


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
