"""What lists of models allow, and that nobody gives away more than they have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.admin.model_lists import ModelList

GROUPS = {"prod": frozenset(("gpt-4o", "o3")), "prod-all": frozenset(("claude",)), "wild": frozenset(("openai/*",))}
NAMES = ("gpt-4o", "o3", "claude", "openai/x", "openai/x-1", "prod", "prod-all", "wild", "prod-x")
lists = st.lists(
    st.sampled_from(
        (*NAMES, "openai/*", "prod*", "*x*", "*", "all-proxy-models", "all-team-models", "no-default-models")
    ),
    max_size=4,
)


@pytest.mark.parametrize(
    ("names", "allowed", "denied"),
    [
        ([], ["anything"], []),
        (["gpt-4o"], ["gpt-4o"], ["gpt-4", "gpt-4o-mini"]),
        (["openai/*"], ["openai/x", "openai/"], ["openai", "xopenai/x"]),
        (["prod"], ["gpt-4o", "o3"], ["claude"]),
        (["wild"], ["openai/x"], ["claude"]),
        (["no-default-models"], [], ["gpt-4o"]),
        (["all-team-models"], ["gpt-4o"], []),
        (["a.b"], ["a.b"], ["axb"]),
    ],
)
def test_what_a_list_allows(names: list[str], allowed: list[str], denied: list[str]) -> None:
    listed = ModelList(names, GROUPS)
    assert all(map(listed.allows, allowed))
    assert not any(map(listed.allows, denied))


@given(lists, lists)
def test_a_list_that_is_not_beyond_another_allows_nothing_more(own: list[str], wanted: list[str]) -> None:
    bound = ModelList(own, GROUPS)
    if bound.beyond(wanted, GROUPS) is None:
        inner = ModelList(wanted, GROUPS)
        assert all(bound.allows(name) for name in NAMES if inner.allows(name))


def test_a_group_is_what_it_stands_for_though_its_name_fits_a_pattern() -> None:
    assert ModelList(["prod*"], GROUPS).beyond(["prod-all"], GROUPS) == "prod-all"
    assert ModelList(["prod*"], GROUPS).beyond(["prod-x"], GROUPS) is None
    assert ModelList(["openai/*"], GROUPS).beyond(["openai/gpt*"], GROUPS) is None
    assert ModelList(["openai/gpt*"], GROUPS).beyond(["openai/*"], GROUPS) == "openai/*"


def test_a_list_that_holds_nothing_back_is_beyond_one_that_does() -> None:
    for everything in ([], ["*"], ["all-proxy-models"], ["all-team-models"]):
        assert ModelList(["gpt-4o"], {}).beyond(everything, {}) is not None
