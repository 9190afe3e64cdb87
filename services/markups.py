"""What is taken off and put on the cost of a provider's calls: `cost_discount_config` and `cost_margin_config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from services.money import nano_from_usd
from services.section import Section
from services.yamltext import ConfigError

# So that the factor of both together is exact in integers, and small ones.
PLACES = 9
_UNIT: int = 10**PLACES
# Nine times the price: beyond that a percent sign has been forgotten. The dearest rate still fits an int64 then.
_MAX_MARGIN = 8
# In USD a call.
_MAX_FEE = 1_000
# The margin of providers that have none of their own.
GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class Markup:
    """The discount and the margin of one provider, in units of 1e-9 of the cost; `fee_nano_usd` is for each call."""

    discount: int = 0
    margin: int = 0
    fee_nano_usd: int = 0

    @property
    def numerator(self) -> int:
        """The cost times this, divided by `DENOMINATOR`, is the cost after discount and margin; without the fee."""
        return (_UNIT - self.discount) * (_UNIT + self.margin)


DENOMINATOR = _UNIT * _UNIT


def read_markups(section: Section) -> dict[str, Markup]:
    """Of `litellm_settings`, by provider; under GLOBAL that of all others."""
    discounts, margins = section.section("cost_discount_config"), section.section("cost_margin_config")
    markups: dict[str, Markup] = {}
    for name in dict.fromkeys((*margins.raw, *discounts.raw)):
        margin, fee = _margin(margins, name if margins.raw.get(name) is not None else GLOBAL)
        discount = _units(discounts, name, 1) if name != GLOBAL else 0
        markups[name] = Markup(discount, margin, fee)
    return markups


def markup_of(markups: Mapping[str, Markup], provider: str) -> Markup:
    """A provider's."""
    return markups.get(provider) or markups.get(GLOBAL) or Markup()


def _margin(margins: Section, name: str) -> tuple[int, int]:
    if not isinstance(margins.raw.get(name), dict):
        return _units(margins, name, _MAX_MARGIN), 0
    parts = margins.section(name)
    for part in parts.raw:
        if part not in ("percentage", "fixed_amount"):
            raise ConfigError(parts.place_of(part), "is unknown: a margin has a percentage and a fixed_amount")
    fee = parts.number("fixed_amount", lowest=0, highest=_MAX_FEE)
    return _units(parts, "percentage", _MAX_MARGIN), nano_from_usd(fee or 0)


def _units(section: Section, name: str, highest: int) -> int:
    part = section.number(name, lowest=0, highest=highest) or Decimal(0)
    units = part.scaleb(PLACES)
    if units != units.to_integral_value():
        raise ConfigError(section.place_of(name), f"has more than {PLACES} decimal places")
    return int(units)
