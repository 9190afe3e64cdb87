"""What a deployment charges where one set of rates does not say it: by length, by service tier, with a markup. Pure.

A price "above N tokens" holds for the whole call once its input is longer than N, cached tokens among it: so OpenAI,
Anthropic, Google and xAI bill, and so LiteLLM and genai-prices reckon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.v1.common_pb2 import ServiceTier, TokenUsage

from services.costs import STANDARD
from services.markups import DENOMINATOR, Markup
from services.money import MTOK, Rates, half_even


@dataclass(frozen=True, slots=True)
class Band:
    """The rates of calls whose input is longer than so many tokens; -1: of any."""

    above_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Tariff:
    """Bands by service tier, the longest first, the last of them from -1 on; STANDARD is there. A tier that is not
    there is priced as STANDARD."""

    bands: Mapping[ServiceTier, tuple[Band, ...]]
    markup: Markup = field(default_factory=Markup)

    def band_of(self, usage: TokenUsage) -> Band:
        """The band that a call of this usage is in."""
        bands = self.bands.get(usage.service_tier) or self.bands[STANDARD]
        return next(band for band in bands if usage.input_tokens > band.above_tokens)

    def rates_of(self, usage: TokenUsage) -> Rates:
        """The rates of a call of this usage, before the markup."""
        return self.band_of(usage).rates

    def cost(self, usage: TokenUsage) -> int:
        """Nano-USD of one call, rounded once, half-even."""
        rates, markup = self.rates_of(usage), self.markup
        weighed = rates.weigh_input(usage) + rates.weigh_output(usage) + rates.fixed(usage) * MTOK
        return half_even(weighed * markup.numerator, MTOK * DENOMINATOR) + markup.fee_nano_usd
