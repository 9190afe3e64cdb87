"""What calls would cost: /cost/estimate and /spend/calculate onto the router's prices. Nobody is called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from gateway.v1 import common_pb2, router_pb2

from edge.admin.allowed import AllowedModels
from edge.admin.endpoint import AdminRequest, AdminRoute, convert
from edge.admin.neighbours import ask_a_router
from edge.exchange import Routers
from services.errors import GatewayError, Reason
from services.methods import ESTIMATE_COST
from services.money import MTOK, NANO_USD, usd_from_nano

TIMEOUT_SECONDS = 10.0
# OpenAI's and Anthropic's rule of thumb for English.
BYTES_PER_TOKEN = 4
# What OpenAI's chat format adds to each message, to a name, and to begin the answer.
MESSAGE_TOKENS = 3
NAME_TOKENS = 1
ANSWER_TOKENS = 3

# The router's limit: no model counts further.
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]

_TIERS = {
    "flex": common_pb2.SERVICE_TIER_FLEX,
    "priority": common_pb2.SERVICE_TIER_PRIORITY,
    "fast": common_pb2.SERVICE_TIER_FAST,
    "batch": common_pb2.SERVICE_TIER_BATCH,
}


class EstimateCost(msgspec.Struct):
    """The body of /cost/estimate. input_tokens: all of them, cached ones too; output_tokens: reasoning too."""

    model: str
    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cache_read_input_tokens: _Count = 0
    cache_creation_input_tokens: _Count = 0
    reasoning_tokens: _Count = 0
    num_requests_per_day: _Count | None = None
    num_requests_per_month: _Count | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_creation_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    image_tokens: _Count | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    image_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cache_creation_input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None


class _Completion(msgspec.Struct):
    model: str = ""
    usage: _Usage | None = None
    service_tier: str | None = None


class CalculateSpend(msgspec.Struct):
    """The body of /spend/calculate: a model and its messages, or a whole answer, of which `model` may say what group
    it came from."""

    model: str = ""
    messages: list[dict[str, object]] | None = None
    completion_response: _Completion | None = None


class CostAdmin:
    """The handlers."""

    def __init__(self, allowed: AllowedModels, routers: Routers) -> None:
        self._allowed = allowed
        self._routers = routers

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("POST", "/cost/estimate", self.estimate),
            AdminRoute("POST", "/spend/calculate", self.calculate),
        ]

    async def estimate(self, request: AdminRequest) -> object:
        """What one call of so many tokens costs, and so many calls a day or a month."""
        body: EstimateCost = convert(request.body, EstimateCost)
        usage = common_pb2.TokenUsage(
            input_tokens=body.input_tokens,
            output_tokens=body.output_tokens,
            cache_read_tokens=body.cache_read_input_tokens,
            cache_write_tokens=body.cache_creation_input_tokens,
            reasoning_tokens=body.reasoning_tokens,
        )
        return _estimate(body, await self._ask(request, body.model, usage))

    async def calculate(self, request: AdminRequest) -> object:
        """What messages cost that are sent, or an answer that has come."""
        body: CalculateSpend = convert(request.body, CalculateSpend)
        if body.completion_response is not None:
            given = body.completion_response
            answer = await self._ask(request, body.model or given.model, _usage_of(given))
        elif body.messages is not None:
            usage = common_pb2.TokenUsage(input_tokens=estimated_tokens(body.messages))
            answer = await self._ask(request, body.model, usage)
        else:
            raise GatewayError(
                Reason.ERROR_REASON_INVALID_REQUEST,
                "Give a model and its messages, or a completion_response.",
                param="messages",
            )
        return {"cost": usd_from_nano(answer.cost_nano_usd)}

    async def _ask(
        self, request: AdminRequest, model: str, usage: common_pb2.TokenUsage
    ) -> router_pb2.EstimateCostResponse:
        key = request.caller.key
        if key is not None and not (await self._allowed.of(key)).allows(model):
            raise GatewayError(
                Reason.ERROR_REASON_MODEL_NOT_ALLOWED, f"The key may not call the model {model!r}.", param="model"
            )
        asked = router_pb2.EstimateCostRequest(model=model, usage=usage)
        return await ask_a_router(self._routers, ESTIMATE_COST, asked, timeout_seconds=TIMEOUT_SECONDS)


def estimated_tokens(messages: Sequence[dict[str, object]]) -> int:
    """About how many tokens the texts of messages are."""
    tokens = ANSWER_TOKENS
    for message in messages:
        tokens += MESSAGE_TOKENS + (NAME_TOKENS if "name" in message else 0)
        tokens += sum(-(-len(text.encode()) // BYTES_PER_TOKEN) for text in _texts(message))
    return tokens


def _texts(message: dict[str, object]) -> Iterator[str]:
    for name in ("role", "name", "content"):
        value = message.get(name)
        if isinstance(value, str):
            yield value
        for part in value if isinstance(value, list) else ():
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]


def _usage_of(given: _Completion) -> common_pb2.TokenUsage:
    usage = given.usage or _Usage()
    inputs = usage.prompt_tokens_details or _PromptDetails()
    outputs = usage.completion_tokens_details or _CompletionDetails()
    return common_pb2.TokenUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=inputs.cached_tokens or usage.cache_read_input_tokens or 0,
        cache_write_tokens=inputs.cache_creation_tokens or usage.cache_creation_input_tokens or 0,
        reasoning_tokens=outputs.reasoning_tokens or 0,
        input_audio_tokens=inputs.audio_tokens or 0,
        input_image_tokens=inputs.image_tokens or 0,
        output_audio_tokens=outputs.audio_tokens or 0,
        output_image_tokens=outputs.image_tokens or 0,
        service_tier=_TIERS.get(given.service_tier or "", common_pb2.SERVICE_TIER_UNSPECIFIED),
    )


def _estimate(body: EstimateCost, answer: router_pb2.EstimateCostResponse) -> dict[str, object]:
    """LiteLLM's answer."""
    parts = {
        "input": answer.input_nano_usd,
        "output": answer.output_nano_usd,
        "margin": answer.margin_nano_usd,
        "cache_read": answer.cache_read_nano_usd,
        "cache_creation": answer.cache_write_nano_usd,
        "reasoning": answer.reasoning_nano_usd,
    }
    told: dict[str, object] = {name: getattr(body, name) for name in EstimateCost.__struct_fields__}
    told["cost_per_request"] = usd_from_nano(answer.cost_nano_usd)
    told |= {f"{name}_cost_per_request": usd_from_nano(nano) for name, nano in parts.items()}
    for period, calls in (("daily", body.num_requests_per_day), ("monthly", body.num_requests_per_month)):
        told[f"{period}_cost"] = None if calls is None else usd_from_nano(calls * answer.cost_nano_usd)
        for name, nano in parts.items():
            told[f"{period}_{name}_cost"] = None if calls is None else usd_from_nano(calls * nano)
    return told | {
        "input_cost_per_token": _usd_a_token(answer.input_rate),
        "output_cost_per_token": _usd_a_token(answer.output_rate),
        "cache_read_input_token_cost": _usd_a_token(answer.cache_read_rate),
        "cache_creation_input_token_cost": _usd_a_token(answer.cache_write_rate),
        "output_cost_per_reasoning_token": _usd_a_token(answer.reasoning_rate),
        "provider": answer.provider,
    }


def _usd_a_token(rate: int) -> float:
    return rate / (NANO_USD * MTOK)
