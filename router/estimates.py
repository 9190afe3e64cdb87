"""What a usage costs by the prices of a model, without any call; and what calls cost of which nobody knew it then."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from gateway.v1 import router_pb2
from gateway.v1.common_pb2 import TokenUsage

from router.catalog import Catalog, Deployment
from router.providers.tariff import Tariff
from router.wire.chat import MAX_TOKENS
from services.errors import GatewayError, Reason
from services.markups import Markup
from services.money import MTOK, half_even

# A page of entries.
MAX_USAGES = 1_000


class Estimates:
    """Serves `Inference.EstimateCost` and `PriceUsages`. catalog: the one of the moment."""

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self._catalog = catalog

    async def estimate(self, request: router_pb2.EstimateCostRequest) -> router_pb2.EstimateCostResponse:
        """By the first deployment that the model's name means. INVALID_REQUEST when there is none, or it has no price,
        and when a count is none."""
        deployment = _deployment(self._catalog(), request.model)
        if deployment.unpriced:
            raise _invalid(f"Nobody knows what {request.model!r} costs: neither the configuration nor the price table.")
        for field, value in request.usage.ListFields():
            if not 0 <= value <= MAX_TOKENS:
                raise _invalid(f"{field.name} must be between 0 and {MAX_TOKENS}.")
        try:
            return cost_of(deployment, request.usage)
        except ValueError:
            # An int64 cannot say it.
            raise _invalid("So many tokens, at such a price, come to more than can be reckoned.") from None

    async def price(self, request: router_pb2.PriceUsagesRequest) -> router_pb2.PriceUsagesResponse:
        """Each by its deployment, or by any that has its model; unknown where neither is there or has a price."""
        if len(request.usages) > MAX_USAGES:
            raise GatewayError(
                Reason.ERROR_REASON_INVALID_REQUEST, f"At most {MAX_USAGES} usages at once.", param="usages"
            )
        priced = [each for group in self._catalog().groups.values() for each in group if not each.unpriced]
        by_id = {each.id: each for each in priced}
        by_model = {(each.provider, each.provider_model): each for each in reversed(priced)}
        answer = router_pb2.PriceUsagesResponse()
        for used in request.usages:
            deployment = by_id.get(used.deployment_id) or by_model.get((used.provider, used.provider_model))
            price = answer.prices.add()
            if deployment is not None:
                # An int64 that cannot say the cost raises ValueError: then it is as good as unknown.
                with suppress(ValueError):
                    price.cost_nano_usd = deployment.rates.cost(used.usage)
                    price.known = True
        return answer


def cost_of(deployment: Deployment, usage: TokenUsage) -> router_pb2.EstimateCostResponse:
    """What a usage costs here, in all and in parts."""
    charged = deployment.rates
    rates, markup = (charged.rates_of(usage), charged.markup) if isinstance(charged, Tariff) else (charged, Markup())
    plain, cost = rates.cost(usage), charged.cost(usage)
    discount = half_even(plain * markup.discount, 10**9)
    hour = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
    written = (usage.cache_write_tokens - hour) * rates.cache_write + hour * rates.cache_write_1h
    return router_pb2.EstimateCostResponse(
        provider=deployment.provider,
        cost_nano_usd=cost,
        # What every call costs counts with its input.
        input_nano_usd=half_even(rates.weigh_input(usage), MTOK) + rates.fixed(usage),
        output_nano_usd=half_even(rates.weigh_output(usage), MTOK),
        cache_read_nano_usd=half_even(usage.cache_read_tokens * rates.cache_read, MTOK),
        cache_write_nano_usd=half_even(written, MTOK),
        reasoning_nano_usd=half_even(usage.reasoning_tokens * rates.reasoning, MTOK),
        margin_nano_usd=max(0, cost - plain + discount),
        discount_nano_usd=discount,
        input_rate=rates.input,
        output_rate=rates.output,
        cache_read_rate=rates.cache_read,
        cache_write_rate=rates.cache_write,
        reasoning_rate=rates.reasoning,
    )


def _deployment(catalog: Catalog, model: str) -> Deployment:
    alias = catalog.aliases.get(model)
    for group in (model, *(alias.groups if alias else ())):
        if group in catalog.groups:
            return catalog.groups[group][0]
    for deployments in catalog.groups.values():
        for each in deployments:
            if model in (each.provider_model, f"{each.provider}/{each.provider_model}"):
                return each
    raise _invalid(f"The model {model!r} is neither a model group nor a model of one.")


def _invalid(message: str) -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param="model")
