"""Names of prices are taken apart, and only those that something acts on."""

from __future__ import annotations

import pytest
from gateway.v1 import common_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.costs import CALL_COSTS, STANDARD, TOKEN_COSTS, PriceOf, price_of
from services.money import PART_OF


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("input_cost_per_token", PriceOf("input")),
        ("input_cost_per_request", PriceOf("request")),
        ("input_cost_per_query", PriceOf("request")),
        ("output_cost_per_token_flex", PriceOf("output", common_pb2.SERVICE_TIER_FLEX)),
        ("output_cost_per_token_batches", PriceOf("output", common_pb2.SERVICE_TIER_BATCH)),
        ("input_cost_per_token_above_200k_tokens", PriceOf("input", STANDARD, 200_000)),
        (
            "cache_read_input_token_cost_above_272k_tokens_priority",
            PriceOf("cache_read", common_pb2.SERVICE_TIER_PRIORITY, 272_000),
        ),
        ("cache_creation_input_token_cost_above_1hr", PriceOf("cache_write_1h")),
        (
            "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
            PriceOf("cache_write_1h", STANDARD, 200_000),
        ),
    ],
)
def test_a_name_says_what_it_prices(name: str, meant: PriceOf) -> None:
    assert price_of(name) == meant


@pytest.mark.parametrize(
    "name",
    [
        "",
        "input_cost_per_second",
        "input_cost_per_token_above_0k_tokens",
        "input_cost_per_token_above_128k",
        "input_cost_per_token_above_٢k_tokens",
        "input_cost_per_token_above_9999999k_tokens",
        "input_cost_per_token_scale",
        "input_cost_per_token_flex_above_200k_tokens",
        "input_cost_per_request_flex",
        "input_cost_per_query_above_200k_tokens",
    ],
)
def test_other_names_price_nothing_here(name: str) -> None:
    assert price_of(name) is None


@given(st.text())
def test_any_text_is_a_name_or_none(name: str) -> None:
    assert price_of(name) is None or name in (*TOKEN_COSTS, *CALL_COSTS)


def test_every_class_of_token_has_a_name() -> None:
    assert {*TOKEN_COSTS.values(), "request"} == set(PART_OF)
