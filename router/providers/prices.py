"""What deployments charge: the configuration's word, else the bundled price table's (genai-prices), as integer rates.

Compiled once, when the catalog is built; no call looks a price up. `rates` settle calls; `ceiling_rates`, which size
holds, are the dearest of all lengths, of all service tiers and of every price that may come to hold later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import TYPE_CHECKING

from gateway.v1.common_pb2 import ServiceTier

from router.providers.tariff import Band, Tariff
from services.config import Costs
from services.costs import CALL_COSTS, STANDARD, PriceOf, price_of
from services.markups import DENOMINATOR, Markup
from services.money import PART_OF, Rates

if TYPE_CHECKING:
    from router.providers.price_table import PriceTable

# A rate is whole nano-USD per million tokens, which is 1e-15 USD a token; a call's price is whole nano-USD.
_TOKEN_PLACES = 15
_CALL_PLACES = 9
# Room for the whole dollars before them; what does not fit is refused, never rounded.
_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True, slots=True)
class ListPrice:
    """A price that is published. rates: of everything that it prices. dearest: of each kind of these, the most that it
    costs at any tier, now or later. max_input_tokens: the context window; 0 when unknown."""

    rates: Mapping[PriceOf, int]
    dearest: Mapping[str, int] = field(default_factory=dict)
    max_input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What one deployment charges."""

    rates: Rates | Tariff
    ceiling_rates: Rates


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
        return "input_cost_per_token" in costs or any(name in costs for name in CALL_COSTS)
    return "input_cost_per_token" in costs and "output_cost_per_token" in costs


def price_from(
    costs: Costs, listed: ListPrice | None, markup: Markup | None = None, *, generates: bool = True
) -> Price | None:
    """The configured costs over the list price; None when either input or output has neither.

    generates: False for models that only read: their output costs nothing, and their input nothing where a call has a
    configured price of its own.

    A class of tokens that nobody prices costs what it is part of, as in LiteLLM. So does one that is listed beside a
    configured price of what it is part of, for it belongs to another price. What is not priced at a service tier, or
    above a length, costs there what it costs at the usual tier, or below. ValueError when a cost is finer than a rate
    can hold, or the call has two.
    """
    own = _steps(_own(costs if generates else _reading(costs, listed)))
    theirs = _steps(listed.rates if listed else {})
    dearest = _steps({PriceOf(kind): rate for kind, rate in listed.dearest.items()} if listed else {})
    if any(_at(own, each) is None and _at(theirs, each) is None for each in (PriceOf("input"), PriceOf("output"))):
        return None
    bands = {tier: _bands(own, theirs, tier) for tier in {STANDARD, *(tier for _, tier in (*own, *theirs))}}
    usual = bands[STANDARD]
    ceiling = _dearest(
        rates
        for tier, several in bands.items()
        for band in several
        for rates in (band.rates, _rates(own, dearest, tier, max(0, band.above_tokens)))
    )
    markup = markup or Markup()
    tariff = Tariff({tier: several for tier, several in bands.items() if tier == STANDARD or several != usual}, markup)
    plain = len(tariff.bands) == len(usual) == 1 and markup == Markup()
    return Price(usual[0].rates if plain else tariff, _marked_up(ceiling, markup))


def _reading(costs: Costs, listed: ListPrice | None) -> Costs:
    """The costs of a model that only reads, complete."""
    free: dict[str, Decimal] = {}
    if listed is None:
        free["output_cost_per_token"] = Decimal(0)
    if any(name in costs for name in CALL_COSTS):
        free["input_cost_per_token"] = Decimal(0)
    return {**free, **costs}


def _own(costs: Costs) -> dict[PriceOf, int]:
    """Configured costs as rates."""
    if all(name in costs for name in CALL_COSTS):
        raise ValueError(f"{' and '.join(CALL_COSTS)} are one price; state one of them")
    return {key: rate_from_cost(name, cost) for name, cost in costs.items() if (key := price_of(name))}


def rate_from_cost(name: str, usd: Decimal) -> int:
    """USD per token as nano-USD per million tokens, or USD per call as nano-USD, exactly. ValueError, naming the cost,
    when that is not whole."""
    places, unit = (_CALL_PLACES, "a call") if name in CALL_COSTS else (_TOKEN_PLACES, "a token")
    try:
        return int(usd.quantize(Decimal(1).scaleb(-places), context=_EXACT).scaleb(places, context=_EXACT))
    except ArithmeticError as error:
        raise ValueError(f"{name}: {usd} USD {unit} has more than {places} decimal places") from error


# Rates by the length above which they hold, of each kind at each tier, the shortest first.
_Steps = Mapping[tuple[str, ServiceTier], Sequence[tuple[int, int]]]


def _steps(prices: Mapping[PriceOf, int]) -> _Steps:
    steps: dict[tuple[str, ServiceTier], list[tuple[int, int]]] = {}
    for key in sorted(prices):
        steps.setdefault((key.kind, key.tier), []).append((key.above_tokens, prices[key]))
    return steps


def _bands(own: _Steps, theirs: _Steps, tier: ServiceTier) -> tuple[Band, ...]:
    """The bands of a tier, the longest first; those that change nothing are left out."""
    starts = {0}
    for prices in (own, theirs):
        starts |= {start for (_, at), steps in prices.items() if at in (STANDARD, tier) for start, _ in steps}
    bands: list[Band] = []
    for start in sorted(starts):
        rates = _rates(own, theirs, tier, start)
        if not bands or bands[0].rates != rates:
            bands.insert(0, Band(start or -1, rates))
    return tuple(bands)


def _rates(own: _Steps, theirs: _Steps, tier: ServiceTier, above_tokens: int) -> Rates:
    """What holds at one tier above one length: our own word for a class and its parts, else theirs."""
    ours = {kind: _at(own, PriceOf(kind, tier, above_tokens)) for kind in PART_OF}
    stated: dict[str, int] = {}
    for kind, others in PART_OF.items():
        rate = ours[kind]
        if rate is None and all(ours[other] is None for other in others):
            rate = _at(theirs, PriceOf(kind, tier, above_tokens))
        if rate is not None:
            stated[kind] = rate
    return Rates.of(**stated)


def _at(prices: _Steps, wanted: PriceOf) -> int | None:
    """The price that holds there: of the longest step that is reached, at the tier itself or else at the usual one."""
    for tier in (wanted.tier, STANDARD):
        reached = [rate for start, rate in prices.get((wanted.kind, tier), ()) if start <= wanted.above_tokens]
        if reached:
            return reached[-1]
    return None


def _dearest(several: Iterable[Rates]) -> Rates:
    """Of each kind the dearest."""
    every = list(several)
    return Rates(**{kind: max(getattr(rates, kind) for rates in every) for kind in PART_OF})


def _marked_up(rates: Rates, markup: Markup) -> Rates:
    """Rates with a discount and a margin in them, rounded up; the fee is part of what every call costs."""
    marked = {kind: -(-getattr(rates, kind) * markup.numerator // DENOMINATOR) for kind in PART_OF}
    marked["request"] += markup.fee_nano_usd
    return Rates(**marked)
