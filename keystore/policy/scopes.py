"""Scopes: the names under which money and limits are counted. Pure.

    key:4f1c…                             of all time
    team:t1@1764547200000-1767225600000   of one period, from its first millisecond to before its end
    key:4f1c…@1764547200000               since somebody let it begin anew

Ids come from callers, so they are percent-encoded: a scope has no line break, and nothing in it is mistaken for a mark.
"""

from __future__ import annotations

import enum
from urllib.parse import quote, unquote

import msgspec


class Whose(enum.Enum):
    """To whom a scope belongs. The values are the beginnings of the names."""

    KEY = "key"
    # A model group, as called by a key.
    KEY_MODEL = "key_model"
    # A user: all calls with his keys, or those with keys that belong to no team.
    USER = "user"
    PERSONAL = "personal"
    TEAM = "team"
    TEAM_MODEL = "team_model"
    MEMBER = "member"
    CUSTOMER = "customer"
    ORGANIZATION = "organization"
    TAG = "tag"
    GATEWAY = "gateway"


class Scope(msgspec.Struct, frozen=True, gc=False):
    """A scope, taken apart. ids: as `Whose` needs them: of a member the team's and the user's, of a model its owner's
    and its name. Milliseconds since the epoch; 0: of all time, without end."""

    whose: Whose
    ids: tuple[str, ...]
    since_ms: int = 0
    end_ms: int = 0


GATEWAY_SCOPE = Whose.GATEWAY.value


def scope_of(whose: Whose, *ids: str) -> str:
    """The name of a scope of all time."""
    return ":".join((whose.value, "/".join(quote(each, safe="") for each in ids))) if ids else whose.value


def in_period(scope: str, since_ms: int, end_ms: int = 0) -> str:
    """The scope of a part of the time."""
    if not since_ms:
        return scope
    return f"{scope}@{since_ms}-{end_ms}" if end_ms else f"{scope}@{since_ms}"


def key_scope(key_id: str) -> str:
    """The scope in which a key's own money is counted."""
    return scope_of(Whose.KEY, key_id)


def parse(scope: str) -> Scope:
    """ValueError: it is none."""
    name, _, period = scope.partition("@")
    whose, has_ids, ids = name.partition(":")
    since, _, end = period.partition("-")
    return Scope(
        Whose(whose),
        tuple(unquote(each) for each in ids.split("/")) if has_ids else (),
        int(since or 0),
        int(end or 0),
    )
