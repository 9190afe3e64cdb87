"""Tokens by class are those that the price is made of."""

from __future__ import annotations

from gateway.v1.common_pb2 import TokenUsage
from hypothesis import given
from hypothesis import strategies as st

from services.money import PART_OF, Rates
from services.token_classes import token_classes

COUNTS = [field.name for field in TokenUsage.DESCRIPTOR.fields if field.name.endswith("_tokens")]
USAGES = st.builds(TokenUsage, **{name: st.integers(0, 1000) for name in COUNTS})
RATES = st.builds(Rates, **{kind: st.integers(0, 10**12) for kind in PART_OF})


@given(USAGES, RATES)
def test_priced_class_by_class_it_comes_to_the_same(usage: TokenUsage, rates: Rates) -> None:
    weighed = sum(tokens * getattr(rates, name) for name, tokens in token_classes(usage).items())
    assert weighed == rates.weigh_input(usage) + rates.weigh_output(usage)


@given(USAGES)
def test_no_token_is_of_two_classes(usage: TokenUsage) -> None:
    classes = token_classes(usage)
    assert all(tokens > 0 for tokens in classes.values())
    output = sum(classes.get(name, 0) for name in ("output", "output_audio", "output_image", "reasoning"))
    assert output == usage.output_tokens
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    assert sum(classes.values()) - output == max(cached, usage.input_tokens)
