"""The directory of keys and owners, as changes come in; and the ids of members."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from keystore.policy.owners import Directory, Key, Kind, Owner, member_id
from keystore.policy.terms import Terms

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)


@given(texts, texts, texts, texts)
def test_no_two_memberships_have_one_id(team: str, user: str, other_team: str, other_user: str) -> None:
    one, other = member_id(team, user), member_id(other_team, other_user)
    assert (one == other) == ((team, user) == (other_team, other_user))


def test_ids_with_slashes_do_not_run_into_one_another() -> None:
    assert member_id("a/b", "c") == "a%2Fb/c"
    assert member_id("a", "b/c") == "a/b%2Fc"


def test_a_key_is_found_by_its_token_and_its_id_until_it_goes() -> None:
    directory, key = Directory(), Key("k1", "t1", "sk-...1111")
    directory.put_key(key)
    assert directory.key_by_token("t1", 5) is directory.key_by_id("k1") is key
    directory.remove_key("k1")
    assert directory.key_by_token("t1", 5) is None
    assert directory.key_by_id("k1") is None


def test_a_new_secret_takes_the_place_of_the_old_one() -> None:
    directory = Directory()
    directory.put_key(Key("k1", "t1", "sk-...1111"))
    directory.put_key(Key("k1", "t2", "sk-...2222"))
    assert directory.key_by_token("t1", 5) is None
    assert directory.key_by_token("t2", 5) is directory.key_by_id("k1") is not None


def test_within_its_grace_the_secret_before_is_good_and_then_no_more() -> None:
    directory = Directory()
    key = Key("k1", "t2", "sk-...2222", previous_token="t1", previous_until_ms=10)
    directory.put_key(key)
    assert directory.key_by_token("t1", 9) is directory.key_by_token("t2", 9) is key
    assert directory.key_by_token("t1", 10) is None
    assert directory.key_by_token("t2", 10) is key
    directory.put_key(Key("k1", "t3", "sk-...3333", previous_token="t2", previous_until_ms=20))
    assert directory.key_by_token("t1", 9) is None
    directory.remove_key("k1")
    assert directory.key_by_token("t2", 9) is directory.key_by_token("t3", 9) is None


def test_no_token_is_nobody_s() -> None:
    directory = Directory()
    directory.put_key(Key("k1", "t1", "sk-...1111"))
    directory.put_key(Key("k2", "t2", "sk-...2222", previous_token="t0", previous_until_ms=10))
    assert directory.key_by_token("", 5) is None


def test_a_secret_that_is_another_key_s_by_now_stays_that_key_s() -> None:
    directory, second = Directory(), Key("k2", "t1", "sk-...1111")
    directory.put_key(Key("k1", "t1", "sk-...1111"))
    directory.put_key(second)
    directory.remove_key("k1")
    assert directory.key_by_token("t1", 5) is second
    directory.remove_key("k2")
    directory.remove_key("k2")
    assert directory.key_by_token("t1", 5) is None


def test_a_key_s_present_secret_comes_before_what_was_another_s() -> None:
    directory = Directory()
    directory.put_key(Key("k1", "t2", "sk-...2222", previous_token="t1", previous_until_ms=10))
    directory.put_key(Key("k2", "t1", "sk-...1111"))
    found = directory.key_by_token("t1", 5)
    assert found is not None
    assert found.key_id == "k2"


def test_owners_of_different_kinds_may_have_one_id() -> None:
    directory = Directory()
    team, user = Owner(Kind.TEAM, "x"), Owner(Kind.USER, "x")
    directory.put_owner(team)
    directory.put_owner(user)
    assert directory.owner(Kind.TEAM, "x") is team
    directory.remove_owner(Kind.TEAM, "x")
    assert directory.owner(Kind.TEAM, "x") is None
    assert directory.owner(Kind.USER, "x") is user


def test_every_change_raises_the_generation() -> None:
    directory = Directory()
    changes = [
        lambda: directory.put_key(Key("k1", "t1", "sk-...1111")),
        lambda: directory.remove_key("k1"),
        lambda: directory.put_owner(Owner(Kind.TEAM, "x")),
        lambda: directory.remove_owner(Kind.TEAM, "x"),
    ]
    for change in changes:
        before = directory.generation
        change()
        assert directory.generation > before


def test_terms_survive_the_store_and_what_is_not_set_takes_no_room() -> None:
    terms = Terms(("a",), 0, "30d", rpm_limit=0, shadow=True, budget_id="b")
    assert msgspec.json.decode(msgspec.json.encode(terms), type=Terms) == terms
    assert msgspec.json.encode(Terms()) == b"{}"


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
