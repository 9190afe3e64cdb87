"""Which rates hold for a call, and what a discount and a margin make of them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from gateway.v1 import common_pb2
from gateway.v1.common_pb2 import TokenUsage
from hypothesis import given
from hypothesis import strategies as st

from router.providers.tariff import Band, Tariff
from services.costs import STANDARD
from services.markups import Markup
from services.money import MTOK, Rates

FLEX, PRIORITY = common_pb2.SERVICE_TIER_FLEX, common_pb2.SERVICE_TIER_PRIORITY
SHORT, LONG, CHEAP = Rates.of(input=3, output=15), Rates.of(input=6, output=22), Rates.of(input=1, output=7)
TARIFF = Tariff({STANDARD: (Band(200_000, LONG), Band(-1, SHORT)), FLEX: (Band(-1, CHEAP),)})


@pytest.mark.parametrize(
    ("usage", "rates"),
    [
        (TokenUsage(), SHORT),
        (TokenUsage(input_tokens=200_000, output_tokens=10**6), SHORT),
        (TokenUsage(input_tokens=200_001), LONG),
        (TokenUsage(input_tokens=200_001, cache_read_tokens=200_001), LONG),
        (TokenUsage(input_tokens=200_001, service_tier=FLEX), CHEAP),
        (TokenUsage(input_tokens=200_001, service_tier=PRIORITY), LONG),
        (TokenUsage(input_tokens=1, service_tier=PRIORITY), SHORT),
    ],
)
def test_the_length_of_the_input_and_the_tier_that_was_served_decide(usage: TokenUsage, rates: Rates) -> None:
    assert TARIFF.rates_of(usage) == rates


def test_beyond_a_threshold_every_token_of_the_call_is_dearer() -> None:
    usage = TokenUsage(input_tokens=2 * MTOK, output_tokens=MTOK)
    assert TARIFF.cost(usage) == 2 * 6 + 22


def test_a_discount_comes_first_then_the_margin_then_the_fee() -> None:
    """LiteLLM's example: $1.00 less 5 %, and 10 % on it."""
    rates = Rates.of(input=10**9, output=0)
    tariff = Tariff({STANDARD: (Band(-1, rates),)}, Markup(discount=50_000_000, margin=100_000_000, fee_nano_usd=7))
    assert tariff.cost(TokenUsage(input_tokens=MTOK)) == 1_045_000_000 + 7


@given(
    st.builds(Rates, *(st.integers(0, 10**18) for _ in range(12))),
    st.builds(
        Markup,
        discount=st.integers(0, 10**9),
        margin=st.integers(0, 8 * 10**9),
        fee_nano_usd=st.integers(0, 10**12),
    ),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 1000),
)
def test_a_marked_up_cost_is_rounded_once(
    rates: Rates, markup: Markup, input_tokens: int, output_tokens: int, searches: int
) -> None:
    tariff = Tariff({STANDARD: (Band(-1, rates),)}, markup)
    exact = Fraction(input_tokens * rates.input + output_tokens * rates.output, MTOK)
    exact += rates.request * (searches or 1)
    exact *= (1 - Fraction(markup.discount, 10**9)) * (1 + Fraction(markup.margin, 10**9))
    usage = TokenUsage(input_tokens=input_tokens, output_tokens=output_tokens, requests=searches)
    assert tariff.cost(usage) == round(exact) + markup.fee_nano_usd
