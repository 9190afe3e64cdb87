"""What a hold lets an attempt cost: the output limit for one deployment, whatever earlier attempts have spent. Pure.

The hold was sized by the prices of the group that was asked for. A fallback may be dearer, and an attempt that failed
may be billed all the same; so every attempt is bounded anew, by its own deployment's prices and by what is left.
"""

from __future__ import annotations

from gateway.v1 import router_pb2

from router.catalog import Deployment
from services.errors import GatewayError, Reason
from services.money import MTOK

# What an answer must have room for to be worth its input (architecture, section 5: the smallest useful hold).
LEAST_OUTPUT_TOKENS = 16

_BUDGET_EXCEEDED = Reason.ERROR_REASON_BUDGET_EXCEEDED


def is_affordable(request: router_pb2.Open, deployment: Deployment, spent_nano_usd: int) -> bool:
    """Whether what is left of the hold pays for a useful answer of this deployment. Without a hold everything is."""
    hold = request.hold
    if not hold.epoch:
        return True
    wanted = min(hold.output_tokens_limit or hold.output_tokens_bound, LEAST_OUTPUT_TOKENS)
    least_nano_usd = deployment.ceiling_rates.ceiling(
        input_tokens=request.input_tokens_bound, output_tokens=wanted * max(1, hold.choices)
    )
    return least_nano_usd <= hold.held_nano_usd - spent_nano_usd


def output_limit(request: router_pb2.Open, deployment: Deployment, spent_nano_usd: int) -> int:
    """The limit on each choice that the hold pays for here; 0: nothing need be imposed.

    Raises GatewayError (BUDGET_EXCEEDED) when what is left does not pay for a useful answer of this deployment.
    """
    hold = request.hold
    if not hold.epoch:
        return hold.output_tokens_limit  # no money is held; a health check has a limit all the same
    left_nano_usd = hold.held_nano_usd - spent_nano_usd
    choices = max(1, hold.choices)
    wanted = hold.output_tokens_limit or hold.output_tokens_bound
    rates = deployment.ceiling_rates
    if rates.ceiling(input_tokens=request.input_tokens_bound, output_tokens=wanted * choices) <= left_nano_usd:
        return hold.output_tokens_limit
    before_output = rates.ceiling(input_tokens=request.input_tokens_bound, output_tokens=0)
    affordable = (left_nano_usd - before_output) * MTOK // (choices * rates.output) if rates.output else 0
    if affordable < min(wanted, LEAST_OUTPUT_TOKENS):
        raise GatewayError(_BUDGET_EXCEEDED, "Budget has been exceeded! What is held does not pay for this call.")
    return min(affordable, wanted)
