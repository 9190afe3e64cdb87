"""What one call came to, and why: /v1/receipts/{call_id} onto the ledger. A virtual key sees its own calls only."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from gateway.v1 import common_pb2, ledger_pb2

from edge.admin.directory import MASTER_KEY
from edge.admin.endpoint import AdminRequest, AdminRoute
from edge.admin.questions import KEY
from edge.admin.times import iso
from edge.http import MAX_CALL_ID_BYTES
from services.entry_words import operation_word, reason_word, status_word, tier_word
from services.errors import GatewayError, Reason
from services.ids import millis_of, to_text
from services.methods import LIST_ENTRIES
from services.money import PART_OF, Rates, usd_text
from services.token_classes import token_classes
from services.transport import Channel

TIMEOUT_SECONDS = 10.0
# A call has one, or a few when routers were lost; a caller may give many calls the same id.
MAX_DISPATCHES = 100

_SKIPS: Mapping[int, str] = {
    number: name.removeprefix("SKIP_REASON_").lower() for name, number in ledger_pb2.SkipReason.items() if number
}
# As the configuration writes them.
_STRATEGIES: Mapping[int, str] = {
    number: name.removeprefix("ROUTING_STRATEGY_").lower().replace("_", "-")
    for name, number in ledger_pb2.RoutingStrategy.items()
    if number
}
# Decimal places of nano-USD per million tokens, as USD a token.
_TOKEN_PLACES = 15
# Of parts of a cost.
_PART_PLACES = 9


class Receipts:
    """The handler."""

    def __init__(self, ledger: Channel) -> None:
        self._ledger = ledger

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("GET", "/v1/receipts/{call_id}", self.receipt),
            AdminRoute("GET", "/receipts/{call_id}", self.receipt),
        ]

    async def receipt(self, request: AdminRequest) -> object:
        """The dispatches of a call, the first one first. NOT_FOUND also when they are another key's."""
        call_id = request.path["call_id"]
        wanted = ledger_pb2.ListEntriesRequest(request_id=call_id, page_size=MAX_DISPATCHES)
        if not request.reach.everything:
            wanted.filters.add(dimension=KEY, values=[request.reach.key_id])
        entries: list[ledger_pb2.Entry] = []
        if len(call_id) <= MAX_CALL_ID_BYTES:
            entries += (await self._ledger.call(LIST_ENTRIES, wanted, timeout_seconds=TIMEOUT_SECONDS)).entries
        if not entries:
            raise GatewayError(
                Reason.ERROR_REASON_NOT_FOUND,
                "There is no receipt of this call. One is there about a second after the call has ended.",
                param="call_id",
            )
        cost_nano_usd = sum(entry.cost_nano_usd for entry in entries)
        return {
            "object": "receipt",
            "call_id": entries[0].call_id,
            "cost_usd": usd_text(cost_nano_usd),
            "cost_nano_usd": cost_nano_usd,
            "dispatches": [_dispatch(entry) for entry in reversed(entries)],
        }


def _dispatch(entry: ledger_pb2.Entry) -> dict[str, object]:
    started_ms, principal = millis_of(entry.dispatch_id), entry.principal
    by_attempt = {choice.attempt: choice for choice in entry.choices if choice.attempt}
    return {
        "dispatch_id": to_text(entry.dispatch_id),
        "status": status_word(entry.status),
        "error": reason_word(entry.error_reason),
        "operation": operation_word(entry.operation),
        "streamed": entry.streamed,
        "api_key": MASTER_KEY if principal.master else principal.key_id,
        "user": principal.user_id or None,
        "end_user": principal.end_user_id or None,
        "tags": list(principal.tags),
        "model_group": entry.model_group,
        "model_id": entry.deployment_id or None,
        "model": f"{entry.provider}/{entry.provider_model}" if entry.provider else None,
        "attempts": [
            _attempt(entry, attempt, by_attempt.get(number)) for number, attempt in enumerate(entry.attempts, 1)
        ],
        # Looks for a deployment that came to no attempt.
        "not_attempted": [
            {
                "model_id": choice.deployment_id or None,
                "error": reason_word(choice.error_reason),
                "why": _why(entry, choice),
            }
            for choice in entry.choices
            if not choice.attempt
        ],
        "tokens": token_classes(entry.usage),
        "hold": {
            "held_usd": usd_text(entry.held_nano_usd),
            "held_nano_usd": entry.held_nano_usd,
            "epoch": entry.epoch,
        }
        if entry.epoch
        else None,
        "settlement": _settlement(entry),
        # No answer comes from a cache yet.
        "cache": None,
        "timings": {
            "started_at": iso(started_ms),
            "ended_at": iso(started_ms + entry.duration_ms),
            "duration_ms": entry.duration_ms,
            "first_token_ms": entry.first_token_ms or None,
        },
    }


def _settlement(entry: ledger_pb2.Entry) -> dict[str, object]:
    overrun_nano_usd = max(0, entry.cost_nano_usd - entry.held_nano_usd) if entry.epoch else 0
    return {
        "cost_usd": usd_text(entry.cost_nano_usd),
        "cost_nano_usd": entry.cost_nano_usd,
        "overrun_nano_usd": overrun_nano_usd,
        "estimated": entry.estimated,
        "unpriced": entry.unpriced,
    }


def _attempt(
    entry: ledger_pb2.Entry, attempt: ledger_pb2.Attempt, choice: ledger_pb2.Choice | None
) -> dict[str, object]:
    # The only one that is billed leaves its usage and its cost to the entry.
    alone = attempt.billed and not attempt.HasField("usage")
    usage, cost_nano_usd = (entry.usage, entry.cost_nano_usd) if alone else (attempt.usage, attempt.cost_nano_usd)
    return {
        "model_id": attempt.deployment_id,
        "provider_status": attempt.provider_status or None,
        "error": reason_word(attempt.error_reason),
        "latency_ms": attempt.latency_ms,
        "why": _why(entry, choice) if choice is not None else None,
        "tokens": token_classes(usage) if attempt.billed else None,
        "prices": _prices(attempt.rates, usage) if attempt.HasField("rates") else None,
        "cost_usd": usd_text(cost_nano_usd) if attempt.billed else None,
        "cost_nano_usd": cost_nano_usd if attempt.billed else None,
    }


def _why(entry: ledger_pb2.Entry, choice: ledger_pb2.Choice) -> dict[str, object]:
    why: dict[str, object] = {
        "model_group": choice.model_group or entry.model_group,
        "strategy": _STRATEGIES.get(choice.strategy),
        "candidates": choice.candidates,
        "skipped": [
            {"model_id": skip.deployment_id, "reason": _SKIPS.get(skip.reason), "rests_ms": skip.rests_ms or None}
            for skip in choice.skipped
        ],
    }
    if choice.strategy == ledger_pb2.ROUTING_STRATEGY_LEAST_BUSY:
        why["calls_under_way"] = choice.under_way
    return why


def _prices(applied: ledger_pb2.AppliedRates, usage: common_pb2.TokenUsage) -> dict[str, object]:
    """What the tokens of a usage were priced at: classes that it has, and those of every call."""
    rates = Rates.of(**{field.name: value for field, value in applied.ListFields() if field.name in PART_OF})
    names = dict.fromkeys(("input", "output", *token_classes(usage)))
    return {
        "nano_usd_per_million_tokens": {name: getattr(rates, name) for name in names},
        "usd_per_token": {name: _exact(getattr(rates, name), _TOKEN_PLACES) for name in names},
        "usd_per_call": usd_text(rates.request),
        "calls": max(1, usage.requests),
        "above_tokens": applied.above_tokens,
        "service_tier": tier_word(usage.service_tier),
        "discount": _exact(applied.discount, _PART_PLACES),
        "margin": _exact(applied.margin, _PART_PLACES),
        "fee_usd": usd_text(applied.fee_nano_usd),
    }


def _exact(number: int, places: int) -> str:
    """A number of so many decimal places, without zeros at its end."""
    text = f"{Decimal(number).scaleb(-places):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
