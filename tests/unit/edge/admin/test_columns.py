"""Tables of columns: what goes in is what is shown, null takes away, and what nobody acts on is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.v1 import keystore_pb2 as k
from hypothesis import given
from hypothesis import strategies as st

from edge.admin.columns import ATTRIBUTES, ITSELF, MEMBER_TERMS, TERMS, Column, fill, refuse_others, shown
from edge.admin.key_members import COLUMNS as KEY_COLUMNS
from edge.admin.kinds import (
    COUNT,
    DURATION,
    FLAG,
    INCREASE,
    MAPPING,
    MODEL_BUDGETS,
    MODEL_RPM,
    MODEL_TPM,
    MOMENT,
    NAMES,
    OBJECT,
    OPTIONAL_FLAG,
    TEXT,
    USD,
    WINDOWS,
)
from edge.admin.owner_rows import (
    BUDGET_COLUMNS,
    CUSTOMER_COLUMNS,
    ORGANIZATION_COLUMNS,
    TAG_COLUMNS,
    TEAM_COLUMNS,
    TEAM_MEMBER_COLUMNS,
    USER_COLUMNS,
)
from services.errors import GatewayError, Reason
from tests.scripted_keystore import changed

TABLES = (
    (k.Key, KEY_COLUMNS),
    (k.Owner, USER_COLUMNS),
    (k.Owner, TEAM_COLUMNS),
    (k.Owner, CUSTOMER_COLUMNS),
    (k.Owner, ORGANIZATION_COLUMNS),
    (k.Owner, BUDGET_COLUMNS),
    (k.Owner, TAG_COLUMNS),
    (k.Owner, TEAM_MEMBER_COLUMNS),
)
texts = st.text(min_size=1, max_size=8)
usd = st.integers(0, 9_000_000_000).map(lambda thousandths: thousandths / 1000)
durations = st.sampled_from(("30s", "2h", "7d", "1mo"))
counts = st.integers(0, (1 << 63) - 1)
VALUES: dict[int, st.SearchStrategy[Any]] = {
    id(TEXT): texts,
    id(FLAG): st.booleans(),
    id(OPTIONAL_FLAG): st.booleans(),
    id(COUNT): counts,
    id(USD): usd,
    id(INCREASE): usd.filter(bool),
    id(MOMENT): st.sampled_from(("2026-01-31T10:00:00+00:00", "2030-12-31T23:59:59.500000+00:00")),
    id(DURATION): durations,
    id(NAMES): st.lists(texts, min_size=1, max_size=3),
    id(MAPPING): st.dictionaries(texts, texts, min_size=1, max_size=3),
    id(OBJECT): st.dictionaries(texts, texts | st.integers(-9, 9) | st.lists(texts), min_size=1, max_size=3),
    id(WINDOWS): st.lists(
        st.fixed_dictionaries({"budget_duration": durations, "max_budget": usd}), min_size=1, max_size=2
    ),
    id(MODEL_BUDGETS): st.dictionaries(
        texts, st.fixed_dictionaries({"budget_limit": usd, "time_period": durations}), min_size=1, max_size=2
    ),
    id(MODEL_RPM): st.dictionaries(texts, counts, min_size=1, max_size=2),
    id(MODEL_TPM): st.dictionaries(texts, counts, min_size=1, max_size=2),
}


@st.composite
def bodies(draw: st.DrawFn, columns: tuple[Column, ...]) -> dict[str, Any]:
    named = draw(st.lists(st.sampled_from(columns), unique_by=lambda column: column.name, max_size=5))
    return {column.name: draw(VALUES[id(column.kind)]) for column in named}


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, tuple[Column, ...], dict[str, Any], dict[str, Any]]:
    message, columns = draw(st.sampled_from(TABLES))
    return message, tuple(columns), draw(bodies(tuple(columns))), draw(bodies(tuple(columns)))


@given(cases())
def test_what_is_filled_in_is_shown(case: tuple[Any, tuple[Column, ...], dict[str, Any], dict[str, Any]]) -> None:
    message, columns, body, _ = case
    made = message()
    fill(columns, body, made)
    row = shown(columns, made)
    assert {name: row[name] for name in body} == body


@given(cases())
def test_a_change_names_what_it_changes_and_keeps_what_is_replaced_with_it(
    case: tuple[Any, tuple[Column, ...], dict[str, Any], dict[str, Any]],
) -> None:
    message, columns, first, second = case
    before = message()
    fill(columns, first, before)
    change = message()
    members = fill(columns, second, change, before)
    changed(members, change, before)  # as the keystore takes over the members that are named
    row = shown(columns, before)
    assert {name: row[name] for name in {**first, **second}} == {**first, **second}


@pytest.mark.parametrize(("message", "columns"), TABLES)
def test_null_takes_away(message: Any, columns: tuple[Column, ...]) -> None:
    nothing = message()
    assert sorted(fill(columns, {column.name: None for column in columns}, nothing)) == sorted(
        {column.changes for column in columns}
    )
    nothing.ClearField("attributes_json")
    assert nothing == message(terms=k.Terms()) or nothing == message(terms=k.Terms(), member_terms=k.Terms())


@pytest.mark.parametrize(("message", "columns"), TABLES)
def test_every_column_is_of_a_member_that_there_is(message: Any, columns: tuple[Column, ...]) -> None:
    fields = {
        ITSELF: message.DESCRIPTOR.fields_by_name,
        TERMS: k.Terms.DESCRIPTOR.fields_by_name,
        MEMBER_TERMS: k.Terms.DESCRIPTOR.fields_by_name,
    }
    assert len({column.name for column in columns}) == len(columns)
    for column in columns:
        assert column.within == ATTRIBUTES or column.member in fields[column.within], column.name


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_budget": -1}, "max_budget"),
        ({"max_budget": True}, "max_budget"),
        ({"max_budget": "1"}, "max_budget"),
        ({"max_budget": 9_000_001}, "max_budget"),
        ({"rpm_limit": -1}, "rpm_limit"),
        ({"rpm_limit": 1 << 63}, "rpm_limit"),
        ({"rpm_limit": 10**40}, "rpm_limit"),
        ({"rpm_limit": 1.5}, "rpm_limit"),
        ({"budget_duration": "soon"}, "budget_duration"),
        ({"models": "m"}, "models"),
        ({"models": ["m"] * 1001}, "models"),
        ({"aliases": {"a": 1}}, "aliases"),
        ({"model_max_budget": {"m": {}}}, "model_max_budget"),
        ({"model_max_budget": {"m": {"budget_limit": 1, "time_period": "x"}}}, "model_max_budget"),
        ({"model_rpm_limit": {"m": -1}}, "model_rpm_limit"),
        ({"budget_limits": [{"max_budget": 1}]}, "budget_limits"),
        ({"temp_budget_expiry": "tomorrow"}, "temp_budget_expiry"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        fill(KEY_COLUMNS, body, k.Key())
    assert (caught.value.reason, caught.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, param)


def test_limits_of_models_are_one_list_of_which_each_column_has_its_part() -> None:
    key = k.Key()
    fill(KEY_COLUMNS, {"model_rpm_limit": {"a": 1, "b": 2}, "model_max_budget": {"a": {"budget_limit": 0.5}}}, key)
    change = k.Key()
    members = fill(KEY_COLUMNS, {"model_rpm_limit": {"c": 3}, "model_tpm_limit": {"a": 9}}, change, key)
    assert members == ["model_terms"]
    row = shown(KEY_COLUMNS, change)
    assert row["model_rpm_limit"] == {"c": 3}
    assert row["model_tpm_limit"] == {"a": 9}
    assert row["model_max_budget"] == {"a": {"budget_limit": 0.5, "time_period": None}}


def test_what_nobody_acts_on_is_refused_by_name_and_what_asks_for_nothing_is_not() -> None:
    refuse_others({"guardrails": [], "permissions": {}, "spend": 0, "rpm_limit": 5, "key": "x"}, KEY_COLUMNS, ("key",))
    with pytest.raises(GatewayError, match="guardrails, tpd_limit") as caught:
        refuse_others({"tpd_limit": 5, "guardrails": ["x"]}, KEY_COLUMNS)
    assert caught.value.param == "guardrails"
