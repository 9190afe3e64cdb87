"""The rates that a usage was priced by, as entries keep them."""

from __future__ import annotations

from gateway.v1 import common_pb2
from hypothesis import given
from hypothesis import strategies as st

from router.providers.applied import applied
from router.providers.tariff import Band, Tariff
from services.costs import STANDARD
from services.markups import Markup
from services.money import PART_OF, Rates

RATES = st.builds(Rates, **{kind: st.sampled_from((0, 1, 2, 3)) for kind in PART_OF})


@given(RATES)
def test_a_rate_comes_back_as_it_was(rates: Rates) -> None:
    kept = applied(rates, common_pb2.TokenUsage())
    stated = {field.name: value for field, value in kept.ListFields()}
    assert Rates.of(**stated) == rates


def test_of_a_tariff_the_band_counts_and_the_markup_is_told() -> None:
    short, long, flex = Rates.of(input=1, output=2), Rates.of(input=3, output=4), Rates.of(input=0, output=1)
    markup = Markup(discount=5, margin=6, fee_nano_usd=7)
    tariff = Tariff(
        {STANDARD: (Band(1000, long), Band(-1, short)), common_pb2.SERVICE_TIER_FLEX: (Band(-1, flex),)}, markup
    )
    kept = applied(tariff, common_pb2.TokenUsage(input_tokens=1001))
    assert (kept.input, kept.output, kept.above_tokens) == (3, 4, 1000)
    assert (kept.discount, kept.margin, kept.fee_nano_usd) == (5, 6, 7)
    kept = applied(tariff, common_pb2.TokenUsage(input_tokens=1000))
    assert (kept.input, kept.output, kept.above_tokens) == (1, 2, 0)
    kept = applied(tariff, common_pb2.TokenUsage(input_tokens=1, service_tier=common_pb2.SERVICE_TIER_FLEX))
    assert (kept.HasField("input"), kept.output) == (False, 1)
