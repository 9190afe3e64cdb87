"""Lists of models: what they allow, that nothing is allowed that is not listed, and that nobody gives away more than
they have."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.allowed_models import compiled, first_beyond, merged

GROUPS = {
    "team-models": frozenset({"gpt-4o", "claude"}),
    "gpt-4o": frozenset({"gpt-4o-mini"}),
    "none": frozenset[str](),
}

names = st.text(st.sampled_from("ab/*-.\n"), max_size=8)


@pytest.mark.parametrize(
    ("listed", "allowed", "denied"),
    [
        (["gpt-4o-mini"], ["gpt-4o-mini"], ["gpt-4o", "GPT-4o-mini", "gpt-4o-mini ", "gpt-4o-mini\n", "", "*"]),
        # Wildcards, from the beginning to the end, over slashes and lines.
        (["openai/*"], ["openai/gpt-4o", "openai/", "openai/a/b", "openai/a\nb"], ["openai", "xopenai/a", "azure/a"]),
        (["*/claude"], ["a/claude", "a/b/claude", "/claude"], ["claude", "a/claude-2"]),
        (["a*b*c"], ["abc", "a.b.c", "abbcc", "abcbc"], ["acb", "ab", "xabc", "abcx"]),
        (["*-mini", "o1"], ["gpt-4o-mini", "-mini", "o1"], ["o1-preview", "mini"]),
        (["a*a"], ["aa", "aba"], ["a"]),
        # Dots and brackets are only themselves.
        (["gpt.4*"], ["gpt.4o"], ["gpt-4o"]),
        (["[ab]*"], ["[ab]x"], ["a", "ax"]),
        (["openai/*"], ["openai/*"], ["open*"]),
        # Groups of models, together with a model of the same name.
        (["team-models"], ["gpt-4o", "claude", "team-models"], ["gpt-4o-mini"]),
        (["gpt-4o"], ["gpt-4o", "gpt-4o-mini"], ["claude"]),
        (["none"], ["none"], ["gpt-4o", ""]),
        # Another group in a group is a model's name.
        (["no-such-group", "claude"], ["claude"], ["gpt-4o"]),
        # LiteLLM's words.
        (["no-default-models"], [], ["gpt-4o", ""]),
        (["no-default-models", "claude"], ["claude"], ["gpt-4o"]),
        ([""], [""], ["gpt-4o"]),
    ],
)
def test_a_list_allows_what_it_names_and_nothing_else(listed: list[str], allowed: list[str], denied: list[str]) -> None:
    rule = compiled(listed, GROUPS)
    assert not rule.everything
    assert [name for name in allowed if not rule.allows(name)] == []
    assert [name for name in denied if rule.allows(name)] == []


@pytest.mark.parametrize(
    "listed", [[], ["all-proxy-models"], ["all-team-models"], ["*"], ["claude", "*"], ["no-default-models", "*"]]
)
def test_no_list_and_the_words_for_all_hold_nothing_back(listed: list[str]) -> None:
    rule = compiled(listed, GROUPS)
    assert rule.everything
    assert rule.allows("anything")


def test_a_word_for_all_in_a_group_is_a_name_like_any_other() -> None:
    """Whoever makes groups of models is not whoever may call all of them."""
    rule = compiled(["g"], {"g": frozenset({"all-proxy-models", "claude"})})
    assert rule.allows("claude")
    assert not rule.allows("gpt-4o")


def test_a_wildcard_in_a_group_is_one() -> None:
    rule = compiled(["g"], {"g": frozenset({"openai/*"})})
    assert rule.allows("openai/gpt-4o")
    assert not rule.allows("azure/gpt-4o")


@given(st.lists(names, min_size=1, max_size=4), names)
def test_a_name_is_allowed_if_and_only_if_one_of_the_list_says_so(listed: list[str], model: str) -> None:
    # In fnmatch only the brackets and the question mark mean more, and none of them is drawn.
    says_so = [name == model or ("*" in name and fnmatch.fnmatchcase(model, name)) for name in listed]
    assert compiled(listed, {}).allows(model) == (any(says_so) or "*" in listed)


def test_a_name_made_of_many_stars_takes_no_time() -> None:
    """Whoever makes keys names models; with what a regular expression does by itself one call took for ever."""
    rule = compiled(["*a" * 60 + "b", "*" * 100 + "c"], {})
    begun = time.process_time()
    for _ in range(20):
        assert not rule.allows("a" * 256)
    assert time.process_time() - begun < 1
    assert rule.allows("a" * 60 + "b")


MORE_GROUPS = {
    "prod": frozenset(("gpt-4o", "o3")),
    "prod-all": frozenset(("claude",)),
    "wild": frozenset(("openai/*",)),
}
NAMES = ("gpt-4o", "o3", "claude", "openai/x", "openai/x-1", "prod", "prod-all", "wild", "prod-x")
lists = st.lists(
    st.sampled_from(
        (*NAMES, "openai/*", "prod*", "*x*", "*", "all-proxy-models", "all-team-models", "no-default-models")
    ),
    max_size=4,
)


@given(lists, lists)
def test_a_list_that_is_not_beyond_another_allows_nothing_more(own: list[str], wanted: list[str]) -> None:
    if first_beyond(own, wanted, MORE_GROUPS) is None:
        outer, inner = compiled(own, MORE_GROUPS), compiled(wanted, MORE_GROUPS)
        assert all(outer.allows(name) for name in NAMES if inner.allows(name))


def test_a_group_is_what_it_stands_for_though_its_name_fits_a_pattern() -> None:
    assert first_beyond(["prod*"], ["prod-all"], MORE_GROUPS) == "prod-all"
    assert first_beyond(["prod*"], ["prod-x"], MORE_GROUPS) is None
    assert first_beyond(["openai/*"], ["openai/gpt*"], MORE_GROUPS) is None
    assert first_beyond(["openai/gpt*"], ["openai/*"], MORE_GROUPS) == "openai/*"


def test_a_list_that_holds_nothing_back_is_beyond_one_that_does() -> None:
    for everything in ([], ["*"], ["all-proxy-models"], ["all-team-models"]):
        assert first_beyond(["gpt-4o"], everything, {}) is not None


def test_a_group_of_two_sources_stands_for_the_models_of_both() -> None:
    """Who may give it away must have both, for admission allows both."""
    groups = merged({"g": frozenset(("a",)), "h": frozenset(("c",))}, {"g": frozenset(("b",))})
    assert groups == {"g": {"a", "b"}, "h": {"c"}}
    assert first_beyond(["a"], ["g"], groups) == "g"
