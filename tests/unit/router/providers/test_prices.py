"""Configured costs and list prices, as integer rates."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from gateway.v1 import common_pb2
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import (
    ClauseEquals,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from router.providers.price_table import PriceTable
from router.providers.prices import ListPrice, Price, load_price_table, price_from, rate_from_cost, states_price
from router.providers.tariff import Tariff
from services.costs import CALL_COSTS, STANDARD, TOKEN_COSTS, Costs, PriceOf
from services.markups import Markup
from services.money import PART_OF, Rates

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FLEX, PRIORITY, FAST = common_pb2.SERVICE_TIER_FLEX, common_pb2.SERVICE_TIER_PRIORITY, common_pb2.SERVICE_TIER_FAST
BATCH = common_pb2.SERVICE_TIER_BATCH
# A list price to override: every rate differs.
LISTED = ListPrice(
    {PriceOf(kind): at for at, kind in enumerate(("input", "output", "cache_read", "cache_write", "request"), start=1)},
    {kind: 10 * at for at, kind in enumerate(("input", "output", "cache_read", "cache_write", "request"), start=1)},
    1000,
)


def costs_of(**costs: str | int) -> Costs:
    return {name: Decimal(cost) for name, cost in costs.items()}


def priced(costs: Costs, listed: ListPrice | None = None) -> Price:
    price = price_from(costs, listed)
    assert price is not None
    return price


def plain(costs: Costs, listed: ListPrice | None = None) -> tuple[Rates, Rates]:
    """The rates and the ceiling of what has but one set of rates."""
    price = priced(costs, listed)
    assert isinstance(price.rates, Rates)
    return price.rates, price.ceiling_rates


def rates_at(price: Price, input_tokens: int, tier: common_pb2.ServiceTier = STANDARD) -> Rates:
    assert isinstance(price.rates, Tariff)
    return price.rates.rates_of(common_pb2.TokenUsage(input_tokens=input_tokens, service_tier=tier))


def dollars(**prices: str) -> ModelPrice:
    return ModelPrice(**{name: Decimal(price) for name, price in prices.items()})


def table_of(prices: ModelPrice | list[ConditionalPrice], at: datetime = NOW) -> PriceTable:
    model = ModelInfo(id="m", match=ClauseEquals("m"), context_window=7, prices=prices)
    provider = Provider(id="p", name="P", api_pattern="https://p", model_match=ClauseStartsWith("m"), models=[model])
    return PriceTable(DataSnapshot(providers=[provider], from_auto_update=False), at)


def listed_of(prices: ModelPrice | list[ConditionalPrice], at: datetime = NOW) -> ListPrice:
    price = table_of(prices, at).find("p", "m")
    assert price is not None
    return price


def found(prices: ModelPrice | list[ConditionalPrice], at: datetime = NOW) -> tuple[Rates, Rates]:
    return plain({}, listed_of(prices, at))


class TestConfigured:
    """USD a token to nano-USD a million tokens."""

    def test_a_cost_becomes_a_rate(self) -> None:
        assert rate_from_cost("c", Decimal("2.5e-6")) == 2_500_000_000, "$2.50 a million tokens"
        assert rate_from_cost("c", Decimal("1e-15")) == 1
        assert rate_from_cost("c", Decimal("0.1000000000000000000000")) == 10**14

    @given(st.integers(min_value=0, max_value=10**18))
    def test_no_cost_is_rounded(self, rate: int) -> None:
        assert rate_from_cost("c", Decimal(rate).scaleb(-15)) == rate

    @pytest.mark.parametrize("cost", ["1e-16", "0.1234567890123456", "1e-999999999"])
    def test_what_a_rate_cannot_hold_is_refused(self, cost: str) -> None:
        with pytest.raises(ValueError, match=r"^input_cost_per_token: .* has more than 15 decimal places$"):
            rate_from_cost("input_cost_per_token", Decimal(cost))

    def test_a_calls_cost_is_whole_nano_dollars(self) -> None:
        assert rate_from_cost("input_cost_per_request", Decimal("0.014")) == 14_000_000
        with pytest.raises(
            ValueError, match=r"^input_cost_per_request: 1E-10 USD a call has more than 9 decimal places$"
        ):
            rate_from_cost("input_cost_per_request", Decimal("1e-10"))

    def test_both_costs_need_no_list_price(self) -> None:
        costs = costs_of(input_cost_per_token="1e-6", output_cost_per_token="2e-6")
        assert states_price(costs)
        rates = Rates.of(input=10**9, output=2 * 10**9)
        assert plain(costs) == (rates, rates)

    def test_an_input_cost_brings_its_own_cache_prices(self) -> None:
        rates, ceiling = plain(costs_of(input_cost_per_token=0), LISTED)
        assert (rates, ceiling) == (Rates.of(input=0, output=2, request=5), Rates.of(input=0, output=20, request=50))

    def test_other_costs_leave_the_rest_of_the_list_price(self) -> None:
        costs = costs_of(output_cost_per_token=0, cache_read_input_token_cost="9e-15")
        rates = Rates.of(input=1, output=0, cache_read=9, cache_write=4, request=5)
        ceiling = Rates.of(input=10, output=0, cache_read=9, cache_write=40, request=50)
        assert plain(costs, LISTED) == (rates, ceiling)

    def test_no_costs_are_the_list_price(self) -> None:
        rates = Rates.of(input=1, output=2, cache_read=3, cache_write=4, request=5)
        ceiling = Rates.of(input=10, output=20, cache_read=30, cache_write=40, request=50)
        assert plain({}, LISTED) == (rates, ceiling)

    @pytest.mark.parametrize(
        "costs",
        [
            costs_of(),
            costs_of(input_cost_per_token=0),
            costs_of(output_cost_per_token=0),
            costs_of(cache_read_input_token_cost=0),
            costs_of(input_cost_per_token_flex=0, output_cost_per_token_flex=0),
            costs_of(input_cost_per_token_above_1k_tokens=0, output_cost_per_token_above_1k_tokens=0),
        ],
    )
    def test_half_a_price_is_none(self, costs: Costs) -> None:
        assert price_from(costs, None) is None

    def test_costs_above_a_length_and_at_a_tier_hold_there(self) -> None:
        price = priced(
            costs_of(
                input_cost_per_token="3e-15",
                output_cost_per_token="15e-15",
                cache_read_input_token_cost="1e-15",
                input_cost_per_token_above_200k_tokens="6e-15",
                output_cost_per_token_above_200k_tokens="22e-15",
                input_cost_per_token_flex="2e-15",
                input_cost_per_token_above_200k_tokens_flex="4e-15",
                output_cost_per_token_priority="99e-15",
            )
        )
        assert rates_at(price, 200_000) == Rates.of(input=3, output=15, cache_read=1)
        assert rates_at(price, 200_001) == Rates.of(input=6, output=22, cache_read=1)
        assert rates_at(price, 1, FLEX) == Rates.of(input=2, output=15, cache_read=1)
        assert rates_at(price, 200_001, FLEX) == Rates.of(input=4, output=22, cache_read=1)
        assert rates_at(price, 200_001, PRIORITY) == Rates.of(input=6, output=99, cache_read=1)
        assert rates_at(price, 1, BATCH) == Rates.of(input=3, output=15, cache_read=1)
        assert price.ceiling_rates == Rates.of(input=6, output=99, cache_read=1)

    def test_an_input_cost_ends_the_listed_steps_and_tiers_of_the_input(self) -> None:
        listed = ListPrice(
            {
                PriceOf("input"): 5,
                PriceOf("input", STANDARD, 1000): 6,
                PriceOf("input", FLEX): 3,
                PriceOf("input_audio"): 9,
                PriceOf("output"): 7,
                PriceOf("output", FLEX): 4,
            }
        )
        price = priced(costs_of(input_cost_per_token="1e-15"), listed)
        assert rates_at(price, 2000) == Rates.of(input=1, output=7)
        assert rates_at(price, 2000, FLEX) == Rates.of(input=1, output=4)


KINDS = st.sampled_from(tuple(PART_OF))
TIERS = st.sampled_from(common_pb2.ServiceTier.values())
STARTS = st.sampled_from((0, 1000, 2000, 5000))
COUNTS = st.integers(0, 6000)
rates = st.integers(0, 10**12)
list_prices = st.builds(
    lambda prices, later: ListPrice(
        {**prices, PriceOf("input"): prices.get(PriceOf("input"), 1), PriceOf("output"): 1},
        {
            kind: max(0, later, *(rate for key, rate in prices.items() if key.kind == kind), 1)
            for kind in {"input", "output", *(key.kind for key in prices)}
        },
    ),
    st.dictionaries(st.builds(PriceOf, KINDS, TIERS, STARTS), rates, max_size=12),
    rates,
)
names = st.builds(
    lambda base, above, tier: f"{base}{above}{tier}",
    st.sampled_from(tuple(TOKEN_COSTS)),
    st.sampled_from(("", "", "_above_1k_tokens", "_above_5k_tokens")),
    st.sampled_from(("", "", "_flex", "_priority", "_fast", "_batches")),
)
# Of a call, whole nano-dollars.
call_costs = st.sampled_from(CALL_COSTS).flatmap(
    lambda name: st.fixed_dictionaries(
        {}, optional={name: st.integers(0, 10**9).map(lambda nano: Decimal(nano).scaleb(-9))}
    )
)
usages = st.builds(
    lambda parts, tier: common_pb2.TokenUsage(
        input_tokens=sum(parts[:5]),
        output_tokens=sum(parts[5:9]),
        cache_read_tokens=parts[0],
        cache_write_tokens=parts[1],
        input_audio_tokens=parts[2],
        input_image_tokens=parts[3],
        cache_write_1h_tokens=parts[1] // 2,
        cache_read_audio_tokens=parts[0] // 2,
        reasoning_tokens=parts[5],
        output_audio_tokens=parts[6],
        output_image_tokens=parts[7],
        service_tier=tier,
    ),
    st.lists(COUNTS, min_size=9, max_size=9),
    TIERS,
)


@given(
    st.dictionaries(names, rates.map(lambda rate: Decimal(rate).scaleb(-15)), max_size=8),
    st.none() | list_prices,
    st.builds(Markup, st.integers(0, 10**9), st.integers(0, 8 * 10**9), st.integers(0, 10**9)),
    usages,
    COUNTS,
    COUNTS,
    call_costs,
    st.integers(0, 100),
    st.booleans(),
)
def test_no_usage_at_any_tier_costs_more_than_the_ceiling_of_its_bounds(
    costs: Costs,
    listed: ListPrice | None,
    markup: Markup,
    usage: common_pb2.TokenUsage,
    more: int,
    longer: int,
    call: Costs,
    searches: int,
    generates: bool,
) -> None:
    usage.requests = searches
    price = price_from({**costs, **call}, listed, markup, generates=generates)
    assume(price is not None)
    assert price is not None
    ceiling = price.ceiling_rates.ceiling(
        input_tokens=usage.input_tokens + more,
        output_tokens=usage.output_tokens + longer,
        requests=max(1, searches),
    )
    assert 0 <= price.rates.cost(usage) <= ceiling


class TestListed:
    """Our reading of the table's forms of price."""

    def test_a_plain_price(self) -> None:
        prices = dollars(input_mtok="2.5", output_mtok="10", cache_read_mtok="1.25", requests_kcount="12")
        rates = Rates.of(input=2_500_000_000, output=10_000_000_000, cache_read=1_250_000_000, request=12_000_000)
        assert found(prices) == (rates, rates)
        assert listed_of(prices).max_input_tokens == 7

    def test_every_class_of_token_is_read(self) -> None:
        prices = dollars(
            input_mtok="1",
            output_mtok="2",
            cache_read_mtok="3",
            cache_write_mtok="4",
            cache_write_1h_mtok="5",
            cache_audio_read_mtok="6",
            input_audio_mtok="7",
            input_image_mtok="8",
            output_reasoning_mtok="9",
            output_audio_mtok="10",
            output_image_mtok="11",
        )
        rates, _ = found(prices)
        assert rates == Rates(*(each * 10**9 for each in (1, 2, 3, 4, 0, 5, 6, 7, 8, 9, 10, 11)))

    def test_a_long_call_settles_at_its_step_and_holds_at_the_dearest(self) -> None:
        tiered = TieredPrices(Decimal(1), [Tier(200_000, Decimal(2)), Tier(500_000, Decimal("1.5"))])
        price = priced({}, listed_of(ModelPrice(input_mtok=tiered, output_mtok=Decimal(3))))
        assert rates_at(price, 200_000) == Rates.of(input=10**9, output=3 * 10**9)
        assert rates_at(price, 200_001) == Rates.of(input=2 * 10**9, output=3 * 10**9)
        assert rates_at(price, 500_001) == Rates.of(input=1_500_000_000, output=3 * 10**9)
        assert price.ceiling_rates == Rates.of(input=2 * 10**9, output=3 * 10**9)

    def test_service_tiers_are_priced_from_their_day_on_and_held_for_before_it(self) -> None:
        day = StartDateConstraint(NOW.date())
        model = ModelInfo(
            id="m",
            match=ClauseEquals("m"),
            prices=dollars(input_mtok="2", output_mtok="4", cache_read_mtok="1"),
            price_variants=[
                PriceVariant({"service_tier": "flex"}, dollars(input_mtok="1"), day),
                PriceVariant({"service_tier": "priority"}, dollars(input_mtok="5", output_mtok="9"), day),
                PriceVariant({"speed": "fast"}, dollars(output_mtok="8"), day),
                PriceVariant({"processing": "batch"}, dollars(output_mtok="3"), day),
            ],
        )
        provider = Provider(
            id="p", name="P", api_pattern="https://p", model_match=ClauseStartsWith("m"), models=[model]
        )
        snapshot = DataSnapshot(providers=[provider], from_auto_update=False)
        listed = PriceTable(snapshot, NOW).find("p", "m")
        assert listed is not None
        price = priced({}, listed)
        usd = 10**9
        assert rates_at(price, 1) == Rates.of(input=2 * usd, output=4 * usd, cache_read=usd)
        assert rates_at(price, 1, FLEX) == Rates.of(input=usd, output=4 * usd, cache_read=usd)
        assert rates_at(price, 1, PRIORITY) == Rates.of(input=5 * usd, output=9 * usd, cache_read=usd)
        assert rates_at(price, 1, FAST) == Rates.of(input=2 * usd, output=8 * usd, cache_read=usd)
        assert rates_at(price, 1, BATCH) == Rates.of(input=2 * usd, output=3 * usd, cache_read=usd)
        before = PriceTable(snapshot, NOW - timedelta(days=1)).find("p", "m")
        rates, ceiling = plain({}, before)
        assert rates == Rates.of(input=2 * usd, output=4 * usd, cache_read=usd)
        assert (ceiling.dearest_input, ceiling.dearest_output) == (5 * usd, 9 * usd)

    def test_digits_beyond_a_nano_dollar_settle_to_the_nearest_and_hold_upwards(self) -> None:
        rates, ceiling = found(dollars(input_mtok="0.18000000000000002", output_mtok="0.13999999999999999"))
        assert (rates.input, rates.output) == (180_000_000, 140_000_000)
        assert (ceiling.input, ceiling.output) == (180_000_001, 140_000_000)

    def test_dated_prices_settle_at_todays_and_hold_at_the_dearest_from_now_on(self) -> None:
        def since(year: int, usd: str) -> ConditionalPrice:
            return ConditionalPrice(StartDateConstraint(date(year, 1, 1)), prices=dollars(input_mtok=usd))

        past = ConditionalPrice(prices=dollars(input_mtok="9"))
        rates, ceiling = found([past, since(2025, "8"), since(2026, "1"), since(2027, "2")])
        assert (rates.input, ceiling.input) == (10**9, 2 * 10**9)

    def test_an_undated_price_ends_those_before_it(self) -> None:
        rates, ceiling = found([ConditionalPrice(prices=dollars(input_mtok=usd)) for usd in ("9", "1")])
        assert (rates.input, ceiling.input) == (10**9, 10**9)

    def test_prices_by_the_hour_hold_at_the_dearest(self) -> None:
        night = TimeOfDateConstraint(time(0, tzinfo=UTC), time(6, tzinfo=UTC))
        prices = [
            ConditionalPrice(prices=dollars(input_mtok="2")),
            ConditionalPrice(night, prices=dollars(input_mtok="1")),
        ]
        rates, ceiling = found(prices, NOW.replace(hour=3))
        assert (rates.input, ceiling.input) == (10**9, 2 * 10**9)
        assert found(prices)[0].input == 2 * 10**9

    def test_what_is_not_priced_by_the_token_has_no_price(self) -> None:
        assert table_of(dollars(audio_hours="1")).find("p", "m") is None

    def test_unknown_models_and_providers_have_no_price(self) -> None:
        table = table_of(dollars(input_mtok="1"))
        assert table.find("p", "other") is None
        assert table.find("other", "m") is None

    def test_a_model_tells_its_provider(self) -> None:
        table = table_of(dollars(input_mtok="1"))
        assert (table.provider_of("M-new"), table.provider_of("x")) == ("p", None)


@pytest.fixture(scope="module")
def bundled() -> PriceTable:
    """The table that genai-prices brings."""
    return load_price_table(NOW)


def test_the_bundled_table_knows_openais_models(bundled: PriceTable) -> None:
    rates, _ = plain({}, bundled.find("openai", "gpt-4o-mini-2024-07-18"))
    assert rates == Rates.of(input=150_000_000, output=600_000_000, cache_read=75_000_000)
    assert bundled.provider_of("gpt-4o") == "openai"
    assert bundled.provider_of("my-own-model") is None


def test_every_bundled_price_can_be_read_and_none_is_above_its_ceiling(bundled: PriceTable) -> None:
    read = 0
    for provider in providers:
        for model in provider.models:
            listed = bundled.find(provider.id, model.id)
            if listed is None:
                continue
            read += 1
            price = priced({}, listed)
            several = [price.rates] if isinstance(price.rates, Rates) else _all_rates(price.rates)
            for each in several:
                assert 0 <= each.dearest_input <= price.ceiling_rates.dearest_input, (provider.id, model.id)
                assert 0 <= each.dearest_output <= price.ceiling_rates.dearest_output, (provider.id, model.id)
                assert 0 <= each.request <= price.ceiling_rates.request, (provider.id, model.id)
    assert read > 2000


def _all_rates(tariff: Tariff) -> list[Rates]:
    return [band.rates for bands in tariff.bands.values() for band in bands]


def test_the_table_is_not_loaded_before_it_is_asked_for() -> None:
    """It costs up to a second of a start that may take three."""
    code = "import sys, router.catalog; sys.exit('genai_prices' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestWhatReads:
    """Models that only read: embeddings and rerank."""

    def test_output_needs_no_price(self) -> None:
        costs = {"input_cost_per_token": Decimal("1e-6")}
        assert price_from(costs, None) is None
        price = price_from(costs, None, generates=False)
        assert price is not None
        assert price.rates == Rates.of(input=10**9, output=0)

    def test_a_search_has_a_price_of_its_own(self) -> None:
        price = price_from({"input_cost_per_query": Decimal("0.002")}, None, generates=False)
        assert price is not None
        assert price.rates == price.ceiling_rates == Rates(request=2_000_000)
        with pytest.raises(ValueError, match="input_cost_per_query"):
            price_from({"input_cost_per_query": Decimal("1e-10")}, None, generates=False)

    def test_without_any_price_it_is_unknown(self) -> None:
        assert price_from({}, None, generates=False) is None

    def test_a_configured_search_wins_over_the_listed_one(self) -> None:
        price = price_from({"input_cost_per_query": Decimal(1)}, LISTED, generates=False)
        assert price is not None
        assert price.rates == Rates.of(input=0, output=LISTED.rates[PriceOf("output")], request=10**9)

    def test_a_table_that_prices_calls_only_is_understood(self) -> None:
        assert found(dollars(requests_kcount="2")) == (Rates(request=2_000_000), Rates(request=2_000_000))

    def test_a_call_has_one_price(self) -> None:
        both = {"input_cost_per_query": Decimal(1), "input_cost_per_request": Decimal(1)}
        with pytest.raises(ValueError, match="one price"):
            price_from(both, None, generates=False)
