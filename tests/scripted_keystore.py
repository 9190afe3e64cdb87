"""What the scene's keystore answers on its control plane: keys and owners in dictionaries, and nothing of its rules.

That the real one keeps to what it says here is for tests/integration/test_admin_owners.py.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.v1 import keystore_pb2 as k

from services.errors import GatewayError, Reason
from services.methods import (
    CREATE_KEY,
    CREATE_OWNER,
    DELETE_KEYS,
    DELETE_OWNERS,
    GET_GATEWAY_BUDGET,
    GET_KEY,
    GET_OWNERS,
    IDENTIFY,
    LIST_CHANGES,
    LIST_KEYS,
    LIST_OWNERS,
    NEXT_SECRET,
    REGENERATE_KEY,
    RESET_SPEND,
    SET_KEY_BLOCKED,
    UPDATE_KEY,
    UPDATE_OWNER,
)
from services.transport import Handlers

TERMS = frozenset(field.name for field in k.Terms.DESCRIPTOR.fields)
# When everything here was made.
MADE_MS = 1_769_860_800_000


@dataclass
class Kept:
    """What the keystore has. keys: by every name. standing: who holds a key, by its id."""

    keys: dict[str, k.Key] = field(default_factory=dict)
    standing: dict[str, k.IdentifyResponse] = field(default_factory=dict)
    owners: dict[tuple[int, str], k.Owner] = field(default_factory=dict)
    changes: list[k.Change] = field(default_factory=list)
    # The requests that changed something.
    told: list[object] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, secret: str, key: k.Key, **standing: object) -> None:
        """A key, known by its secret's digest and its id; its user is and is in what `standing` says."""
        self.keys[digest_of(secret)] = self.keys[key.key_id] = key
        self.standing[key.key_id] = k.IdentifyResponse(key=key, **standing)

    def all_keys(self) -> list[k.Key]:
        """Each once, the newest first."""
        return list({key.key_id: key for key in self.keys.values()}.values())[::-1]

    def key(self, name: str) -> k.Key:
        """By a name: an id, a secret or a digest."""
        found = self.keys.get(name) or self.keys.get(digest_of(name))
        if found is None:
            raise GatewayError(Reason.ERROR_REASON_NOT_FOUND, "Key not found in database", param="key")
        return found


def digest_of(secret: str) -> str:
    """As the edge sends it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def changed(members, change, before) -> None:
    """Set these members as a change has them."""
    for name in members:
        if name == "expires_ms":
            continue
        source, target = (change.terms, before.terms) if name in TERMS else (change, before)
        target.ClearField(name)
        for each, value in source.ListFields():
            if each.name == name:
                if each.message_type is not None and not each.is_repeated:
                    getattr(target, name).CopyFrom(value)
                elif each.is_repeated and each.message_type is not None and each.message_type.GetOptions().map_entry:
                    getattr(target, name).update(value)
                elif each.is_repeated:
                    getattr(target, name).extend(value)
                else:
                    setattr(target, name, value)


def keys_of(kept: Kept) -> Handlers:
    """The service Keys."""
    return {**_reads(kept), **_writes(kept)}


def _reads(kept: Kept) -> Handlers:
    async def identify(request: k.IdentifyRequest) -> k.IdentifyResponse:
        key = kept.keys.get(request.digest.hex())
        if key is None:
            raise GatewayError(Reason.ERROR_REASON_KEY_INVALID, "Authentication Error, there is no such key.")
        if key.blocked:
            raise GatewayError(Reason.ERROR_REASON_KEY_BLOCKED, "Authentication Error, Key is blocked.")
        if key.expires_ms and key.expires_ms <= time.time() * 1000:
            raise GatewayError(Reason.ERROR_REASON_KEY_EXPIRED, "Authentication Error, Expired Key.")
        known = kept.standing.get(key.key_id, k.IdentifyResponse())
        answer = k.IdentifyResponse()
        answer.CopyFrom(known)
        answer.key.CopyFrom(key)
        return answer

    async def get(request: k.GetKeyRequest) -> k.GetKeyResponse:
        return k.GetKeyResponse(key=kept.key(request.name or request.digest.hex()))

    async def listed(request: k.ListKeysRequest) -> k.ListKeysResponse:
        kept.told.append(request)
        keys = [
            key
            for key in kept.all_keys()
            if all(
                not getattr(request, name) or getattr(request, name) == getattr(key, name)
                for name in ("team_id", "organization_id", "key_alias")
            )
            and (not request.user_id or key.user_id == request.user_id or key.team_id in request.team_ids)
            and (not request.name or kept.key(request.name).key_id == key.key_id)
        ]
        first = (request.page - 1) * request.size
        return k.ListKeysResponse(keys=keys[first : first + request.size], total_count=len(keys))

    async def budget(request: k.GetGatewayBudgetRequest) -> k.GetGatewayBudgetResponse:
        return k.GetGatewayBudgetResponse()

    return {IDENTIFY: identify, GET_KEY: get, LIST_KEYS: listed, GET_GATEWAY_BUDGET: budget}


def _writes(kept: Kept) -> Handlers:
    async def create(request: k.CreateKeyRequest) -> k.CreateKeyResponse:
        kept.told.append(request)
        number = next(kept.numbers)
        key, secret = request.key, request.secret or f"sk-made-{number}"
        if key.key_alias and any(other.key_alias == key.key_alias for other in kept.all_keys()):
            raise GatewayError(Reason.ERROR_REASON_CONFLICT, "That alias is taken.", param="key_alias")
        key.key_id = key.key_id or f"made-{number}"
        key.token, key.key_name = digest_of(digest_of(secret)), f"sk-...{secret[-4:]}"
        key.created_ms = key.updated_ms = MADE_MS
        key.expires_ms = int(time.time() + request.duration_seconds) * 1000 if request.duration_seconds else 0
        key.spent_nano_usd = 0
        kept.add(secret, key)
        return k.CreateKeyResponse(key=key, secret=secret)

    async def update(request: k.UpdateKeyRequest) -> k.UpdateKeyResponse:
        kept.told.append(request)
        key = kept.key(request.name)
        changed(request.members, request.key, key)
        return k.UpdateKeyResponse(key=key)

    async def regenerate(request: k.RegenerateKeyRequest) -> k.RegenerateKeyResponse:
        kept.told.append(request)
        key = kept.key(request.change.name)
        changed(request.change.members, request.change.key, key)
        return k.RegenerateKeyResponse(key=key, secret=request.secret or "sk-made")

    async def block(request: k.SetKeyBlockedRequest) -> k.SetKeyBlockedResponse:
        kept.told.append(request)
        kept.key(request.name).blocked = request.blocked
        return k.SetKeyBlockedResponse(key=kept.key(request.name))

    async def delete(request: k.DeleteKeysRequest) -> k.DeleteKeysResponse:
        kept.told.append(request)
        for name in request.names:
            for each, key in list(kept.keys.items()):
                if name in (each, key.key_id) or digest_of(name) == each:
                    kept.keys.pop(each, None)
        return k.DeleteKeysResponse(deleted=[*request.names, *request.aliases])

    async def next_secret(request: k.NextSecretRequest) -> k.NextSecretResponse:
        raise GatewayError(Reason.ERROR_REASON_NOT_FOUND, "No secret has taken the place of this one.", param="key")

    async def reset(request: k.ResetSpendRequest) -> k.ResetSpendResponse:
        kept.told.append(request)
        key = kept.key(request.name)
        key.spent_nano_usd = request.spent_nano_usd
        return k.ResetSpendResponse(key=key)

    return {
        UPDATE_KEY: update,
        REGENERATE_KEY: regenerate,
        CREATE_KEY: create,
        SET_KEY_BLOCKED: block,
        DELETE_KEYS: delete,
        RESET_SPEND: reset,
        NEXT_SECRET: next_secret,
    }


def owners_of(kept: Kept) -> Handlers:
    """The service Owners."""

    async def create(request: k.CreateOwnerRequest) -> k.CreateOwnerResponse:
        kept.told.append(request)
        owner = request.owner
        owner.id = owner.id or f"owner-{next(kept.numbers)}"
        if (owner.kind, owner.id) in kept.owners:
            raise GatewayError(Reason.ERROR_REASON_CONFLICT, f"{owner.id} is taken.")
        owner.created_ms = owner.updated_ms = MADE_MS
        owner.spent_nano_usd = 0
        kept.owners[owner.kind, owner.id] = owner
        return k.CreateOwnerResponse(owner=owner)

    async def get(request: k.GetOwnersRequest) -> k.GetOwnersResponse:
        found = (kept.owners.get((request.kind, each)) for each in request.ids)
        return k.GetOwnersResponse(owners=[owner for owner in found if owner is not None])

    async def listed(request: k.ListOwnersRequest) -> k.ListOwnersResponse:
        owners = [
            owner
            for (kind, _), owner in reversed(kept.owners.items())
            if kind == request.kind
            and all(
                not getattr(request, name) or getattr(request, name) == getattr(owner, name)
                for name in ("alias", "user_id", "team_id", "organization_id", "role")
            )
            and request.email in owner.email
        ]
        first = (request.page - 1) * request.size
        return k.ListOwnersResponse(owners=owners[first : first + request.size], total_count=len(owners))

    async def update(request: k.UpdateOwnerRequest) -> k.UpdateOwnerResponse:
        kept.told.append(request)
        owner = kept.owners.get((request.owner.kind, request.owner.id))
        if owner is None:
            raise GatewayError(Reason.ERROR_REASON_NOT_FOUND, "There is no such owner.")
        changed(request.members, request.owner, owner)
        return k.UpdateOwnerResponse(owner=owner)

    async def delete(request: k.DeleteOwnersRequest) -> k.DeleteOwnersResponse:
        kept.told.append(request)
        for each in request.ids:
            if kept.owners.pop((request.kind, each), None) is None:
                raise GatewayError(Reason.ERROR_REASON_NOT_FOUND, "There is no such owner.")
        return k.DeleteOwnersResponse(ids=request.ids)

    async def changes(request: k.ListChangesRequest) -> k.ListChangesResponse:
        found = [
            change
            for change in kept.changes
            if (not request.before_id or change.id < request.before_id)
            and (not request.action or request.action == change.action)
            and (not request.object_kind or request.object_kind == change.object_kind)
        ]
        return k.ListChangesResponse(changes=found[: request.size or 100])

    return {
        CREATE_OWNER: create,
        GET_OWNERS: get,
        LIST_OWNERS: listed,
        UPDATE_OWNER: update,
        DELETE_OWNERS: delete,
        LIST_CHANGES: changes,
    }
