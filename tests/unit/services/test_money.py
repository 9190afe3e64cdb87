"""Money is exact, rounds once, and never costs more than its ceiling."""

from __future__ import annotations

import decimal
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.money import MAX_BUDGET_NANO_USD, MTOK, Rates, nano_from_usd, usd_from_nano, usd_text

int64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
tokens = st.integers(min_value=0, max_value=10**9)
rate = st.integers(min_value=0, max_value=10**18)
rates = st.builds(Rates, input=rate, output=rate, cache_read=rate, cache_write=rate, request=rate)


@given(int64)
def test_text_and_nano_dollars_are_the_same_amount(nano_usd: int) -> None:
    text = usd_text(nano_usd)
    assert nano_from_usd(text) == nano_usd
    assert "e" not in text.lower()
    assert not ("." in text and text.endswith("0"))


@given(st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, places=40))
def test_dollars_are_rounded_once_to_the_nearest_even(usd: Decimal) -> None:
    assert nano_from_usd(usd) == round(Fraction(usd) * 10**9)


@pytest.mark.parametrize(
    ("usd", "nano_usd"),
    [
        (1, 10**9),
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        # A first rounding to 28 digits would make an exact half of it.
        ("0.00000000050000000000000000000000001", 1),
        (Decimal("1e-999999999"), 0),
        ("9000000", MAX_BUDGET_NANO_USD),
    ],
)
def test_dollars_to_nano(usd: Decimal | int | str, nano_usd: int) -> None:
    assert nano_from_usd(usd) == nano_usd


@pytest.mark.parametrize("usd", ["nan", "sNaN", "inf", "-Infinity", "", "ten", "1e400", Decimal("1e999999999")])
def test_what_is_no_amount_is_refused(usd: Decimal | str) -> None:
    with pytest.raises(ValueError, match=r"^.* is not an amount of money$"):
        nano_from_usd(usd)


def test_the_threads_decimal_context_does_not_matter() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        context.rounding = decimal.ROUND_UP
        assert nano_from_usd("1234.5678901234") == 1_234_567_890_123
        assert usd_text(1_234_567_890_123) == "1234.567890123"


def test_the_largest_budget_is_exact_in_a_lua_number() -> None:
    assert MAX_BUDGET_NANO_USD < 2**53
    assert usd_from_nano(MAX_BUDGET_NANO_USD) == 9_000_000


def test_a_call_costs_what_litellm_says() -> None:
    """gpt-4o, 11 tokens in, 4 of them cached, 5 out: $0.0000725."""
    gpt_4o = Rates(input=2_500_000_000, output=10_000_000_000, cache_read=1_250_000_000, cache_write=2_500_000_000)
    assert usd_text(gpt_4o.cost(input_tokens=11, output_tokens=5, cache_read_tokens=4)) == "0.0000725"


@given(rates, tokens, tokens, tokens, tokens)
def test_cost_is_the_exact_sum_rounded_once(each: Rates, plain: int, read: int, written: int, output: int) -> None:
    exact = Fraction(
        plain * each.input + read * each.cache_read + written * each.cache_write + output * each.output, MTOK
    )
    cost = each.cost(
        input_tokens=plain + read + written,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    assert cost == round(exact) + each.request


@given(rates, tokens, tokens, tokens, tokens, tokens, tokens)
def test_no_call_within_its_bounds_costs_more_than_the_ceiling(
    each: Rates, plain: int, read: int, written: int, output: int, spare_input: int, spare_output: int
) -> None:
    input_tokens = plain + read + written
    cost = each.cost(
        input_tokens=input_tokens, output_tokens=output, cache_read_tokens=read, cache_write_tokens=written
    )
    assert cost <= each.ceiling(input_tokens=input_tokens + spare_input, output_tokens=output + spare_output)


def test_a_ceiling_is_rounded_up() -> None:
    assert Rates(input=1).ceiling(input_tokens=1, output_tokens=0) == 1
    assert Rates(input=1).cost(input_tokens=1, output_tokens=0) == 0


def test_more_cached_tokens_than_input_do_not_make_a_refund() -> None:
    """A provider that counts cached tokens beside the input, against OpenAI's custom."""
    assert Rates(input=MTOK, cache_read=1).cost(input_tokens=1, output_tokens=0, cache_read_tokens=5) == 0
