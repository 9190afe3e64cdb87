"""Whoever a call may be counted to, as far as admission needs them, and all of them as they are now. Pure."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from keystore.policy.terms import NONE, Terms


class Kind(enum.StrEnum):
    """What an owner is; `OwnerKind` in keystore.proto. The values are the store's."""

    USER = "user"
    TEAM = "team"
    TEAM_MEMBER = "team_member"
    CUSTOMER = "customer"
    ORGANIZATION = "organization"
    ORGANIZATION_MEMBER = "organization_member"
    BUDGET = "budget"
    TAG = "tag"
    ACCESS_GROUP = "access_group"


# Of a user, in a team or in an organisation.
MEMBERS = frozenset((Kind.TEAM_MEMBER, Kind.ORGANIZATION_MEMBER))


class Owner(msgspec.Struct, frozen=True, eq=False):
    """One of them; keystore.proto says what each member is."""

    kind: Kind
    id: str
    terms: Terms = NONE
    blocked: bool = False
    role: str = ""
    user_id: str = ""
    team_id: str = ""
    organization_id: str = ""
    aliases: Mapping[str, str] = {}
    member_terms: Terms | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A virtual key; keystore.proto says what each member is.

    previous_token: of the secret before this one, good until `previous_until_ms`. What was spent before
    `spent_since_ms` counts as `spent_before_nano_usd`, in a period that begins earlier.
    """

    key_id: str
    token: str
    key_name: str
    terms: Terms = NONE
    blocked: bool = False
    expires_ms: int = 0
    user_id: str = ""
    team_id: str = ""
    organization_id: str = ""
    tags: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    allowed_routes: tuple[str, ...] = ()
    previous_token: str = ""
    previous_until_ms: int = 0
    spent_since_ms: int = 0
    spent_before_nano_usd: int = 0
    drop_params: bool | None = None


def member_id(owner_id: str, user_id: str) -> str:
    """The id of a user's membership in a team or an organisation."""
    return f"{quote(owner_id, safe='')}/{quote(user_id, safe='')}"


class Directory:
    """All keys and owners in memory. `generation` rises with every change."""

    def __init__(self) -> None:
        self.generation = 0
        self._by_token: dict[str, Key] = {}
        self._by_previous_token: dict[str, Key] = {}
        self._by_id: dict[str, Key] = {}
        self._owners: dict[tuple[Kind, str], Owner] = {}
        # By user; of teams and of organisations.
        self._memberships: dict[str, dict[tuple[Kind, str], Owner]] = {}

    def has_token(self, token: str) -> bool:
        """Whether a key has this token, or had it before, whatever the time."""
        return token in self._by_token or token in self._by_previous_token

    def key_by_token(self, token: str, now_ms: int) -> Key | None:
        """The key with this token, or which had it before and still takes it."""
        key = self._by_token.get(token)
        if key is None and self._by_previous_token:
            key = self._by_previous_token.get(token)
            if key is not None and key.previous_until_ms <= now_ms:
                return None
        return key

    def key_by_id(self, key_id: str) -> Key | None:
        """The key with this id."""
        return self._by_id.get(key_id)

    def owner(self, kind: Kind, owner_id: str) -> Owner | None:
        """The owner of this kind with this id."""
        return self._owners.get((kind, owner_id))

    def memberships(self, user_id: str) -> Collection[Owner]:
        """Of teams and organisations."""
        return self._memberships.get(user_id, {}).values()

    def put_key(self, key: Key) -> None:
        """A key is new, or has changed."""
        self.remove_key(key.key_id)
        self._by_id[key.key_id] = key
        self._by_token[key.token] = key
        if key.previous_token:
            self._by_previous_token[key.previous_token] = key

    def remove_key(self, key_id: str) -> None:
        """A key is gone."""
        self.generation += 1
        key = self._by_id.pop(key_id, None)
        if key is None:
            return
        # A secret may have become another key's meanwhile.
        if self._by_token.get(key.token) is key:
            del self._by_token[key.token]
        if self._by_previous_token.get(key.previous_token) is key:
            del self._by_previous_token[key.previous_token]

    def put_owner(self, owner: Owner) -> None:
        """An owner is new, or has changed."""
        self.remove_owner(owner.kind, owner.id)
        self._owners[owner.kind, owner.id] = owner
        if owner.kind in MEMBERS:
            self._memberships.setdefault(owner.user_id, {})[owner.kind, owner.id] = owner

    def remove_owner(self, kind: Kind, owner_id: str) -> None:
        """An owner is gone."""
        self.generation += 1
        owner = self._owners.pop((kind, owner_id), None)
        if owner is not None and kind in MEMBERS:
            of_user = self._memberships[owner.user_id]
            del of_user[kind, owner_id]
            if not of_user:
                del self._memberships[owner.user_id]
