"""Terms are the same in messages, in the store, and when only some of them change."""

from __future__ import annotations

import pytest
from gateway.v1 import keystore_pb2
from hypothesis import given
from hypothesis import strategies as st

from keystore.checks import MAX_BUDGET_LIMITS, MAX_MILLIS, MAX_MODEL_TERMS, check_terms
from keystore.columns import json_of
from keystore.columns import terms_of as stored_terms
from keystore.policy.limits import MAX_LIMIT
from keystore.policy.terms import NONE, BudgetWindow, ModelTerms, Terms
from keystore.term_members import TERMS, shown_terms, terms_of, with_members
from services.errors import GatewayError
from services.money import MAX_BUDGET_NANO_USD

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
MONEY = st.integers(0, MAX_BUDGET_NANO_USD)
LIMIT = st.none() | st.integers(0, MAX_LIMIT)
DURATION = st.sampled_from(["", "30s", "2h", "7d", "2w", "1mo"])
ALL_TERMS = st.builds(
    Terms,
    models=st.lists(NAMES, max_size=5, unique=True).map(tuple),
    max_budget_nano_usd=st.none() | st.integers(0, MAX_BUDGET_NANO_USD // 2),
    budget_duration=DURATION,
    soft_budget_nano_usd=st.none() | MONEY,
    budget_limits=st.lists(st.builds(BudgetWindow, MONEY, DURATION), max_size=3).map(tuple),
    shadow=st.booleans(),
    budget_increase_nano_usd=st.integers(0, MAX_BUDGET_NANO_USD // 2),
    budget_increase_until_ms=st.integers(0, MAX_MILLIS),
    rpm_limit=LIMIT,
    tpm_limit=LIMIT,
    max_parallel_requests=LIMIT,
    model_terms=st.lists(
        st.builds(ModelTerms, NAMES.filter(bool), st.none() | MONEY, DURATION, LIMIT, LIMIT),
        max_size=3,
        unique_by=lambda each: each.model,
    ).map(tuple),
    budget_id=NAMES,
)


@given(ALL_TERMS)
def test_terms_come_back_from_the_store_and_from_messages_as_they_were(terms: Terms) -> None:
    assert stored_terms(json_of(terms)) == terms
    assert terms_of(shown_terms(terms)) == terms
    check_terms(shown_terms(terms))


@given(ALL_TERMS, ALL_TERMS, st.sets(st.sampled_from(sorted(TERMS))))
def test_the_members_that_are_named_change_and_no_others(terms: Terms, asked: Terms, members: set[str]) -> None:
    changed = with_members(terms, members, shown_terms(asked))
    for name in TERMS:
        assert getattr(changed, name) == getattr(asked if name in members else terms, name)
    assert with_members(terms, {"terms"}, shown_terms(asked)) == asked


def test_what_is_not_set_takes_no_room_in_the_store() -> None:
    assert json_of(NONE) == "{}"
    assert stored_terms("{}") == NONE
    assert terms_of(keystore_pb2.Terms()) == NONE


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"models": ["m"] * 1_001}, "models"),
        ({"models": ["m\0"]}, "models"),
        ({"max_budget_nano_usd": MAX_BUDGET_NANO_USD + 1}, "max_budget"),
        ({"soft_budget_nano_usd": -1}, "soft_budget"),
        ({"budget_duration": "1d x"}, "budget_duration"),
        ({"budget_duration": "200y"}, "budget_duration"),
        ({"budget_duration": "1201mo"}, "budget_duration"),
        ({"max_budget_nano_usd": MAX_BUDGET_NANO_USD, "budget_increase_nano_usd": 1}, "temp_budget_increase"),
        ({"budget_increase_until_ms": MAX_MILLIS + 1}, "temp_budget_expiry"),
        ({"rpm_limit": MAX_LIMIT + 1}, "rpm_limit"),
        ({"tpm_limit": -1}, "tpm_limit"),
        ({"max_parallel_requests": -1}, "max_parallel_requests"),
        ({"budget_limits": [keystore_pb2.BudgetWindow(max_budget_nano_usd=-1)]}, "budget_limits"),
        ({"budget_limits": [keystore_pb2.BudgetWindow(budget_duration="x")]}, "budget_limits"),
        ({"budget_limits": [keystore_pb2.BudgetWindow()] * (MAX_BUDGET_LIMITS + 1)}, "budget_limits"),
        ({"model_terms": [keystore_pb2.ModelTerms()]}, "model_max_budget"),
        ({"model_terms": [keystore_pb2.ModelTerms(model="m", max_budget_nano_usd=-1)]}, "model_max_budget"),
        ({"model_terms": [keystore_pb2.ModelTerms(model="m", budget_duration="x")]}, "model_max_budget"),
        ({"model_terms": [keystore_pb2.ModelTerms(model="m", tpm_limit=-1)]}, "model_tpm_limit"),
        (
            {"model_terms": [keystore_pb2.ModelTerms(model=str(n)) for n in range(MAX_MODEL_TERMS + 1)]},
            "model_max_budget",
        ),
        ({"budget_id": "b" * 513}, "budget_id"),
    ],
)
def test_what_no_terms_can_be_is_refused_by_name(members: dict[str, object], param: str) -> None:
    with pytest.raises(GatewayError) as refused:
        check_terms(keystore_pb2.Terms(**members))  # type: ignore[arg-type]
    assert refused.value.param == param
