"""Terms: what is left open is filled in by a budget that is referred to, and by defaults; what is set stays."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystore.policy.terms import NONE, BudgetWindow, ModelTerms, Terms, filled

counts = st.one_of(st.none(), st.integers(0, 5))
durations = st.sampled_from(["", "1d", "30d"])
terms = st.builds(
    Terms,
    models=st.lists(st.sampled_from("ab"), unique=True).map(tuple),
    max_budget_nano_usd=counts,
    budget_duration=durations,
    soft_budget_nano_usd=counts,
    budget_limits=st.lists(st.builds(BudgetWindow, st.integers(0, 5), durations), max_size=2).map(tuple),
    shadow=st.booleans(),
    rpm_limit=counts,
    tpm_limit=counts,
    max_parallel_requests=counts,
    model_terms=st.lists(st.builds(ModelTerms, st.just("a"), counts, durations, counts), max_size=1).map(tuple),
    budget_id=st.sampled_from(["", "b"]),
)


@given(terms)
def test_of_nobody_else_nothing_is_taken(own: Terms) -> None:
    assert filled(own, ()) == filled(own, (None, None)) == own
    assert filled(own, [NONE]) == own


@given(terms)
def test_a_soft_budget_without_another_keeps_its_period(own: Terms) -> None:
    soft = msgspec.structs.replace(own, max_budget_nano_usd=None, soft_budget_nano_usd=3)
    unset = msgspec.structs.replace(NONE, rpm_limit=1)
    assert filled(soft, [unset]).budget_duration == own.budget_duration
    assert filled(unset, [soft]).budget_duration == own.budget_duration


@given(terms, st.lists(terms, max_size=3))
def test_what_is_set_stays(own: Terms, others: list[Terms]) -> None:
    after = filled(own, others)
    for name in ("max_budget_nano_usd", "soft_budget_nano_usd", "rpm_limit", "tpm_limit", "max_parallel_requests"):
        if getattr(own, name) is not None:
            assert getattr(after, name) == getattr(own, name)
    for name in ("models", "budget_limits", "model_terms"):
        if getattr(own, name):
            assert getattr(after, name) == getattr(own, name)
    assert after.budget_id == own.budget_id


@given(terms, st.lists(terms, max_size=3))
def test_a_limit_that_is_open_is_the_first_that_another_sets(own: Terms, others: list[Terms]) -> None:
    after = filled(own, others)
    for name in ("rpm_limit", "tpm_limit", "max_parallel_requests", "soft_budget_nano_usd"):
        set_ones = [value for each in (own, *others) if (value := getattr(each, name)) is not None]
        assert getattr(after, name) == (set_ones[0] if set_ones else None)


@given(terms, st.lists(terms, max_size=3))
def test_a_budget_that_refuses_goes_on_refusing_whatever_others_only_watch(own: Terms, others: list[Terms]) -> None:
    after = filled(own, others)
    if own.has_budget and not own.shadow:
        assert not after.shadow


@given(terms, st.lists(terms, max_size=3))
def test_a_shadow_budget_never_becomes_one_that_refuses(own: Terms, others: list[Terms]) -> None:
    after = filled(own, others)
    if after.shadow:
        return
    refusing = [each for each in (own, *others) if not each.shadow]
    if after.max_budget_nano_usd is not None:
        assert after.max_budget_nano_usd in [each.max_budget_nano_usd for each in refusing]
    if after.budget_limits:
        assert after.budget_limits in [each.budget_limits for each in refusing]


def test_0_is_set_and_not_open() -> None:
    """0 lets nothing pass; a default that let something pass would open what somebody has closed."""
    own = Terms(max_budget_nano_usd=0, rpm_limit=0, tpm_limit=0, max_parallel_requests=0)
    assert filled(own, [Terms((), 9, "30d", rpm_limit=9, tpm_limit=9, max_parallel_requests=9)]) == own


def test_a_budget_comes_with_its_period_and_not_without_it() -> None:
    assert filled(NONE, [Terms(max_budget_nano_usd=5, budget_duration="30d")]) == Terms((), 5, "30d")
    assert filled(Terms(budget_duration="1d"), [Terms(max_budget_nano_usd=5)]) == Terms((), 5, "")
    assert filled(Terms((), 7, "1d"), [Terms((), 5, "30d")]) == Terms((), 7, "1d")
    assert filled(Terms((), 7), [Terms((), 5, "30d")]) == Terms((), 7)
    # Of two others the first that has a budget.
    assert filled(NONE, [Terms(budget_duration="1d"), Terms((), 5), Terms((), 6, "30d")]) == Terms((), 5, "")


def test_a_temporary_increase_is_of_whoever_has_it_and_adds_to_whatever_budget_applies() -> None:
    own = Terms(budget_increase_nano_usd=3, budget_increase_until_ms=10)
    after = filled(own, [Terms((), 5, "30d", budget_increase_nano_usd=100, budget_increase_until_ms=99)])
    assert (after.max_budget_nano_usd, after.budget_increase_nano_usd, after.budget_increase_until_ms) == (5, 3, 10)


def test_a_watched_budget_beside_one_that_refuses_is_left_out_with_its_windows_and_its_limits_stay() -> None:
    own = Terms(max_budget_nano_usd=5)
    watched = Terms(
        max_budget_nano_usd=9,
        budget_limits=(BudgetWindow(1, "1d"),),
        shadow=True,
        rpm_limit=4,
        model_terms=(ModelTerms("m", 1, "1d", rpm_limit=2),),
    )
    assert filled(own, [watched]) == Terms(
        max_budget_nano_usd=5, rpm_limit=4, model_terms=(ModelTerms("m", None, "1d", rpm_limit=2),)
    )


def test_who_only_watches_watches_what_others_have_set_too() -> None:
    assert filled(Terms(shadow=True), [Terms(max_budget_nano_usd=5)]) == Terms(max_budget_nano_usd=5, shadow=True)
    assert filled(NONE, [Terms(max_budget_nano_usd=5, shadow=True)]) == Terms(max_budget_nano_usd=5, shadow=True)


@pytest.mark.parametrize(
    ("own", "limits", "money"),
    [
        (NONE, False, False),
        (Terms(rpm_limit=0), True, False),
        (Terms(tpm_limit=0), True, False),
        (Terms(max_parallel_requests=0), True, False),
        (Terms(max_budget_nano_usd=0), False, True),
        (Terms(budget_limits=(BudgetWindow(0),)), False, True),
        (Terms(model_terms=(ModelTerms("m", 0),)), False, True),
        (Terms(model_terms=(ModelTerms("m", rpm_limit=1),)), False, False),
        (Terms(soft_budget_nano_usd=1), False, False),
    ],
)
def test_what_limits_anything_says_so(own: Terms, limits: bool, money: bool) -> None:
    assert (own.has_limit, own.has_budget) == (limits, money)
