"""What the audit log tells of a key or an owner: everything an administrator sets, without secrets and hashes. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from keystore.policy.terms import Terms
from keystore.rows import KeyRow, OwnerRow

# Documents of callers may carry credentials, such as those of a place to log to. A number is none: `max_tokens`.
_SECRET_NAME = re.compile(r"(?i)secret|passw|credential|authorization|bearer|api_?key|private_?key|token$")
REMOVED = "(removed)"


def key_line(row: KeyRow) -> str:
    """Of a key, as JSON: not its id, which the line has beside, nor a token. What is not set is left out."""
    key = row.key
    return _line(
        {
            "key_name": key.key_name,
            "key_alias": row.key_alias,
            "blocked": key.blocked,
            "expires_ms": key.expires_ms,
            "user_id": key.user_id,
            "team_id": key.team_id,
            "organization_id": key.organization_id,
            "terms": _terms(key.terms),
            "tags": list(key.tags),
            "aliases": dict(key.aliases),
            "allowed_routes": list(key.allowed_routes),
            "metadata": _document(row.metadata_json),
            "attributes": _document(row.attributes_json),
            "previous_until_ms": key.previous_until_ms,
            "spent_since_ms": key.spent_since_ms,
            "spent_before_nano_usd": key.spent_before_nano_usd,
            "rotation_interval": row.rotation_interval,
            "rotation_ms": row.rotation_ms,
            "rotation_count": row.rotation_count,
        }
        | ({} if key.drop_params is None else {"drop_params": key.drop_params})
    )


def owner_line(row: OwnerRow) -> str:
    """Of an owner, as JSON: not its kind and id, which the line has beside. What is not set is left out."""
    owner = row.owner
    return _line(
        {
            "alias": row.alias,
            "email": row.email,
            "role": owner.role,
            "user_id": owner.user_id,
            "team_id": owner.team_id,
            "organization_id": owner.organization_id,
            "blocked": owner.blocked,
            "terms": _terms(owner.terms),
            "member_terms": _terms(owner.member_terms) if owner.member_terms is not None else None,
            "aliases": dict(owner.aliases),
            "metadata": _document(row.metadata_json),
            "attributes": _document(row.attributes_json),
        }
    )


def _line(members: dict[str, Any]) -> str:
    told = {name: value for name, value in members.items() if name == "blocked" or value not in (None, "", 0, [], {})}
    return json.dumps(told, ensure_ascii=False)


def _terms(terms: Terms) -> Any:
    return msgspec.to_builtins(terms)


def _document(text: str) -> Any:
    # The hook is called from the innermost object on: a document may be as deep as the parser can go.
    return json.loads(text, object_hook=_without_secrets)


def _without_secrets(members: dict[str, Any]) -> dict[str, Any]:
    return {
        name: REMOVED if isinstance(value, str) and value and _SECRET_NAME.search(name) else value
        for name, value in members.items()
    }
