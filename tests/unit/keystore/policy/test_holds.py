"""Sizes of holds, and the limits that they buy."""

from __future__ import annotations

from gateway.v1.common_pb2 import TokenUsage
from hypothesis import assume, given
from hypothesis import strategies as st

from keystore.policy.holds import DEFAULT_OUTPUT_TOKENS, SLICE_OUTPUT_TOKENS, SMALLEST_OUTPUT_TOKENS, Prices, size
from services.money import MAX_BUDGET_NANO_USD, Rates

rates = st.integers(0, 200_000_000_000)
prices = st.builds(Prices, rates, rates, st.integers(0, 10_000_000), st.integers(0, 200_000), st.booleans())
tokens = st.integers(0, 2_000_000)


def test_the_full_hold_is_input_and_every_choice_s_output_and_the_request() -> None:
    needed = size(Prices(3_000_000, 7_000_000, 5), input_tokens_bound=10, output_tokens_limit=100, choices=2)
    assert needed.full_nano_usd == 10 * 3 + 2 * 100 * 7 + 5
    assert needed.smallest_nano_usd == 10 * 3 + 2 * SMALLEST_OUTPUT_TOKENS * 7 + 5


def test_parts_of_a_nano_are_held_whole() -> None:
    needed = size(Prices(1, 1), input_tokens_bound=1, output_tokens_limit=1, choices=1)
    assert needed.full_nano_usd == needed.smallest_nano_usd == 1


def test_without_a_stated_limit_the_model_s_own_bounds_the_answer_else_a_default() -> None:
    def full(max_output_tokens: int) -> int:
        price = Prices(output_nano_usd_per_mtok=1_000_000, max_output_tokens=max_output_tokens)
        return size(price, input_tokens_bound=0, output_tokens_limit=0, choices=1).full_nano_usd

    assert full(500) == 500
    assert full(0) == DEFAULT_OUTPUT_TOKENS


def test_a_model_without_a_price_needs_nothing() -> None:
    needed = size(Prices(), input_tokens_bound=10**9, output_tokens_limit=10**9, choices=128)
    assert needed.full_nano_usd == needed.smallest_nano_usd == 0
    assert needed.output_tokens_limit(0) == 0


@given(prices, tokens, tokens, st.integers(0, 128))
def test_the_full_hold_pays_for_any_call_within_its_bounds(
    price: Prices, input_tokens: int, output_limit: int, choices: int
) -> None:
    needed = size(price, input_tokens_bound=input_tokens, output_tokens_limit=output_limit, choices=choices)
    output = (output_limit or price.max_output_tokens or DEFAULT_OUTPUT_TOKENS) * max(1, choices)
    charged = Rates(price.input_nano_usd_per_mtok, price.output_nano_usd_per_mtok, request=price.request_nano_usd).cost(
        TokenUsage(input_tokens=input_tokens, output_tokens=output)
    )
    assert needed.full_nano_usd >= min(charged, MAX_BUDGET_NANO_USD + 1)
    open_end = not (output_limit or price.max_output_tokens) and price.output_nano_usd_per_mtok > 0
    assert needed.output_tokens_limit(needed.full_nano_usd) == (DEFAULT_OUTPUT_TOKENS if open_end else 0)
    assert needed.first_nano_usd == needed.full_nano_usd


@given(prices, tokens, tokens, st.integers(0, 128), st.data())
def test_the_limit_that_a_part_buys_never_costs_more_than_the_part(
    price: Prices, input_tokens: int, output_limit: int, choices: int, data: st.DataObject
) -> None:
    needed = size(price, input_tokens_bound=input_tokens, output_tokens_limit=output_limit, choices=choices)
    # What the script grants: never less than the smallest, never more than any cap.
    assume(needed.smallest_nano_usd < needed.full_nano_usd)
    held = data.draw(st.integers(needed.smallest_nano_usd, needed.full_nano_usd - 1))
    limit = needed.output_tokens_limit(held)
    wanted = output_limit or price.max_output_tokens or DEFAULT_OUTPUT_TOKENS
    assert min(SMALLEST_OUTPUT_TOKENS, wanted) <= limit < wanted

    def bound(output_tokens: int) -> int:
        exact = size(price, input_tokens_bound=input_tokens, output_tokens_limit=output_tokens, choices=choices)
        return exact.full_nano_usd

    assert bound(limit) <= held < bound(limit + 1)


@given(prices, tokens, tokens, st.integers(0, 128))
def test_a_stream_s_first_slice_pays_for_its_tokens_and_may_grow(
    price: Prices, input_tokens: int, output_limit: int, choices: int
) -> None:
    members = {"input_tokens_bound": input_tokens, "choices": choices}
    needed = size(price, output_tokens_limit=output_limit, stream=True, **members)
    known = output_limit or price.max_output_tokens
    if not known or not price.shows_all_output:
        assert needed == size(price, output_tokens_limit=output_limit, **members)
        return
    slice_only = size(price, output_tokens_limit=min(known, SLICE_OUTPUT_TOKENS), **members)
    assert needed.first_nano_usd == slice_only.full_nano_usd
    assert needed.smallest_nano_usd <= needed.first_nano_usd <= needed.full_nano_usd
    assert needed.is_slice(needed.first_nano_usd) == (needed.first_nano_usd < needed.full_nano_usd)
    assert needed.output_tokens_limit(needed.first_nano_usd) == 0
    if needed.smallest_nano_usd < needed.first_nano_usd < needed.full_nano_usd:
        # Less than the first slice is what a budget has left: it buys a limit, and does not grow.
        assert not needed.is_slice(needed.first_nano_usd - 1)
        assert 0 < needed.output_tokens_limit(needed.first_nano_usd - 1) < SLICE_OUTPUT_TOKENS


def test_an_answer_whose_end_nobody_knows_is_limited_to_what_is_held() -> None:
    price = Prices(output_nano_usd_per_mtok=1_000_000, shows_all_output=True)
    needed = size(price, input_tokens_bound=0, output_tokens_limit=0, choices=1, stream=True)
    assert needed.first_nano_usd == needed.full_nano_usd == DEFAULT_OUTPUT_TOKENS
    assert needed.output_tokens_limit(needed.full_nano_usd) == DEFAULT_OUTPUT_TOKENS
    assert not needed.is_slice(needed.full_nano_usd)


def test_a_bound_beyond_every_budget_stays_exact_in_the_script_s_numbers() -> None:
    needed = size(Prices(1, 10**12), input_tokens_bound=0, output_tokens_limit=2**62, choices=128)
    assert MAX_BUDGET_NANO_USD < needed.full_nano_usd < 2**53


def test_an_operation_that_only_reads_holds_its_input_and_its_searches() -> None:
    price = Prices(3_000_000, 7_000_000, request_nano_usd=5, max_output_tokens=100)
    for limit in (0, 50):
        needed = size(
            price, input_tokens_bound=10, output_tokens_limit=limit, choices=1, generates=False, requests_bound=4
        )
        assert needed.full_nano_usd == needed.smallest_nano_usd == needed.first_nano_usd == 10 * 3 + 4 * 5
        assert (needed.output_tokens, needed.output_tokens_limit(needed.full_nano_usd)) == (0, 0)
    once = size(price, input_tokens_bound=10, output_tokens_limit=0, choices=1, generates=False, requests_bound=0)
    assert once.full_nano_usd == 10 * 3 + 5
