"""Money is exact, rounds once, and never costs more than its ceiling."""

from __future__ import annotations

import decimal
from decimal import Decimal
from fractions import Fraction

import pytest
from gateway.v1.common_pb2 import TokenUsage
from hypothesis import given
from hypothesis import strategies as st

from services.money import MAX_BUDGET_NANO_USD, MTOK, PART_OF, Rates, nano_from_usd, usd_from_nano, usd_text

int64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
tokens = st.integers(min_value=0, max_value=10**9)
rate = st.integers(min_value=0, max_value=10**18)
rates = st.builds(Rates, *(rate for _ in PART_OF))


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
    gpt_4o = Rates.of(input=2_500_000_000, output=10_000_000_000, cache_read=1_250_000_000, cache_write=2_500_000_000)
    assert usd_text(gpt_4o.cost(TokenUsage(input_tokens=11, output_tokens=5, cache_read_tokens=4))) == "0.0000725"


# Disjoint counts of each class, in the order of CLASSES.
CLASSES = (
    "input",
    "cache_read",
    "cache_read_audio",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "input_image",
    "output",
    "reasoning",
    "output_audio",
    "output_image",
)
counts = st.tuples(*(tokens for _ in CLASSES))


def usage_of(*parts: int) -> TokenUsage:
    plain, read, heard, written, hour, audio, image, said, thought, spoken, drawn = parts
    return TokenUsage(
        input_tokens=plain + read + heard + written + hour + audio + image,
        output_tokens=said + thought + spoken + drawn,
        cache_read_tokens=read + heard,
        cache_read_audio_tokens=heard,
        cache_write_tokens=written + hour,
        cache_write_1h_tokens=hour,
        input_audio_tokens=audio,
        input_image_tokens=image,
        reasoning_tokens=thought,
        output_audio_tokens=spoken,
        output_image_tokens=drawn,
    )


@given(rates, counts, st.integers(0, 1000))
def test_cost_is_the_exact_sum_over_all_classes_rounded_once(
    each: Rates, parts: tuple[int, ...], searches: int
) -> None:
    exact = Fraction(sum(part * getattr(each, name) for part, name in zip(parts, CLASSES, strict=True)), MTOK)
    usage = usage_of(*parts)
    usage.requests = searches
    assert each.cost(usage) == round(exact) + each.request * (searches or 1)


@given(rates, counts, tokens, tokens, st.integers(0, 1000), st.integers(0, 1000))
def test_no_call_within_its_bounds_costs_more_than_the_ceiling(
    each: Rates, parts: tuple[int, ...], spare_input: int, spare_output: int, searches: int, spare_searches: int
) -> None:
    usage = usage_of(*parts)
    usage.requests = searches
    ceiling = each.ceiling(
        input_tokens=usage.input_tokens + spare_input,
        output_tokens=usage.output_tokens + spare_output,
        requests=max(1, searches + spare_searches),
    )
    assert each.cost(usage) <= ceiling


@given(rates, tokens, tokens, st.lists(tokens, min_size=8, max_size=8))
def test_parts_that_overlap_or_exceed_their_whole_cost_no_more_than_the_ceiling(
    each: Rates, total: int, said: int, parts: list[int]
) -> None:
    """Providers count sound in the cache twice, or something else than they say."""
    read, heard, hour, audio, image, thought, spoken, drawn = parts
    usage = TokenUsage(
        input_tokens=total,
        output_tokens=said,
        cache_read_tokens=min(read, total),
        cache_read_audio_tokens=heard,
        cache_write_1h_tokens=hour,
        input_audio_tokens=audio,
        input_image_tokens=image,
        reasoning_tokens=thought,
        output_audio_tokens=spoken,
        output_image_tokens=drawn,
    )
    assert 0 <= each.cost(usage) <= each.ceiling(input_tokens=total, output_tokens=said)


def test_a_class_that_nobody_prices_costs_what_it_is_part_of() -> None:
    assert Rates.of(input=1, output=2) == Rates(1, 2, 1, 1, 0, 1, 1, 1, 1, 2, 2, 2)
    assert Rates.of(input=1, input_audio=5).cache_read_audio == 5, "no cache has a price: it is heard anew"
    assert Rates.of(input=1, cache_read=3, input_audio=5).cache_read_audio == 3
    assert Rates.of(input=1, cache_write=4).cache_write_1h == 4


@given(st.dictionaries(st.sampled_from(tuple(PART_OF)), rate))
def test_no_class_is_free_unless_all_that_it_is_part_of_is(stated: dict[str, int]) -> None:
    filled = Rates.of(**stated)
    for name, others in PART_OF.items():
        assert getattr(filled, name) == stated.get(name, getattr(filled, name))
        if name not in stated:
            assert getattr(filled, name) in (0, *(stated.get(other) for other in others))


def test_a_ceiling_is_rounded_up() -> None:
    assert Rates(input=1).ceiling(input_tokens=1, output_tokens=0) == 1
    assert Rates(input=1).cost(TokenUsage(input_tokens=1)) == 0


def test_more_cached_tokens_than_input_do_not_make_a_refund() -> None:
    """A provider that counts cached tokens beside the input, against OpenAI's custom."""
    assert Rates(input=MTOK, cache_read=MTOK).cost(TokenUsage(input_tokens=1, cache_read_tokens=5)) == 5
