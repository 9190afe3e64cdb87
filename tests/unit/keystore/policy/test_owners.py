"""All keys and owners in memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keystore.policy.owners import Directory, Key, Kind, Owner, member_id


def test_a_secret_before_opens_until_its_time_and_only_the_last_one() -> None:
    directory = Directory()
    directory.put_key(Key("k", "t1", ""))
    directory.put_key(Key("k", "t2", "", previous_token="t1", previous_until_ms=10))
    assert directory.key_by_token("t1", 9) is directory.key_by_token("t2", 99) is directory.key_by_id("k")
    assert directory.key_by_token("t1", 10) is None
    directory.put_key(Key("k", "t3", "", previous_token="t2", previous_until_ms=10))
    assert directory.key_by_token("t1", 0) is None
    assert not directory.has_token("t1")
    assert directory.has_token("t2")
    directory.remove_key("k")
    assert all(directory.key_by_token(token, 0) is None for token in ("t1", "t2", "t3"))
    assert directory.key_by_id("k") is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("uv"), st.sampled_from(["admin", "user", ""]))))
def test_memberships_are_those_of_the_owners_that_are_there(steps: list[tuple[str, str, str]]) -> None:
    """An empty role: the member leaves."""
    directory, there = Directory(), {}
    for team, user, role in steps:
        owner_id = member_id(team, user)
        before = directory.generation
        if role:
            there[owner_id] = Owner(Kind.TEAM_MEMBER, owner_id, role=role, user_id=user, team_id=team)
            directory.put_owner(there[owner_id])
        else:
            there.pop(owner_id, None)
            directory.remove_owner(Kind.TEAM_MEMBER, owner_id)
        assert directory.generation > before
    for user in "uvw":
        expected = {(owner.team_id, owner.role) for owner in there.values() if owner.user_id == user}
        assert {(owner.team_id, owner.role) for owner in directory.memberships(user)} == expected


def test_a_member_s_id_tells_team_and_user_apart() -> None:
    assert member_id("a/b", "c") != member_id("a", "b/c")
    assert member_id("a%2Fb", "c") != member_id("a/b", "c")
