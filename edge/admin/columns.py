"""Columns: members of LiteLLM's bodies and rows, and where each is kept in a key's or an owner's message.

    members = fill(COLUMNS, body, key, before)   what a body names goes into a message; the keystore's names of it
    row = shown(COLUMNS, key)                    and back
    refuse_others(body, COLUMNS, ...)            what nobody acts on is refused by name

One table of columns a kind of object does for making, changing and showing it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from gateway.v1 import keystore_pb2

from edge.admin.words import Body, invalid

Message = keystore_pb2.Key | keystore_pb2.Owner

# Where a column's member is: in the message itself, in one of its parts, or in its `attributes_json`.
ITSELF, TERMS, MEMBER_TERMS, ATTRIBUTES = "", "terms", "member_terms", "attributes_json"
# Parts that the keystore replaces whole, so that what a body does not name has to be kept from before.
_WHOLE = (MEMBER_TERMS, ATTRIBUTES)
_PER_MODEL = "model_terms"


@dataclass(frozen=True, slots=True)
class Kind:
    """What stands in a column. put: into a part of a message, by the member's name, for the column of this name; None:
    take away what is there. show: as JSON."""

    type: Any
    put: Callable[[Any, str, Any, str], None]
    show: Callable[[Any, str], object]


@dataclass(frozen=True, slots=True)
class Column:
    """name: LiteLLM's. member: the keystore's. within: ITSELF, TERMS, MEMBER_TERMS or ATTRIBUTES."""

    name: str
    member: str
    kind: Kind
    within: str = ITSELF

    @property
    def changes(self) -> str:
        """What an update names to change it."""
        return self.within if self.within in _WHOLE else self.member


def fill(columns: Iterable[Column], body: Body, into: Message, before: Message | None = None) -> list[str]:
    """Put what a body names into a message, null as nothing. What of the message that is, as updates name it.

    before: the object as it is, of which what is replaced whole keeps what the body does not name. GatewayError when a
    value does not fit.
    """
    given = [column for column in columns if column.name in body]
    changed = list(dict.fromkeys(column.changes for column in given))
    if before is not None:
        _keep(changed, before, into)
    attributes = attributes_of(into)
    for column in given:
        value = body[column.name]
        if value is not None:
            try:
                value = msgspec.convert(value, column.kind.type, strict=True)
            except (msgspec.ValidationError, OverflowError) as error:
                raise invalid(f"{column.name} is not valid: {error}.", column.name) from None
        if column.within == ATTRIBUTES:
            attributes[column.member] = value
            continue
        part = getattr(into, column.within) if column.within else into
        if column.member != _PER_MODEL:
            # What was kept from before; a column of models has a part of each, and takes that away itself.
            part.ClearField(column.member)
        column.kind.put(part, column.member, value, column.name)
    if ATTRIBUTES in changed:
        into.attributes_json = msgspec.json.encode(attributes).decode()
    return changed


def _keep(changed: Iterable[str], before: Message, into: Message) -> None:
    if ATTRIBUTES in changed:
        into.attributes_json = before.attributes_json
    if MEMBER_TERMS in changed:
        into.member_terms.CopyFrom(before.member_terms)  # type: ignore[union-attr]
    if _PER_MODEL in changed:
        into.terms.model_terms.extend(before.terms.model_terms)


def shown(columns: Iterable[Column], message: Message) -> dict[str, object]:
    """What a message has in these columns."""
    attributes = attributes_of(message)
    return {
        column.name: attributes.get(column.member)
        if column.within == ATTRIBUTES
        else column.kind.show(getattr(message, column.within) if column.within else message, column.member)
        for column in columns
    }


def attributes_of(message: Message) -> dict[str, object]:
    """What is kept of an object and nobody decides by."""
    return msgspec.json.decode(message.attributes_json, type=dict[str, object]) if message.attributes_json else {}


def refuse_others(body: Body, columns: Sequence[Column], also: Iterable[str] = ()) -> None:
    """A limit that is taken and not kept would be a lie: what this version does not act on is refused by name.

    also: what the path acts on beside the columns. Members that ask for nothing are passed over.
    """
    known = {column.name for column in columns}.union(also)
    idle = sorted(name for name, value in body.items() if name not in known and not _is_nothing(value))
    if idle:
        raise invalid(f"This version does not act on: {', '.join(idle)}. Leave them out.", idle[0])


def _is_nothing(value: object) -> bool:
    return value in (None, False, [], {}, "", 0)
