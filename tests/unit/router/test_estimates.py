"""The parts of a cost, and whose prices a name means."""

from __future__ import annotations

import pytest
from gateway.v1 import common_pb2, router_pb2
from hypothesis import given
from hypothesis import strategies as st

from router.catalog import Catalog, Deployment
from router.estimates import MAX_TOKENS, Estimates, cost_of
from router.providers.tariff import Band, Tariff
from services.config import Alias
from services.costs import STANDARD
from services.errors import GatewayError
from services.markups import Markup
from services.money import Rates

FIRST = Deployment("d1", "g", "openai", "m1", "", rates=Rates.of(input=10**9, output=0))
SECOND = Deployment("d2", "g", "groq", "m2", "", rates=Rates.of(input=2 * 10**9, output=0))
OTHER = Deployment("d3", "h", "groq", "m3", "", rates=Rates.of(input=3 * 10**9, output=0))
CATALOG = Catalog({"g": (FIRST, SECOND), "h": (OTHER,)}, aliases={"a": Alias(("gone", "h"))})


def asked(model: str, **usage: int) -> router_pb2.EstimateCostRequest:
    return router_pb2.EstimateCostRequest(model=model, usage=common_pb2.TokenUsage(**usage))


@pytest.mark.parametrize(
    ("model", "cost"),
    [("g", 1000), ("h", 3000), ("a", 3000), ("m1", 1000), ("m2", 2000), ("groq/m2", 2000), ("groq/m3", 3000)],
)
async def test_a_name_means_a_group_an_alias_or_a_providers_model(model: str, cost: int) -> None:
    answer = await Estimates(lambda: CATALOG).estimate(asked(model, input_tokens=1000))
    assert answer.cost_nano_usd == cost * 1000


@pytest.mark.parametrize("model", ["", "gone", "openai/m2", "m"])
async def test_any_other_name_is_refused(model: str) -> None:
    with pytest.raises(GatewayError, match="neither a model group nor a model of one"):
        await Estimates(lambda: CATALOG).estimate(asked(model))


@pytest.mark.parametrize("tokens", [-1, MAX_TOKENS + 1, (1 << 63) - 1])
async def test_what_is_no_count_is_refused(tokens: int) -> None:
    with pytest.raises(GatewayError, match="output_tokens must be between"):
        await Estimates(lambda: CATALOG).estimate(asked("g", output_tokens=tokens))


@given(
    st.builds(Rates, *(st.integers(0, 10**11) for _ in range(12))),
    st.builds(
        Markup, discount=st.integers(0, 10**9), margin=st.integers(0, 8 * 10**9), fee_nano_usd=st.integers(0, 10**9)
    ),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
def test_the_parts_come_to_the_whole(rates: Rates, markup: Markup, read: int, said: int) -> None:
    usage = common_pb2.TokenUsage(input_tokens=2 * read, cache_read_tokens=read, output_tokens=said)
    deployment = Deployment("d", "g", "openai", "m", "", rates=Tariff({STANDARD: (Band(-1, rates),)}, markup))
    cost = cost_of(deployment, usage)
    parts = cost.input_nano_usd + cost.output_nano_usd - cost.discount_nano_usd + cost.margin_nano_usd
    # Each part is rounded by itself.
    assert abs(parts - cost.cost_nano_usd) <= 2
    assert cost.cost_nano_usd == deployment.rates.cost(usage)
    assert cost.cache_read_nano_usd <= cost.input_nano_usd
