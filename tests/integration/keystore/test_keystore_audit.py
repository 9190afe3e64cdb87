"""Every change leaves its line: who, when, what, how it was before and is after, and no secret."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import asyncpg
import pytest
from gateway.v1 import keystore_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from services.errors import GatewayError
from services.methods import (
    CREATE_KEY,
    CREATE_OWNER,
    DELETE_KEYS,
    DELETE_OWNERS,
    LIST_CHANGES,
    REGENERATE_KEY,
    RESET_SPEND,
    SET_KEY_BLOCKED,
    UPDATE_KEY,
    UPDATE_OWNER,
)

Request = keystore_pb2.UpdateKeyRequest


async def _changes(keystore: Any, **wanted: Any) -> list[keystore_pb2.Change]:
    return list((await keystore.call(LIST_CHANGES, keystore_pb2.ListChangesRequest(**wanted))).changes)


async def test_each_change_of_a_key_has_its_line_with_before_and_after(keystore: Any, database_url: str) -> None:
    key = keystore.key(
        max_budget_nano_usd=5, key_alias="a", metadata_json='{"x": 1, "langfuse_secret_key": "sk-lf", "max_tokens": 3}'
    )
    began = time.time_ns() // 1_000_000
    made = await keystore.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(key=key, changed_by="ann"))
    change = Request(name=made.secret, members=["rpm_limit"], key=keystore.key(rpm_limit=3), changed_by="bob")
    await keystore.call(UPDATE_KEY, change)
    request = keystore_pb2.RegenerateKeyRequest(change=Request(name=made.secret, changed_by="ann"), grace_seconds=9)
    new = await keystore.call(REGENERATE_KEY, request)
    for blocked in (True, False):
        blocking = keystore_pb2.SetKeyBlockedRequest(name=new.secret, blocked=blocked, changed_by="ann")
        await keystore.call(SET_KEY_BLOCKED, blocking)
    await keystore.call(RESET_SPEND, keystore_pb2.ResetSpendRequest(name=new.secret, changed_by="ann"))
    await keystore.call(DELETE_KEYS, keystore_pb2.DeleteKeysRequest(names=[new.secret], changed_by="cy"))

    lines = await _changes(keystore, object_kind="key")
    actions = ["deleted", "spend_reset", "unblocked", "blocked", "regenerated", "updated", "created"]
    assert [line.action for line in lines] == actions
    assert [line.changed_by for line in lines] == ["cy", "ann", "ann", "ann", "ann", "bob", "ann"]
    assert {line.object_id for line in lines} == {made.key.key_id}
    assert all(began <= line.at_ms <= time.time_ns() // 1_000_000 for line in lines)
    told = [(json.loads(line.before_json or "null"), json.loads(line.after_json or "null")) for line in lines]
    assert (told[-1][0], told[0][1]) == (None, None)
    # Each goes on from where the one before it has ended.
    assert all(older[1] == newer[0] for newer, older in itertools.pairwise(told))
    created = told[-1][1]
    assert created["terms"] == {"max_budget_nano_usd": 5}
    assert created["metadata"] == {"x": 1, "langfuse_secret_key": "(removed)", "max_tokens": 3}
    assert (created["key_name"], created["key_alias"]) == (made.key.key_name, "a")
    assert told[-2][1] == {**created, "terms": {"max_budget_nano_usd": 5, "rpm_limit": 3}}
    assert told[-4][1]["blocked"] is True
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT concat(before, after) AS row FROM keystore.audit")
    await connection.close()
    for secret in (made.secret, new.secret, made.key.token, new.key.token, "sk-lf"):
        assert all(secret not in row["row"] for row in rows)
        assert all(keystore.digest(secret) not in row["row"] for row in rows)


async def test_what_goes_and_comes_with_others_has_its_own_line(keystore: Any) -> None:
    team = keystore_pb2.Owner(kind=keystore_pb2.OWNER_KIND_TEAM, id="t")
    await keystore.call(CREATE_OWNER, keystore_pb2.CreateOwnerRequest(owner=team, changed_by="ann"))
    member = keystore_pb2.Owner(kind=keystore_pb2.OWNER_KIND_TEAM_MEMBER, team_id="t", user_id="u")
    await keystore.call(CREATE_OWNER, keystore_pb2.CreateOwnerRequest(owner=member, changed_by="ann"))
    _, key = await keystore.create_key(team_id="t")
    blocked = keystore_pb2.Owner(kind=keystore_pb2.OWNER_KIND_TEAM, id="t", blocked=True)
    await keystore.call(UPDATE_OWNER, keystore_pb2.UpdateOwnerRequest(owner=blocked, members=["blocked"]))
    deletion = keystore_pb2.DeleteOwnersRequest(kind=keystore_pb2.OWNER_KIND_TEAM, ids=["t"], changed_by="ann")
    await keystore.call(DELETE_OWNERS, deletion)
    lines = [(line.action, line.object_kind, line.object_id) for line in await _changes(keystore)]
    assert lines == [
        ("deleted", "team", "t"),
        ("deleted", "team_member", "t/u"),
        ("deleted", "key", key.key_id),
        ("blocked", "team", "t"),
        ("created", "key", key.key_id),
        ("created", "team_member", "t/u"),
        ("created", "user", "u"),
        ("created", "team", "t"),
    ]


async def test_what_is_refused_leaves_no_line(keystore: Any) -> None:
    await keystore.create_key(key_alias="taken")
    for refused in (
        keystore.create_key(key_alias="taken"),
        keystore.create_key(budget_id="nobody's"),
        keystore.call(DELETE_KEYS, keystore_pb2.DeleteKeysRequest(aliases=["taken", "nobody"])),
    ):
        with pytest.raises(GatewayError):
            await refused
    assert len(await _changes(keystore)) == 1


async def test_lines_are_found_by_who_what_and_when_page_by_page(keystore: Any) -> None:
    for number in range(5):
        by = "ann" if number % 2 else "bob"
        owner = keystore_pb2.Owner(kind=keystore_pb2.OWNER_KIND_CUSTOMER, id=f"c{number}")
        await keystore.call(CREATE_OWNER, keystore_pb2.CreateOwnerRequest(owner=owner, changed_by=by))
    lines = await _changes(keystore)
    assert [line.object_id for line in lines] == ["c4", "c3", "c2", "c1", "c0"]
    first = await _changes(keystore, size=2)
    assert [*first, *await _changes(keystore, size=9, before_id=first[-1].id)] == lines
    assert await _changes(keystore, before_id=lines[-1].id) == []
    assert await _changes(keystore, changed_by="ann") == lines[1::2]
    assert await _changes(keystore, object_kind="customer", object_id="c2") == [lines[2]]
    assert await _changes(keystore, object_kind="key") == await _changes(keystore, action="deleted") == []
    assert await _changes(keystore, start_ms=lines[-1].at_ms, end_ms=lines[0].at_ms + 1) == lines
    assert await _changes(keystore, end_ms=lines[-1].at_ms) == []
    for wrong in ({"size": 1_001}, {"size": -1}, {"start_ms": -1}, {"end_ms": 1 << 62}, {"before_id": -1}):
        with pytest.raises(GatewayError) as refused:
            await _changes(keystore, **wrong)
        assert refused.value.reason == Reason.ERROR_REASON_INVALID_REQUEST


async def test_a_page_ends_before_it_is_too_large_and_the_next_goes_on(keystore: Any) -> None:
    large = '{"a": "' + "x" * 60_000 + '"}'
    for number in range(20):
        owner = keystore_pb2.Owner(kind=keystore_pb2.OWNER_KIND_CUSTOMER, id=f"c{number}", metadata_json=large)
        await keystore.call(CREATE_OWNER, keystore_pb2.CreateOwnerRequest(owner=owner))
    found: list[str] = []
    before_id, pages = 0, 0
    while page := await _changes(keystore, before_id=before_id):
        found += [line.object_id for line in page]
        before_id, pages = page[-1].id, pages + 1
    assert (found, pages) == ([f"c{number}" for number in reversed(range(20))], 2)
