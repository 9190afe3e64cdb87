"""What a hold lets an attempt cost, wherever it goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gateway.v1 import common_pb2, router_pb2
from hypothesis import given
from hypothesis import strategies as st

from router.allowance import is_affordable, next_slice, output_limit, paid_output_tokens, whole_call
from router.catalog import Deployment
from services.errors import GatewayError, Reason
from services.money import Rates


def deployment(input_rate: int, output_rate: int) -> Deployment:
    rates = Rates(input=input_rate, output=output_rate)
    return Deployment("d", "g", "openai", "m", "", rates=rates, ceiling_rates=rates)


def request(
    held: int, *, limit: int = 0, bound: int = 100, choices: int = 1, input_tokens: int = 10
) -> router_pb2.Open:
    hold = common_pb2.Hold(
        held_nano_usd=held, output_tokens_limit=limit, output_tokens_bound=bound, choices=choices, epoch="e"
    )
    return router_pb2.Open(hold=hold, input_tokens_bound=input_tokens)


# 1 nano-USD a token in, 2 out.
PLAIN = deployment(1_000_000, 2_000_000)


def test_a_hold_that_pays_in_full_imposes_nothing() -> None:
    assert output_limit(request(10 + 200), PLAIN, 0) == 0


def test_a_partial_hold_imposes_its_own_limit() -> None:
    assert output_limit(request(10 + 80, limit=40), PLAIN, 0) == 40


def test_a_dearer_fallback_gets_what_the_hold_buys_there() -> None:
    assert output_limit(request(10 + 200), deployment(1_000_000, 5_000_000), 0) == 40


def test_what_earlier_attempts_were_billed_is_gone() -> None:
    assert output_limit(request(10 + 200), PLAIN, 100) == 50


def test_what_pays_for_no_useful_answer_is_refused() -> None:
    dear = deployment(1_000_000, 100_000_000)
    assert not is_affordable(request(10 + 200), dear, 0)
    with pytest.raises(GatewayError) as caught:
        output_limit(request(10 + 200), dear, 0)
    assert caught.value.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED


def test_without_a_hold_nothing_is_bounded() -> None:
    free = router_pb2.Open(input_tokens_bound=10)
    assert is_affordable(free, PLAIN, 0)
    assert output_limit(free, PLAIN, 0) == 0


def test_a_limit_without_money_is_imposed_as_it_is() -> None:
    check = router_pb2.Open(input_tokens_bound=10, hold=common_pb2.Hold(output_tokens_limit=1))
    assert output_limit(check, PLAIN, 0) == 1


def test_what_is_held_by_now_counts_where_it_is_more_than_at_first() -> None:
    assert output_limit(request(10 + 80), PLAIN, 0) == 40
    assert output_limit(request(10 + 80), PLAIN, 0, 10 + 120) == 60


def test_no_limit_beyond_the_providers_own_is_imposed() -> None:
    """It may refuse a request for more than it can."""
    short = replace(PLAIN, max_output_tokens=30)
    assert output_limit(request(10 + 80, limit=40), short, 0) == 30
    assert output_limit(request(10 + 200), short, 0) == 0
    assert output_limit(request(10 + 58, limit=29), short, 0) == 29


amounts = st.integers(0, 10**12)


def test_a_class_that_is_dearer_than_text_is_what_a_token_may_cost() -> None:
    """Sound in, and reasoning out, at three times the price of text."""
    rates = Rates.of(input=1_000_000, output=2_000_000, input_audio=3_000_000, reasoning=6_000_000)
    there = replace(PLAIN, rates=rates, ceiling_rates=rates)
    assert paid_output_tokens(request(30 + 600), there, 30 + 600) is None
    assert paid_output_tokens(request(30 + 599), there, 30 + 599) == 99


rates = st.integers(0, 10**9)


@given(amounts, amounts, rates, rates, st.integers(0, 10**6), st.integers(1, 10**5), st.integers(1, 8), st.data())
def test_no_attempt_may_cost_more_than_what_is_left(
    held, spent, in_rate, out_rate, tokens, bound, choices, data
) -> None:
    limit = data.draw(st.integers(0, bound))
    asked = request(held, limit=limit, bound=bound, choices=choices, input_tokens=tokens)
    there = deployment(in_rate, out_rate)
    try:
        imposed = output_limit(asked, there, spent)
    except GatewayError:
        return
    answer = (imposed or bound) * choices
    assert there.ceiling_rates.ceiling(input_tokens=tokens, output_tokens=answer) <= held - spent
    assert imposed <= bound
    assert not limit or imposed <= limit


@given(rates, rates, st.integers(0, 10**6), st.integers(1, 10**5), st.integers(1, 8), st.data())
def test_a_slice_pays_for_what_it_was_asked_for(in_rate, out_rate, tokens, bound, choices, data) -> None:
    asked, there = request(0, bound=bound, choices=choices, input_tokens=tokens), deployment(in_rate, out_rate)
    spent = data.draw(amounts)
    paid = data.draw(st.integers(1, bound * choices))
    wanted, smallest = next_slice(asked, there, spent, paid)
    whole, least = whole_call(asked, there, spent)
    assert least <= smallest <= whole
    assert wanted <= whole
    for held, expected in ((wanted, 2 * paid), (smallest, paid + 16 * choices)):
        got = paid_output_tokens(asked, there, held - spent)
        assert got is None or got >= min(expected, bound * choices)
    assert paid_output_tokens(asked, there, whole - spent) is None


def test_where_there_is_no_output_the_input_and_the_searches_must_be_paid_for() -> None:
    """10 tokens in, and 3 searches at 5 nano-USD."""
    rates = Rates(input=1_000_000, request=5)
    searching = Deployment("d", "g", "cohere", "m", "", rates=rates, ceiling_rates=rates)

    def asked(held: int) -> router_pb2.Open:
        hold = common_pb2.Hold(held_nano_usd=held, choices=1, epoch="e")
        return router_pb2.Open(hold=hold, input_tokens_bound=10, requests_bound=3)

    assert is_affordable(asked(25), searching, 0)
    assert output_limit(asked(25), searching, 0) == 0
    assert not is_affordable(asked(25), searching, 1)
    with pytest.raises(GatewayError) as caught:
        output_limit(asked(25), searching, 1)
    assert caught.value.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED
