"""List prices, from the table that genai-prices bundles. Imported only by `prices.load_price_table`, which says why.

Until prices are followed by date, hour and service tier, a price is the one that holds when the table is loaded, for
text tokens at the standard tier.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

from router.providers.prices import Price
from services.money import NANO_USD, Rates


class PriceTable:
    """List prices by provider and model, as they hold at one moment (with a time zone)."""

    def __init__(self, snapshot: DataSnapshot, at: datetime) -> None:
        self._snapshot = snapshot
        self._at = at

    def find(self, provider: str, model: str) -> Price | None:
        """The price of a provider's model, by the table's own name of the provider; None when it is not known."""
        try:
            _, found = self._snapshot.find_provider_model(model, None, provider, None)
        except LookupError:
            return None
        rates = _base_rates(found.get_prices(self._at))
        if rates is None:
            return None
        ceiling_rates = _dearest_rates(_from_now_on(found, self._at))
        return Price(rates, ceiling_rates, found.context_window or 0)

    def provider_of(self, model: str) -> str | None:
        """Which provider a model is of, by its name alone, in the table's words; None when it is like no other."""
        try:
            return self._snapshot.find_provider(model.lower(), None, None).id
        except LookupError:
            return None


def _base_rates(prices: ModelPrice) -> Rates | None:
    """What is charged below the first threshold; None when neither input nor a call is priced."""

    def rate(key: str) -> int | None:
        price = getattr(prices, key)
        return _rounded(price.base if isinstance(price, TieredPrices) else price, ROUND_HALF_EVEN)

    plain, requests = rate("input_mtok"), rate("requests_kcount")
    if plain is None:
        if not requests:
            return None
        plain = 0  # a search is priced, however much is read
    cache_read, cache_write = rate("cache_read_mtok"), rate("cache_write_mtok")
    return Rates(
        input=plain,
        # Models that only read, embeddings for one, have no price for output.
        output=rate("output_mtok") or 0,
        cache_read=plain if cache_read is None else cache_read,
        cache_write=plain if cache_write is None else cache_write,
        request=(requests or 0) // 1000,
    )


def _dearest_rates(several: Sequence[ModelPrice]) -> Rates:
    """For each kind of token the dearest rate of any tier of any of the prices."""

    def rate(*keys: str) -> int:
        prices = [getattr(each, key) for each in several for key in keys]
        tiers = [
            [price.base, *(tier.price for tier in price.tiers)] if isinstance(price, TieredPrices) else [price]
            for price in prices
        ]
        return max((_rounded(price, ROUND_CEILING) or 0 for each in tiers for price in each), default=0)

    return Rates(
        input=rate("input_mtok"),
        output=rate("output_mtok"),
        cache_read=rate("cache_read_mtok", "input_mtok"),
        cache_write=rate("cache_write_mtok", "cache_write_1h_mtok", "input_mtok"),
        request=-(-rate("requests_kcount") // 1000),
    )


def _rounded(usd: Decimal | None, rounding: str) -> int | None:
    """Dollars to nano-USD. A few listed prices were reckoned in floats and have more digits than they mean."""
    return None if usd is None else int((usd * NANO_USD).to_integral_value(rounding=rounding))


def _from_now_on(model: ModelInfo, at: datetime) -> list[ModelPrice]:
    """The prices that hold at this moment or may hold later.

    Of several the last that holds wins; so nothing before one that holds from now on can win again.
    """
    if not isinstance(model.prices, list):
        return [model.prices]
    constraints = [price.constraint for price in model.prices]
    lasting = [
        index
        for index, constraint in enumerate(constraints)
        if constraint is None or (isinstance(constraint, StartDateConstraint) and constraint.active(at))
    ]
    return [price.prices for price in model.prices[max(lasting, default=0) :]]
