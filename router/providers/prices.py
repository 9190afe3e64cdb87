"""What deployments charge: the configuration's word, else the bundled price table's (genai-prices), as integer rates.

Compiled once, when the catalog is built; no call looks a price up. Until prices are tiered (they will be), `rates`,
which settle calls, are those below the first threshold; `ceiling_rates`, which size holds, are the dearest of all tiers
and of every price that may come to hold later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import TYPE_CHECKING, TypeVar

from services.config import Costs
from services.money import NANO_USD, Rates

if TYPE_CHECKING:
    from router.providers.price_table import PriceTable

# A rate is whole nano-USD per million tokens, which is 1e-15 USD a token.
_SMALLEST_COST = Decimal("1e-15")
# Room for the whole dollars before them; what does not fit is refused, never rounded.
_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation])


_Otherwise = TypeVar("_Otherwise", int, int | None)


@dataclass(frozen=True, slots=True)
class Price:
    """What one model charges. max_input_tokens: its context window; 0 when unknown."""

    rates: Rates
    ceiling_rates: Rates
    max_input_tokens: int = 0


def load_price_table(at: datetime) -> PriceTable:
    """The bundled table of list prices, as they hold at `at`, which needs a time zone.

    Takes 0.3 to 1 s and 25 MB, most of it for pydantic: to be called in a thread, and only for a configuration with a
    deployment whose price it does not state.
    """
    # Imported here, not above, for that reason.
    from genai_prices.data_snapshot import get_snapshot

    from router.providers.price_table import PriceTable

    return PriceTable(get_snapshot(), at)


def states_price(costs: Costs, *, generates: bool = True) -> bool:
    """Whether a configuration needs no price table. generates: False for models that only read."""
    if not generates:
        return costs.input_cost_per_token is not None or costs.input_cost_per_query is not None
    return costs.input_cost_per_token is not None and costs.output_cost_per_token is not None


def price_from(costs: Costs, listed: Price | None, *, generates: bool = True) -> Price | None:
    """The configured costs over the list price; None when either input or output has neither.

    generates: False for models that only read: their output costs nothing, and their input nothing where a call has a
    price of its own.

    A cache price that nobody states is the input's, as in LiteLLM; so is a listed one beside a configured input price,
    for it belongs to another price. ValueError when a cost is finer than a rate can hold.
    """
    if not generates:
        costs = _reading(costs, listed)
    rates = _override(costs, listed.rates if listed else None)
    ceiling = _override(costs, listed.ceiling_rates if listed else None)
    return None if rates is None or ceiling is None else Price(rates, ceiling, listed.max_input_tokens if listed else 0)


def rate_from_cost(name: str, usd_per_token: Decimal) -> int:
    """USD per token as nano-USD per million tokens, exactly. ValueError, naming the cost, when that is not whole."""
    try:
        return int(usd_per_token.quantize(_SMALLEST_COST, context=_EXACT).scaleb(15, context=_EXACT))
    except ArithmeticError as error:
        raise ValueError(f"{name}: {usd_per_token} USD a token has more than 15 decimal places") from error


def _override(costs: Costs, listed: Rates | None) -> Rates | None:
    own_input, own_output = costs.input_cost_per_token, costs.output_cost_per_token
    input_rate = _rate("input_cost_per_token", own_input, listed.input if listed else None)
    output_rate = _rate("output_cost_per_token", own_output, listed.output if listed else None)
    if input_rate is None or output_rate is None:
        return None
    cache = Rates(cache_read=input_rate, cache_write=input_rate) if listed is None or own_input is not None else listed
    return Rates(
        input=input_rate,
        output=output_rate,
        cache_read=_rate("cache_read_input_token_cost", costs.cache_read_input_token_cost, cache.cache_read),
        cache_write=_rate("cache_creation_input_token_cost", costs.cache_creation_input_token_cost, cache.cache_write),
        request=_request(costs, listed),
    )


def _reading(costs: Costs, listed: Price | None) -> Costs:
    """The costs of a model that only reads, complete."""
    free = Decimal(0)
    if costs.output_cost_per_token is None and listed is None:
        costs = replace(costs, output_cost_per_token=free)
    if costs.input_cost_per_token is None and costs.input_cost_per_query is not None:
        costs = replace(costs, input_cost_per_token=free)
    return costs


def _request(costs: Costs, listed: Rates | None) -> int:
    """The fixed price of a call in nano-USD. ValueError when it is finer."""
    if costs.input_cost_per_query is None:
        return listed.request if listed else 0
    nano_usd = costs.input_cost_per_query * NANO_USD
    if nano_usd != nano_usd.to_integral_value():
        raise ValueError(f"input_cost_per_query: {costs.input_cost_per_query} USD has more than 9 decimal places")
    return int(nano_usd)


def _rate(name: str, cost: Decimal | None, otherwise: _Otherwise) -> int | _Otherwise:
    return otherwise if cost is None else rate_from_cost(name, cost)
