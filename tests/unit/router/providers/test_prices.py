"""Configured costs and list prices, as integer rates."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import (
    ClauseEquals,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import given
from hypothesis import strategies as st

from router.providers.price_table import PriceTable
from router.providers.prices import Price, load_price_table, price_from, rate_from_cost
from services.config import Costs
from services.money import Rates

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
# A list price to override: every rate differs.
LISTED = Price(Rates(1, 2, 3, 4, 5), Rates(10, 20, 30, 40, 50), 1000)


def dollars(**prices: str) -> ModelPrice:
    return ModelPrice(**{name: Decimal(price) for name, price in prices.items()})


def table_of(prices: ModelPrice | list[ConditionalPrice], at: datetime = NOW) -> PriceTable:
    model = ModelInfo(id="m", match=ClauseEquals("m"), context_window=7, prices=prices)
    provider = Provider(id="p", name="P", api_pattern="https://p", model_match=ClauseStartsWith("m"), models=[model])
    return PriceTable(DataSnapshot(providers=[provider], from_auto_update=False), at)


def found(prices: ModelPrice | list[ConditionalPrice], at: datetime = NOW) -> Price:
    price = table_of(prices, at).find("p", "m")
    assert price is not None
    return price


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

    def test_both_costs_need_no_list_price(self) -> None:
        price = price_from(Costs(Decimal("1e-6"), Decimal("2e-6")), None)
        rates = Rates(input=10**9, output=2 * 10**9, cache_read=10**9, cache_write=10**9)
        assert price == Price(rates, rates)

    def test_an_input_cost_brings_its_own_cache_prices(self) -> None:
        price = price_from(Costs(input_cost_per_token=Decimal(0)), LISTED)
        assert price == Price(Rates(0, 2, 0, 0, 5), Rates(0, 20, 0, 0, 50), 1000)

    def test_other_costs_leave_the_rest_of_the_list_price(self) -> None:
        costs = Costs(output_cost_per_token=Decimal(0), cache_read_input_token_cost=Decimal("9e-15"))
        assert price_from(costs, LISTED) == Price(Rates(1, 0, 9, 4, 5), Rates(10, 0, 9, 40, 50), 1000)

    def test_no_costs_are_the_list_price(self) -> None:
        assert price_from(Costs(), LISTED) == LISTED

    @pytest.mark.parametrize(
        "costs",
        [
            Costs(),
            Costs(input_cost_per_token=Decimal(0)),
            Costs(output_cost_per_token=Decimal(0)),
            Costs(cache_read_input_token_cost=Decimal(0)),
        ],
    )
    def test_half_a_price_is_none(self, costs: Costs) -> None:
        assert price_from(costs, None) is None


class TestListed:
    """Our reading of the table's forms of price."""

    def test_a_plain_price(self) -> None:
        prices = dollars(input_mtok="2.5", output_mtok="10", cache_read_mtok="1.25", requests_kcount="12")
        price = found(prices)
        assert price.rates == Rates(2_500_000_000, 10_000_000_000, 1_250_000_000, 2_500_000_000, 12_000_000)
        assert price.ceiling_rates == Rates(2_500_000_000, 10_000_000_000, 2_500_000_000, 2_500_000_000, 12_000_000)
        assert price.max_input_tokens == 7

    def test_tiers_settle_at_the_base_and_hold_at_the_dearest(self) -> None:
        tiered = TieredPrices(Decimal(1), [Tier(200_000, Decimal(2)), Tier(500_000, Decimal("1.5"))])
        price = found(ModelPrice(input_mtok=tiered, output_mtok=Decimal(3), cache_write_1h_mtok=Decimal(4)))
        assert price.rates == Rates(10**9, 3 * 10**9, 10**9, 10**9)
        assert price.ceiling_rates == Rates(2 * 10**9, 3 * 10**9, 2 * 10**9, 4 * 10**9)

    def test_digits_beyond_a_nano_dollar_settle_to_the_nearest_and_hold_upwards(self) -> None:
        price = found(dollars(input_mtok="0.18000000000000002", output_mtok="0.13999999999999999"))
        assert (price.rates.input, price.rates.output) == (180_000_000, 140_000_000)
        assert (price.ceiling_rates.input, price.ceiling_rates.output) == (180_000_001, 140_000_000)

    def test_dated_prices_settle_at_todays_and_hold_at_the_dearest_from_now_on(self) -> None:
        def since(year: int, usd: str) -> ConditionalPrice:
            return ConditionalPrice(StartDateConstraint(date(year, 1, 1)), prices=dollars(input_mtok=usd))

        past = ConditionalPrice(prices=dollars(input_mtok="9"))
        prices = [past, since(2025, "8"), since(2026, "1"), since(2027, "2")]
        assert (found(prices).rates.input, found(prices).ceiling_rates.input) == (10**9, 2 * 10**9)

    def test_an_undated_price_ends_those_before_it(self) -> None:
        prices = [ConditionalPrice(prices=dollars(input_mtok=usd)) for usd in ("9", "1")]
        assert (found(prices).rates.input, found(prices).ceiling_rates.input) == (10**9, 10**9)

    def test_prices_by_the_hour_hold_at_the_dearest(self) -> None:
        night = TimeOfDateConstraint(time(0, tzinfo=UTC), time(6, tzinfo=UTC))
        prices = [
            ConditionalPrice(prices=dollars(input_mtok="2")),
            ConditionalPrice(night, prices=dollars(input_mtok="1")),
        ]
        at_night = found(prices, NOW.replace(hour=3))
        assert (at_night.rates.input, at_night.ceiling_rates.input) == (10**9, 2 * 10**9)
        assert found(prices).rates.input == 2 * 10**9

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
    price = bundled.find("openai", "gpt-4o-mini-2024-07-18")
    assert price is not None
    assert price.rates == Rates(150_000_000, 600_000_000, 75_000_000, 150_000_000)
    assert bundled.provider_of("gpt-4o") == "openai"
    assert bundled.provider_of("my-own-model") is None


def test_every_bundled_price_can_be_read_and_none_is_above_its_ceiling(bundled: PriceTable) -> None:
    read = 0
    for provider in providers:
        for model in provider.models:
            price = bundled.find(provider.id, model.id)
            if price is None:
                continue
            read += 1
            for kind in ("input", "output", "cache_read", "cache_write", "request"):
                rate, ceiling = getattr(price.rates, kind), getattr(price.ceiling_rates, kind)
                assert 0 <= rate <= ceiling, (provider.id, model.id, kind)
    assert read > 2000


def test_the_table_is_not_loaded_before_it_is_asked_for() -> None:
    """It costs up to a second of a start that may take three."""
    code = "import sys, router.catalog; sys.exit('genai_prices' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestWhatReads:
    """Models that only read: embeddings and rerank."""

    def test_output_needs_no_price(self) -> None:
        costs = Costs(input_cost_per_token=Decimal("1e-6"))
        assert price_from(costs, None) is None
        price = price_from(costs, None, generates=False)
        assert price is not None
        assert price.rates == Rates(10**9, 0, 10**9, 10**9)

    def test_a_search_has_a_price_of_its_own(self) -> None:
        price = price_from(Costs(input_cost_per_query=Decimal("0.002")), None, generates=False)
        assert price is not None
        assert price.rates == price.ceiling_rates == Rates(request=2_000_000)
        with pytest.raises(ValueError, match="input_cost_per_query"):
            price_from(Costs(input_cost_per_query=Decimal("1e-10")), None, generates=False)

    def test_without_any_price_it_is_unknown(self) -> None:
        assert price_from(Costs(), None, generates=False) is None

    def test_a_configured_search_wins_over_the_listed_one(self) -> None:
        price = price_from(Costs(input_cost_per_query=Decimal(1)), LISTED, generates=False)
        assert price is not None
        assert (price.rates.request, price.rates.input) == (10**9, 0)

    def test_a_table_that_prices_calls_only_is_understood(self) -> None:
        assert found(dollars(requests_kcount="2")).rates == Rates(request=2_000_000)
