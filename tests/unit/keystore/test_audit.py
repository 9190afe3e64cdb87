"""What the audit log tells: all that an administrator sets, nothing that opens anything."""

from __future__ import annotations

import json

import pytest

from keystore.audit import REMOVED, key_line, owner_line
from keystore.policy.owners import Key, Kind, Owner
from keystore.policy.terms import Terms
from keystore.rows import KeyRow, OwnerRow

SECRET_NAMES = [
    "password",
    "langfuse_secret_key",
    "api_key",
    "OPENAI_API_KEY",
    "apikey",
    "access_token",
    "token",
    "Authorization",
    "aws_credentials",
    "private_key",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_what_is_named_like_a_secret_is_removed_wherever_it_stands(name: str) -> None:
    document = json.dumps({"a": [{"b": {name: "hidden", "kept": "shown"}}], name: "hidden"})
    row = OwnerRow(Owner(Kind.TEAM, "t"), metadata_json=document, attributes_json=document)
    line = owner_line(row)
    assert "hidden" not in line
    assert json.loads(line)["metadata"]["a"] == [{"b": {name: REMOVED, "kept": "shown"}}]


def test_numbers_and_other_names_stay() -> None:
    document = {"max_tokens": 5, "tokens": "many", "token": 7, "password": None, "api_key": "", "note": "secret"}
    row = OwnerRow(Owner(Kind.TEAM, "t"), metadata_json=json.dumps(document))
    assert json.loads(owner_line(row))["metadata"] == document


def test_a_key_s_line_has_neither_its_id_nor_its_tokens() -> None:
    key = Key("ID", "TOKEN", "sk-...abcd", terms=Terms(rpm_limit=0), previous_token="BEFORE", previous_until_ms=5)
    line = key_line(KeyRow(key, key_alias="a"))
    assert json.loads(line) == {
        "key_name": "sk-...abcd",
        "key_alias": "a",
        "blocked": False,
        "terms": {"rpm_limit": 0},
        "previous_until_ms": 5,
    }
