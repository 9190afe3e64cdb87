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


def used(deployment_id: str, provider: str, provider_model: str, input_tokens: int) -> router_pb2.UsageOfDeployment:
    usage = common_pb2.TokenUsage(input_tokens=input_tokens)
    return router_pb2.UsageOfDeployment(
        deployment_id=deployment_id, provider=provider, provider_model=provider_model, usage=usage
    )


async def test_usages_are_priced_by_their_deployment_else_by_their_model() -> None:
    unpriced = Deployment("d0", "g", "groq", "m2", "", unpriced=True)
    catalog = Catalog({"u": (unpriced,), **CATALOG.groups}, aliases={})
    request = router_pb2.PriceUsagesRequest(
        usages=[
            used("d1", "openai", "m1", 1000),
            # Of no price itself, and gone: as d2, which has the model.
            used("d0", "groq", "m2", 1000),
            used("gone", "groq", "m2", 1000),
            # An id counts before a model.
            used("d3", "groq", "m2", 1000),
            used("gone", "groq", "gone", 1000),
            used("gone", "openai", "m2", 1000),
            # Nobody can say this in an int64.
            used("d3", "groq", "m3", (1 << 63) - 1),
        ]
    )
    answer = await Estimates(lambda: catalog).price(request)
    known = [(price.known, price.cost_nano_usd) for price in answer.prices]
    assert known == [(True, 10**6), (True, 2 * 10**6), (True, 2 * 10**6), (True, 3 * 10**6), *[(False, 0)] * 3]


async def test_too_many_usages_are_refused() -> None:
    with pytest.raises(GatewayError, match="At most 1000 usages"):
        await Estimates(lambda: CATALOG).price(
            router_pb2.PriceUsagesRequest(usages=[router_pb2.UsageOfDeployment()] * 1001)
        )
