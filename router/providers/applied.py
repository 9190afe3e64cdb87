"""The rates that a usage was priced by, as entries keep them. Pure."""

from __future__ import annotations

import functools

from gateway.v1.common_pb2 import TokenUsage
from gateway.v1.ledger_pb2 import AppliedRates

from router.providers.tariff import Tariff
from services.markups import Markup
from services.money import Rates


def applied(rates: Rates | Tariff, usage: TokenUsage) -> AppliedRates:
    """What a deployment of these rates charged for a usage. Many share the message: it must not be changed."""
    if isinstance(rates, Tariff):
        band = rates.band_of(usage)
        return _message(band.rates, max(0, band.above_tokens), rates.markup)
    return _plain(rates)


# Made once a price; there are as many as deployments have, and bands.
@functools.lru_cache(maxsize=4096)
def _plain(rates: Rates) -> AppliedRates:
    return AppliedRates(**rates.stated())


@functools.lru_cache(maxsize=4096)
def _message(rates: Rates, above_tokens: int, markup: Markup) -> AppliedRates:
    return AppliedRates(
        **rates.stated(),
        above_tokens=above_tokens,
        discount=markup.discount,
        margin=markup.margin,
        fee_nano_usd=markup.fee_nano_usd,
    )
