"""Scopes: a name for everybody, another for everybody else, and one line each whatever callers call themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystore.policy.scopes import GATEWAY_SCOPE, Scope, Whose, in_period, key_scope, parse, scope_of

# What has two ids: of a member, and of a model that somebody calls.
_PAIRS = (Whose.KEY_MODEL, Whose.TEAM_MODEL, Whose.MEMBER)
# No text that comes over a link has a lone surrogate.
ids = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    st.sampled_from(["", "a/b", "a\nb", "a@5-6", "key:x", "50%", "%2F", "..", "Zoë 🦉", " "]),
)
periods = st.one_of(
    st.just((0, 0)),
    st.tuples(st.integers(1, 1 << 48), st.just(0)),
    st.tuples(st.integers(1, 1 << 48), st.integers(1, 1 << 48)),
)


@st.composite
def scopes(draw: st.DrawFn) -> Scope:
    whose = draw(st.sampled_from(list(Whose)))
    count = 0 if whose is Whose.GATEWAY else 2 if whose in _PAIRS else 1
    return Scope(whose, tuple(draw(ids) for _ in range(count)), *draw(periods))


def name_of(scope: Scope) -> str:
    return in_period(scope_of(scope.whose, *scope.ids), scope.since_ms, scope.end_ms)


@given(scopes())
def test_a_scope_says_what_it_was_made_of(scope: Scope) -> None:
    assert parse(name_of(scope)) == scope


@given(scopes(), scopes())
def test_different_scopes_have_different_names(one: Scope, other: Scope) -> None:
    assert (name_of(one) == name_of(other)) == (one == other)


@given(scopes())
def test_a_scope_is_one_line_of_ascii_as_the_script_keeps_them(scope: Scope) -> None:
    name = name_of(scope)
    assert name
    assert name.isascii()
    assert not set(name) & set("\n\r\0 ")


def test_names_are_those_that_counters_have_kept_so_far() -> None:
    assert key_scope("4f1c") == "key:4f1c"
    assert GATEWAY_SCOPE == scope_of(Whose.GATEWAY) == "gateway"
    assert in_period("team:t1", 1_764_547_200_000, 1_767_225_600_000) == "team:t1@1764547200000-1767225600000"
    assert in_period(key_scope("4f1c"), 1_764_547_200_000) == "key:4f1c@1764547200000"
    assert in_period("team:t1", 0, 1_767_225_600_000) == "team:t1"


@pytest.mark.parametrize("text", ["", "nobody:x", "key:x@1-2-3", "key:x@a", "KEY:x", "\nkey:x"])
def test_what_is_no_scope_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|is not a valid"):
        parse(text)
