"""What is tried for a call, and what may follow a failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.routing.plan import (
    JITTER_SECONDS,
    LAST_PAUSE_SECONDS,
    LONGEST_ASKED_PAUSE_SECONDS,
    Policy,
    groups_to_try,
    may_fall_back,
    may_repeat,
    may_try_another,
    pause_seconds,
)
from services.errors import TABLE, GatewayError, Reason

KNOWN = ("gpt", "claude", "local", "tiny")
names = st.sampled_from([*KNOWN, "unknown", "alias"])


def test_a_name_is_its_group() -> None:
    assert groups_to_try("gpt", Policy(), KNOWN) == ["gpt"]


def test_nobody_knows_a_name() -> None:
    assert groups_to_try("nope", Policy(), KNOWN) == []


def test_an_alias_with_a_list_tries_its_groups_in_order() -> None:
    """The user guide's `gpt-4-fallback`."""
    policy = Policy(aliases={"gpt-4-fallback": ("gpt", "claude", "local")})
    assert groups_to_try("gpt-4-fallback", policy, KNOWN) == ["gpt", "claude", "local"]


def test_fallbacks_follow_and_have_fallbacks_of_their_own() -> None:
    policy = Policy(fallbacks={"gpt": ("claude", "gpt"), "claude": ("local",)})
    assert groups_to_try("gpt", policy, KNOWN) == ["gpt", "claude", "local"]


def test_the_star_serves_those_without_their_own_and_unknown_names() -> None:
    policy = Policy(fallbacks={"*": ("tiny",), "gpt": ("claude",)})
    assert groups_to_try("local", policy, KNOWN) == ["local", "tiny"]
    assert groups_to_try("nope", policy, KNOWN) == ["tiny"]
    assert groups_to_try("gpt", policy, KNOWN)[:2] == ["gpt", "claude"]


@given(
    st.dictionaries(names, st.lists(names, max_size=4).map(tuple), max_size=6),
    st.dictionaries(names, st.lists(names, min_size=1, max_size=3).map(tuple), max_size=2),
    names,
    st.integers(0, 4),
)
def test_a_chain_ends_holds_known_groups_once_and_keeps_its_limit(fallbacks, aliases, model, limit) -> None:
    policy = Policy(fallbacks=fallbacks, aliases=aliases, max_fallbacks=limit)
    chain = groups_to_try(model, policy, KNOWN)
    assert len(chain) == len(set(chain)) <= limit + 1
    assert set(chain) <= set(KNOWN)


@pytest.mark.parametrize("reason", list(TABLE))
def test_what_may_be_repeated_may_also_go_elsewhere(reason: Reason) -> None:
    error = GatewayError(reason, "x")
    if may_repeat(error):
        assert may_try_another(error)
        assert may_fall_back(error)


def test_our_own_refusals_are_final() -> None:
    assert not may_fall_back(GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, "x"))
    assert not may_try_another(GatewayError(Reason.ERROR_REASON_PROVIDER_REJECTED, "x"))
    assert may_fall_back(GatewayError(Reason.ERROR_REASON_PROVIDER_REJECTED, "x"))


def test_a_provider_is_waited_for_as_it_asks_but_not_for_ever() -> None:
    soon = GatewayError(Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, "x", retry_after_seconds=7)
    late = GatewayError(Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, "x", retry_after_seconds=3600)
    assert may_repeat(soon)
    assert pause_seconds(soon, 0, Policy(), 0.0) == 7
    assert not may_repeat(late)


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 100), st.floats(0, 1e6))
def test_no_pause_is_endless(repeats: int, chance: float, retry_after: float, asked: float) -> None:
    error = GatewayError(Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "x", retry_after_seconds=asked)
    pause = pause_seconds(error, repeats, Policy(retry_after_seconds=retry_after), chance)
    assert 0 <= pause <= max(LONGEST_ASKED_PAUSE_SECONDS, LAST_PAUSE_SECONDS) + JITTER_SECONDS


def test_pauses_grow() -> None:
    error = GatewayError(Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "x")
    assert [pause_seconds(error, n, Policy(), 0.0) for n in range(6)] == [0.5, 1, 2, 4, 8, 8]
    assert pause_seconds(error, 0, Policy(retry_after_seconds=5), 0.0) == 5
