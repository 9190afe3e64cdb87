"""List prices, from the table that genai-prices bundles. Imported only by `prices.load_price_table`, which says why.

Until prices are followed by date and hour, a price is the one that holds when the table is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from gateway.v1 import common_pb2
from gateway.v1.common_pb2 import ServiceTier
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

from router.providers.prices import ListPrice
from services.costs import STANDARD, PriceOf
from services.money import NANO_USD

# The table's names for prices of a million tokens.
_KEYS: Mapping[str, str] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "cache_read_audio": "cache_audio_read_mtok",
    "input_audio": "input_audio_mtok",
    "input_image": "input_image_mtok",
    "reasoning": "output_reasoning_mtok",
    "output_audio": "output_audio_mtok",
    "output_image": "output_image_mtok",
}
# And of a thousand calls.
_CALLS_KEY = "requests_kcount"
_CALLS = 1000

# What the table calls the service tiers.
_CONTEXTS: Mapping[ServiceTier, Mapping[str, str]] = {
    STANDARD: {},
    common_pb2.SERVICE_TIER_FLEX: {"service_tier": "flex"},
    common_pb2.SERVICE_TIER_PRIORITY: {"service_tier": "priority"},
    # OpenAI's word, and Anthropic's.
    common_pb2.SERVICE_TIER_FAST: {"service_tier": "fast", "speed": "fast"},
    common_pb2.SERVICE_TIER_BATCH: {"processing": "batch"},
}


class PriceTable:
    """List prices by provider and model, as they hold at one moment (with a time zone)."""

    def __init__(self, snapshot: DataSnapshot, at: datetime) -> None:
        self._snapshot = snapshot
        self._at = at

    def find(self, provider: str, model: str) -> ListPrice | None:
        """The price of a provider's model, by the table's own name of the provider; None when it is not known, or
        neither input nor a call is priced."""
        try:
            _, found = self._snapshot.find_provider_model(model, None, provider, None)
        except LookupError:
            return None
        usual = found.get_prices(self._at)
        rates = dict(_settling(usual, STANDARD))
        if PriceOf("input") not in rates:
            if not rates.get(PriceOf("request")):
                return None
            rates[PriceOf("input")] = 0  # a search is priced, however much is read
        # Models that only read, embeddings for one, have no price for output.
        rates.setdefault(PriceOf("output"), 0)
        for tier, context in _CONTEXTS.items():
            prices = found.get_prices(self._at, context)
            if prices != usual:
                rates.update(_settling(prices, tier))
        return ListPrice(rates, _dearest(_from_now_on(found, self._at)), found.context_window or 0)

    def provider_of(self, model: str) -> str | None:
        """Which provider a model is of, by its name alone, in the table's words; None when it is like no other."""
        try:
            return self._snapshot.find_provider(model.lower(), None, None).id
        except LookupError:
            return None


def _settling(prices: ModelPrice, tier: ServiceTier) -> Iterator[tuple[PriceOf, int]]:
    """Everything that is priced by the token or the call, to the nearest nano-dollar."""
    for kind, key in _KEYS.items():
        for start, usd in _steps(getattr(prices, key)):
            yield PriceOf(kind, tier, start), _rounded(usd, ROUND_HALF_EVEN)
    for _, usd in _steps(getattr(prices, _CALLS_KEY)):
        yield PriceOf("request", tier), _rounded(usd / _CALLS, ROUND_HALF_EVEN)


def _dearest(several: list[ModelPrice]) -> dict[str, int]:
    """For each kind of token the dearest rate of any step of any of the prices, rounded up."""
    dearest: dict[str, int] = {}
    for kind, key in (*_KEYS.items(), ("request", _CALLS_KEY)):
        unit = _CALLS if key == _CALLS_KEY else 1
        rates = [_rounded(usd / unit, ROUND_CEILING) for each in several for _, usd in _steps(getattr(each, key))]
        if rates:
            dearest[kind] = max(rates)
    return dearest


def _steps(price: Decimal | TieredPrices | None) -> list[tuple[int, Decimal]]:
    """Dollars by the length above which they hold."""
    if price is None:
        return []
    if isinstance(price, TieredPrices):
        return [(0, price.base), *((tier.start, tier.price) for tier in price.tiers)]
    return [(0, price)]


def _rounded(usd: Decimal, rounding: str) -> int:
    """Dollars to nano-USD. A few listed prices were reckoned in floats and have more digits than they mean."""
    return int((usd * NANO_USD).to_integral_value(rounding=rounding))


def _from_now_on(model: ModelInfo, at: datetime) -> list[ModelPrice]:
    """The prices that hold at this moment or may hold later, at any service tier.

    Of several the last that holds wins; so nothing before one that holds from now on can win again.
    """
    variants = [variant.prices for variant in model.price_variants or ()]
    if not isinstance(model.prices, list):
        return [model.prices, *variants]
    constraints = [price.constraint for price in model.prices]
    lasting = [
        index
        for index, constraint in enumerate(constraints)
        if constraint is None or (isinstance(constraint, StartDateConstraint) and constraint.active(at))
    ]
    return [*(price.prices for price in model.prices[max(lasting, default=0) :]), *variants]
