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


def not_paid_for() -> GatewayError:
    """What is held pays for no useful answer."""
    return GatewayError(
        Reason.ERROR_REASON_BUDGET_EXCEEDED, "Budget has been exceeded! What is held does not pay for this call."
    )


def is_affordable(request: router_pb2.Open, deployment: Deployment, spent_nano_usd: int) -> bool:
    """Whether what is left of the hold pays for a useful answer of this deployment. Without a hold everything is."""
    hold = request.hold
    if not hold.epoch:
        return True
    wanted = min(hold.output_tokens_limit or hold.output_tokens_bound, LEAST_OUTPUT_TOKENS)
    least_nano_usd = _ceiling(request, deployment, wanted * max(1, hold.choices))
    return least_nano_usd <= hold.held_nano_usd - spent_nano_usd


def output_limit(
    request: router_pb2.Open, deployment: Deployment, spent_nano_usd: int, held_nano_usd: int | None = None
) -> int:
    """The limit on each choice that the hold pays for here; 0: nothing need be imposed.

    held_nano_usd: what is held by now, where that is more than at admission. Raises GatewayError (BUDGET_EXCEEDED) when
    what is left does not pay for a useful answer of this deployment.
    """
    hold = request.hold
    if not hold.epoch:
        return hold.output_tokens_limit  # no money is held; a health check has a limit all the same
    left_nano_usd = (hold.held_nano_usd if held_nano_usd is None else held_nano_usd) - spent_nano_usd
    wanted = hold.output_tokens_limit or hold.output_tokens_bound
    affordable = paid_output_tokens(request, deployment, left_nano_usd)
    limit = hold.output_tokens_limit if affordable is None else affordable // max(1, hold.choices)
    # Without any output, too, something must be left: the input is not paid for otherwise.
    if affordable is not None and limit < max(1, min(wanted, LEAST_OUTPUT_TOKENS)):
        raise not_paid_for()
    # A provider may refuse a limit beyond its own.
    return min(limit, deployment.max_output_tokens or limit)


def paid_output_tokens(request: router_pb2.Open, deployment: Deployment, left_nano_usd: int) -> int | None:
    """How many output tokens, of all choices together, so much pays for here; None: as many as the call can have."""
    hold, rates = request.hold, deployment.ceiling_rates
    wanted = (hold.output_tokens_limit or hold.output_tokens_bound) * max(1, hold.choices)
    if _ceiling(request, deployment, wanted) <= left_nano_usd:
        return None
    # In nano-USD times MTOK, so that nothing is rounded but the tokens.
    input_part = request.input_tokens_bound * rates.dearest_input
    left = (left_nano_usd - rates.request * max(1, request.requests_bound)) * MTOK - input_part
    return min(wanted, max(0, left) // rates.dearest_output) if rates.dearest_output else 0


def next_slice(
    request: router_pb2.Open, deployment: Deployment, spent_nano_usd: int, paid_tokens: int
) -> tuple[int, int]:
    """What to hold in all once so many output tokens are no longer enough: for twice as many, and the least of use."""
    least = paid_tokens + LEAST_OUTPUT_TOKENS * max(1, request.hold.choices)
    return _bound(request, deployment, spent_nano_usd, 2 * paid_tokens), _bound(
        request, deployment, spent_nano_usd, least
    )


def whole_call(request: router_pb2.Open, deployment: Deployment, spent_nano_usd: int) -> tuple[int, int]:
    """What to hold in all for the longest answer that the call can have, and the least of use."""
    choices = max(1, request.hold.choices)
    return _bound(request, deployment, spent_nano_usd, request.hold.output_tokens_bound * choices), _bound(
        request, deployment, spent_nano_usd, LEAST_OUTPUT_TOKENS * choices
    )


def _bound(request: router_pb2.Open, deployment: Deployment, spent_nano_usd: int, output_tokens: int) -> int:
    """What a call with so many output tokens may come to, but with no more than it can have."""
    most = min(output_tokens, request.hold.output_tokens_bound * max(1, request.hold.choices))
    return spent_nano_usd + _ceiling(request, deployment, most)


def _ceiling(request: router_pb2.Open, deployment: Deployment, output_tokens: int) -> int:
    return deployment.ceiling_rates.ceiling(
        input_tokens=request.input_tokens_bound,
        output_tokens=output_tokens,
        requests=max(1, request.requests_bound),
    )
