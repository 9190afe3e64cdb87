"""What owners consist of, kind by kind: what none can have, how one changes, how it is shown. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import msgspec
from gateway.v1 import keystore_pb2

from keystore.checks import check_aliases, check_document, check_terms, check_texts, invalid
from keystore.policy.operations import Balance
from keystore.policy.owners import Kind, Owner, member_id
from keystore.policy.terms import NONE
from keystore.rows import OwnerRow
from keystore.term_members import TERMS, shown_terms, terms_of, with_members

# In bytes: what an index of PostgreSQL takes, with room to spare.
MAX_ID_BYTES = 2_000

# The members that an owner may have beside its terms and those of `_COMMON`.
_COMMON = frozenset(("alias", "metadata_json", "attributes_json"))
_OWN: Mapping[Kind, frozenset[str]] = {
    Kind.USER: frozenset(("blocked", "role", "email")),
    Kind.TEAM: frozenset(("blocked", "organization_id", "aliases", "member_terms")),
    Kind.TEAM_MEMBER: frozenset(("blocked", "role")),
    Kind.CUSTOMER: frozenset(("blocked",)),
    Kind.ORGANIZATION: frozenset(("blocked",)),
    Kind.ORGANIZATION_MEMBER: frozenset(("blocked", "role")),
    Kind.BUDGET: frozenset(),
    Kind.TAG: frozenset(("blocked",)),
    Kind.ACCESS_GROUP: frozenset(),
}
# Who a member is: they make its id, and stay as they are.
IDENTITY: Mapping[Kind, tuple[str, str]] = {
    Kind.TEAM_MEMBER: ("team_id", "user_id"),
    Kind.ORGANIZATION_MEMBER: ("organization_id", "user_id"),
}
# What of terms nobody would act on. A budget that referred to another would be two.
_IDLE_TERMS: Mapping[Kind, frozenset[str]] = {
    Kind.TEAM: frozenset(),
    Kind.BUDGET: frozenset(("budget_id",)),
    Kind.ACCESS_GROUP: TERMS - {"models"},
}
_IDLE_OF_OTHERS = frozenset(("model_terms",))

_MEMBER_ROLES = ("admin", "user")
ROLES: Mapping[Kind, Collection[str]] = {
    Kind.USER: ("", "proxy_admin", "proxy_admin_viewer", "org_admin", "internal_user", "internal_user_viewer"),
    Kind.TEAM_MEMBER: _MEMBER_ROLES,
    Kind.ORGANIZATION_MEMBER: _MEMBER_ROLES,
}

_NAMES = {kind: f"OWNER_KIND_{kind.name}" for kind in Kind}
_BY_NUMBER = {keystore_pb2.OwnerKind.Value(name): kind for kind, name in _NAMES.items()}


def kind_of(number: int) -> Kind:
    """The kind that a message names. INVALID_REQUEST: none."""
    kind = _BY_NUMBER.get(number)
    if kind is None:
        raise invalid("The kind of owner is not known.", "kind")
    return kind


def check(kind: Kind, owner: keystore_pb2.Owner) -> None:
    """INVALID_REQUEST names the first member that no owner of this kind can have."""
    texts = ("id", "alias", "email", "user_id", "team_id", "organization_id")
    check_texts({name: getattr(owner, name) for name in texts})
    allowed = {"id", "role", *_COMMON, *_OWN[kind], *IDENTITY.get(kind, ())}
    for name in (*texts, "blocked", "aliases"):
        if name not in allowed and getattr(owner, name):
            raise invalid(f"A {_word(kind)} has no {name}.", name)
    if owner.HasField("member_terms") and "member_terms" not in allowed:
        raise invalid(f"A {_word(kind)} has no member_terms.", "member_terms")
    if owner.role and owner.role not in ROLES.get(kind, ("",)):
        raise invalid(
            f"A {_word(kind)} has one of these roles: {', '.join(filter(None, ROLES.get(kind, ())))}.", "role"
        )
    check_terms(owner.terms)
    check_terms(owner.member_terms)
    _check_idle(kind, owner.terms, _IDLE_TERMS.get(kind, _IDLE_OF_OTHERS))
    _check_idle(Kind.TEAM_MEMBER, owner.member_terms, _IDLE_OF_OTHERS)
    check_aliases(owner.aliases, "model_aliases")
    check_document(owner.metadata_json, "metadata")
    check_document(owner.attributes_json, "attributes")


def check_members(kind: Kind, members: Collection[str]) -> None:
    """INVALID_REQUEST names the first that is not to be changed."""
    for member in members:
        if member not in TERMS and member not in _COMMON and member not in _OWN[kind] and member != "terms":
            raise invalid(f"{member} of a {_word(kind)} cannot be changed.", member)


def id_of(kind: Kind, owner: keystore_pb2.Owner, made_id: str) -> str:
    """The id that a new owner gets; made_id: where it is left to us. INVALID_REQUEST: it cannot be an id."""
    if kind in IDENTITY:
        names = IDENTITY[kind]
        for name in names:
            if not getattr(owner, name):
                raise invalid(f"A {_word(kind)} needs a {name}.", name)
        owner_id = member_id(*(getattr(owner, name) for name in names))
    elif owner.id:
        owner_id = owner.id
    elif kind in (Kind.CUSTOMER, Kind.TAG, Kind.ACCESS_GROUP):
        # Calls name these: an id of ours would be of no use.
        raise invalid(f"A {_word(kind)} needs a name.", "id")
    else:
        owner_id = made_id
    if len(owner_id.encode()) > MAX_ID_BYTES:
        raise invalid(f"The id of a {_word(kind)} is longer than {MAX_ID_BYTES} bytes.", "id")
    return owner_id


def new_row(kind: Kind, owner_id: str, asked: keystore_pb2.Owner, *, by: str, now_ms: int) -> OwnerRow:
    """A new owner as it is asked for."""
    made = OwnerRow(
        Owner(
            kind,
            owner_id,
            # Of members; of a team its organisation may change.
            user_id=asked.user_id,
            team_id=asked.team_id,
            organization_id=asked.organization_id,
        ),
        created_ms=now_ms,
        created_by=by,
    )
    return changed(made, {*_COMMON, *_OWN[kind], "terms"}, asked, by=by, now_ms=now_ms)


def changed(row: OwnerRow, members: Collection[str], asked: keystore_pb2.Owner, *, by: str, now_ms: int) -> OwnerRow:
    """An owner in which these members are as asked for."""
    of_owner: dict[str, Any] = {
        "blocked": asked.blocked,
        "role": asked.role or ("user" if row.owner.kind in IDENTITY else ""),
        "organization_id": asked.organization_id,
        "aliases": dict(asked.aliases),
        "member_terms": terms_of(asked.member_terms) if asked.HasField("member_terms") else None,
    }
    of_row: dict[str, Any] = {
        "alias": asked.alias,
        "email": asked.email,
        "metadata_json": asked.metadata_json or "{}",
        "attributes_json": asked.attributes_json or "{}",
    }
    owner = msgspec.structs.replace(
        row.owner,
        terms=with_members(row.owner.terms, members, asked.terms),
        **{name: value for name, value in of_owner.items() if name in members},
    )
    kept = {name: value for name, value in of_row.items() if name in members}
    return replace(row, owner=owner, updated_ms=now_ms, updated_by=by, **kept)


def shown(row: OwnerRow, balance: Balance | None, budget_reset_ms: int = 0) -> keystore_pb2.Owner:
    """An owner, with what it has spent; None: that is not known."""
    owner = row.owner
    return keystore_pb2.Owner(
        kind=_NAMES[owner.kind],
        id=owner.id,
        alias=row.alias,
        blocked=owner.blocked,
        terms=shown_terms(owner.terms),
        metadata_json=row.metadata_json,
        attributes_json=row.attributes_json,
        role=owner.role,
        email=row.email,
        user_id=owner.user_id,
        team_id=owner.team_id,
        organization_id=owner.organization_id,
        aliases=owner.aliases,
        member_terms=shown_terms(owner.member_terms) if owner.member_terms is not None else None,
        created_by=row.created_by,
        updated_by=row.updated_by,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        spent_nano_usd=balance.spent_nano_usd if balance is not None else None,
        held_nano_usd=balance.held_nano_usd if balance is not None else 0,
        budget_reset_ms=budget_reset_ms,
    )


def _check_idle(kind: Kind, terms: keystore_pb2.Terms, idle: Collection[str]) -> None:
    """A limit that is taken and not kept would be a lie."""
    asked = terms_of(terms)
    for name in sorted(idle):
        if getattr(asked, name) != getattr(NONE, name):
            raise invalid(f"A {_word(kind)} has no {name}.", name)


def _word(kind: Kind) -> str:
    return kind.value.replace("_", " ")


def is_id(text: str) -> bool:
    """Whether it can be an owner's."""
    return 0 < len(text.encode()) <= MAX_ID_BYTES and "\0" not in text
