"""Discounts and margins, as LiteLLM's users write them."""

from __future__ import annotations

import pytest

from services.config import ConfigError, parse
from services.markups import DENOMINATOR, Markup, markup_of


def markups(text: str) -> dict[str, Markup]:
    return dict(parse(f"litellm_settings: {{{text}}}", name="f.yaml", environ={}).litellm_settings.markups)


def test_a_discount_and_a_margin_are_parts_of_the_cost() -> None:
    found = markups("cost_discount_config: {openai: 0.05}, cost_margin_config: {openai: 0.10, groq: '0.2'}")
    assert found == {
        "openai": Markup(discount=50_000_000, margin=100_000_000),
        "groq": Markup(margin=200_000_000),
    }
    # LiteLLM's example: $1.00, a discount of 5 %, then a margin of 10 %, are $1.045.
    assert found["openai"].numerator * 1000 == 1045 * DENOMINATOR


def test_a_margin_may_be_an_amount_a_call_and_a_providers_own_replaces_the_global_one() -> None:
    found = markups(
        "cost_discount_config: {xai: 1}, cost_margin_config: {global: 0.05, openai: {fixed_amount: 0.001}, "
        "bedrock: {percentage: 0.08, fixed_amount: 0.0005}}"
    )
    assert markup_of(found, "openai") == Markup(fee_nano_usd=1_000_000)
    assert markup_of(found, "bedrock") == Markup(margin=80_000_000, fee_nano_usd=500_000)
    assert markup_of(found, "xai") == Markup(discount=1_000_000_000, margin=50_000_000)
    assert markup_of(found, "anybody") == Markup(margin=50_000_000)
    assert markup_of({}, "anybody") == Markup()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cost_discount_config: {openai: 5}", "expected a number between 0 and 1, found 5"),
        ("cost_margin_config: {openai: -0.1}", "expected a number between 0 and 8, found -0.1"),
        ("cost_margin_config: {openai: {percent: 1}}", "is unknown: a margin has a percentage and a fixed_amount"),
        ("cost_margin_config: {openai: 0.0000000001}", "has more than 9 decimal places"),
        ("cost_margin_config: {openai: [1]}", "expected a number, found a list"),
        ("cost_discount_config: 5", "expected a mapping, found 5"),
    ],
)
def test_what_cannot_be_meant_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        markups(text)
    assert str(caught.value).endswith(message)
    assert "f.yaml:1: litellm_settings.cost_" in str(caught.value)
