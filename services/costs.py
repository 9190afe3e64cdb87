"""What a deployment charges, by LiteLLM's names for prices, taken apart.

price_of("output_cost_per_token_above_200k_tokens_priority")
-> PriceOf("output", SERVICE_TIER_PRIORITY, 200_000)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from gateway.v1 import common_pb2

STANDARD = common_pb2.SERVICE_TIER_UNSPECIFIED

# Costs as they are written, in USD a token, or a call, by their names in the configuration.
Costs = Mapping[str, Decimal]


class PriceOf(NamedTuple):
    """What a price is the price of: a member of `services.money.Rates`, at a service tier, for calls whose input is
    longer than so many tokens."""

    kind: str
    tier: common_pb2.ServiceTier = STANDARD
    above_tokens: int = 0


# LiteLLM's names for prices of tokens.
TOKEN_COSTS: Mapping[str, str] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "input_cost_per_audio_token": "input_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_reasoning_token": "reasoning",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image",
}
# Of a call: of each search where the answer says how many it came to, else of the whole call.
CALL_COSTS = ("input_cost_per_request", "input_cost_per_query")

_TIERS: Mapping[str, common_pb2.ServiceTier] = {
    "flex": common_pb2.SERVICE_TIER_FLEX,
    "priority": common_pb2.SERVICE_TIER_PRIORITY,
    "fast": common_pb2.SERVICE_TIER_FAST,
    "batches": common_pb2.SERVICE_TIER_BATCH,
}
# No context is longer than a thousand million tokens.
_NAME = re.compile(
    rf"({'|'.join(TOKEN_COSTS)})(?:_above_([1-9][0-9]{{0,5}})k_tokens)?(?:_({'|'.join(_TIERS)}))?", re.ASCII
)


def price_of(name: str) -> PriceOf | None:
    """What a name means; None when it is no name of a price that is acted on."""
    if name in CALL_COSTS:
        return PriceOf("request")
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    base, thousands, tier = found.groups()
    return PriceOf(TOKEN_COSTS[base], _TIERS[tier] if tier else STANDARD, int(thousands) * 1000 if thousands else 0)
