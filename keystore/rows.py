"""What the store keeps, as the rest of the keystore sees it. Times are milliseconds since the epoch; 0: never. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from keystore.policy.owners import Key, Owner


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is stored: `key` is what admission needs of it. rotation_ms: when it is given its next secret."""

    key: Key
    key_alias: str = ""
    metadata_json: str = "{}"
    attributes_json: str = "{}"
    created_ms: int = 0
    created_by: str = ""
    updated_ms: int = 0
    updated_by: str = ""
    rotation_interval: str = ""
    rotation_ms: int = 0
    rotation_count: int = 0
    deleted: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """An owner as it is stored: `owner` is what admission needs of it."""

    owner: Owner
    alias: str = ""
    email: str = ""
    metadata_json: str = "{}"
    attributes_json: str = "{}"
    created_ms: int = 0
    created_by: str = ""
    updated_ms: int = 0
    updated_by: str = ""
    deleted: bool = False
    version: int = 0


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the audit log. before, after: JSON; empty: it was not there."""

    id: int
    at_ms: int
    changed_by: str
    action: str
    object_kind: str
    object_id: str
    before_json: str
    after_json: str
