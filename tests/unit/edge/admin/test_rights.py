"""A key gives away no more than it has, whatever is asked for and left out."""

from __future__ import annotations

import pytest
from gateway.v1 import keystore_pb2 as k
from hypothesis import given
from hypothesis import strategies as st

from edge.admin.rights import Bound, after_change, beyond, inherit, refuse_beyond, seconds
from services.errors import GatewayError, Reason

DURATIONS = ("", "1h", "1d", "7d", "30d", "1mo", "2mo")
amounts = st.none() | st.integers(0, 5)
names = st.lists(st.sampled_from(("a", "b", "c*", "g")), max_size=2)


@st.composite
def terms(draw: st.DrawFn) -> k.Terms:
    made = k.Terms(
        models=draw(names),
        max_budget_nano_usd=draw(amounts),
        rpm_limit=draw(amounts),
        tpm_limit=draw(amounts),
        max_parallel_requests=draw(amounts),
        budget_duration=draw(st.sampled_from(DURATIONS)),
        budget_id=draw(st.sampled_from(("", "b1"))),
        shadow=draw(st.booleans()),
        budget_increase_nano_usd=draw(st.integers(0, 2)),
        budget_increase_until_ms=draw(st.integers(0, 2)),
    )
    for _ in range(draw(st.integers(0, 2))):
        made.budget_limits.add(
            max_budget_nano_usd=draw(st.integers(0, 5)), budget_duration=draw(st.sampled_from(DURATIONS[1:]))
        )
    for model in draw(st.lists(st.sampled_from("ab"), unique=True, max_size=2)):
        made.model_terms.add(model=model, max_budget_nano_usd=draw(amounts), rpm_limit=draw(amounts))
    return made


keys = st.builds(
    lambda terms, tags, routes, aliases: k.Key(terms=terms, tags=tags, allowed_routes=routes, aliases=aliases),
    terms(),
    st.lists(st.sampled_from("xy"), unique=True),
    st.lists(st.sampled_from(("/key/*", "/key/info", "info_routes")), max_size=2),
    st.dictionaries(st.just("alias"), st.sampled_from("abcz")),
)
SHARED = {"b1": k.Owner(id="b1", terms=k.Terms(max_budget_nano_usd=3, budget_duration="1d", rpm_limit=2))}
GROUPS = {"g": frozenset(("z",))}


def least(own: k.Terms, name: str) -> int | None:
    """What a limit comes to: one's own, else the budget's."""
    if own.HasField(name):
        return getattr(own, name)
    shared = SHARED[own.budget_id].terms if own.budget_id else k.Terms()
    return getattr(shared, name) if shared.HasField(name) else None


@given(keys, keys)
def test_what_is_not_beyond_a_bound_has_every_limit_of_it(own: k.Key, wanted: k.Key) -> None:
    bound = Bound(own, GROUPS, SHARED)
    inherit(bound, wanted)
    if any(beyond(bound, wanted, 0)):
        return
    for name in ("max_budget_nano_usd", "rpm_limit", "tpm_limit", "max_parallel_requests"):
        most, has = least(own.terms, name), least(wanted.terms, name)
        assert most is None or (has is not None and has <= most), name
    assert own.terms.shadow or not wanted.terms.shadow
    assert set(own.tags) <= set(wanted.tags)
    assert not own.allowed_routes or wanted.allowed_routes
    for each in own.terms.model_terms:
        (other,) = (terms for terms in wanted.terms.model_terms if terms.model == each.model)
        assert not each.HasField("rpm_limit") or other.rpm_limit <= each.rpm_limit
    assert wanted.terms.budget_increase_nano_usd <= own.terms.budget_increase_nano_usd


@given(keys)
def test_what_asks_for_nothing_is_as_its_bound_and_within_it(own: k.Key) -> None:
    bound = Bound(own, GROUPS, SHARED)
    wanted = k.Key()
    inherit(bound, wanted)
    found = set(beyond(bound, wanted, 0))
    assert found <= set(), found


@pytest.mark.parametrize(
    ("own", "wanted", "names"),
    [
        ({"max_budget_nano_usd": 5}, {"max_budget_nano_usd": 6}, ["max_budget"]),
        (
            {"max_budget_nano_usd": 5, "budget_duration": "1mo"},
            {"max_budget_nano_usd": 5, "budget_duration": "1d"},
            ["max_budget"],
        ),
        ({"max_budget_nano_usd": 5, "budget_duration": "1d"}, {"max_budget_nano_usd": 5}, []),
        ({"max_budget_nano_usd": 5}, {"max_budget_nano_usd": 5, "budget_duration": "1d"}, ["max_budget"]),
        ({"models": ["a"]}, {"models": ["a", "b"]}, ["models"]),
        ({"rpm_limit": 5}, {"rpm_limit": 6}, ["rpm_limit"]),
        ({}, {"rpm_limit": 6, "max_budget_nano_usd": 1, "models": ["a"]}, []),
        ({}, {"budget_id": "b1"}, ["budget_id"]),
        ({"budget_id": "b1"}, {"budget_id": "b1", "max_budget_nano_usd": 4}, ["max_budget"]),
        ({}, {"shadow": True}, ["shadow"]),
        ({}, {"budget_increase_nano_usd": 1, "budget_increase_until_ms": 1}, ["temp_budget_increase"]),
    ],
)
def test_what_is_beyond_is_named(own: dict[str, object], wanted: dict[str, object], names: list[str]) -> None:
    bound = Bound(k.Key(terms=k.Terms(**own)), GROUPS, SHARED)
    assert list(beyond(bound, k.Key(terms=k.Terms(**wanted)), 0)) == names


def test_a_key_that_ends_makes_none_that_does_not() -> None:
    bound = Bound(k.Key(expires_ms=100), {}, {})
    assert [list(beyond(bound, k.Key(), at_ms)) for at_ms in (100, 101, 0)] == [[], ["duration"], ["duration"]]


def test_a_change_is_refused_for_what_it_touches_only() -> None:
    refuse_beyond(["rpm_limit"], {"key_alias"})
    with pytest.raises(GatewayError) as caught:
        refuse_beyond(["max_budget"], {"budget_duration"})
    assert (caught.value.reason, caught.value.param) == (Reason.ERROR_REASON_PERMISSION_DENIED, "max_budget")


def test_a_key_after_a_change_has_what_was_named_and_keeps_the_rest() -> None:
    before = k.Key(key_alias="a", terms=k.Terms(rpm_limit=1, models=["m"]), tags=["x"], aliases={"a": "b"})
    change = k.Key(terms=k.Terms(models=["n"], rpm_limit=9), tags=["y"], aliases={"c": "d"}, key_alias="z")
    after = after_change(["models", "tags", "aliases", "tpm_limit"], change, before)
    assert (list(after.terms.models), after.terms.rpm_limit, list(after.tags)) == (["n"], 1, ["y"])
    assert (dict(after.aliases), after.key_alias) == ({"c": "d"}, "a")
    assert dict(before.aliases) == {"a": "b"}


def test_periods_are_compared_by_their_length() -> None:
    assert seconds("30d") == seconds("1mo") < seconds("") > seconds("99mo")


@pytest.mark.parametrize("more", [["/*"], ["*"], ["/key/*"], ["management_routes"], []])
def test_routes_of_calls_give_away_no_others(more: list[str]) -> None:
    bound = Bound(k.Key(allowed_routes=["/v1/*"]), {}, {})
    assert list(beyond(bound, k.Key(allowed_routes=more), 0)) == ["allowed_routes"]
    assert list(beyond(bound, k.Key(allowed_routes=["/v1/models", "/v1/chat/*"]), 0)) == []
