"""The feed of changes, on a real PostgreSQL: one change may be larger than a page of it."""

from __future__ import annotations

from typing import Any

from gateway.v1 import keystore_pb2

from keystore.policy.owners import Key, Kind, Owner, member_id
from keystore.rows import KeyRow, OwnerRow
from keystore.sql import PAGE
from services.methods import DELETE_OWNERS

MANY = 2 * PAGE + 7


async def test_a_change_of_more_than_a_page_is_known_whole_at_the_next_decision(start_keystore: Any) -> None:
    first, second = await start_keystore(), await start_keystore()
    times = {"created_ms": 1, "updated_ms": 1}
    async with first.role._store.change("test", 1) as change:
        await change.write_owner(None, OwnerRow(Owner(Kind.TEAM, "t"), **times), "created")
        for number in range(MANY):
            user = f"u{number}"
            member = Owner(Kind.TEAM_MEMBER, member_id("t", user), role="user", user_id=user, team_id="t")
            await change.write_owner(None, OwnerRow(member, **times), "created")
            key = Key(f"k{number}", f"k{number}", "sk-...", team_id="t", user_id=user)
            await change.insert_key(KeyRow(key, **times))
    directory = second.role._keys.directory
    await second.role._keys.reach(change.version)
    assert all(directory.key_by_id(f"k{number}") for number in range(MANY))
    assert all(len(directory.memberships(f"u{number}")) == 1 for number in range(MANY))

    deletion = keystore_pb2.DeleteOwnersRequest(kind=keystore_pb2.OWNER_KIND_TEAM, ids=["t"])
    await first.call(DELETE_OWNERS, deletion)
    edge = await second.edge()
    await edge.admit("")  # a decision: it tells of the change
    assert not any(directory.key_by_id(f"k{number}") for number in range(MANY))
    assert not any(directory.memberships(f"u{number}") for number in range(MANY))
    assert directory.owner(Kind.TEAM, "t") is None
