"""Spend, call by call and in all: /spend/logs and /global/spend onto the ledger."""

from __future__ import annotations

from gateway.v1 import common_pb2, keystore_pb2, ledger_pb2

from edge.admin.endpoint import Access, AdminRequest, AdminRoute, limit_of
from edge.admin.times import date_range_ms, iso
from services.errors import Reason
from services.ids import millis_of, to_text
from services.methods import GET_GATEWAY_BUDGET, GET_KEY, LIST_ENTRIES, QUERY_SPEND
from services.money import usd_from_nano
from services.transport import Channel

TIMEOUT_SECONDS = 10.0
DEFAULT_ROWS = 100
MAX_ROWS = 1000

_STATUS = {
    ledger_pb2.ENTRY_STATUS_SUCCESS: "success",
    ledger_pb2.ENTRY_STATUS_FAILURE: "failure",
    ledger_pb2.ENTRY_STATUS_CANCELLED: "cancelled",
    ledger_pb2.ENTRY_STATUS_INTERRUPTED: "interrupted",
}
# LiteLLM's names of operations.
_CALL_TYPES = {
    common_pb2.OPERATION_CHAT_COMPLETIONS: "acompletion",
    common_pb2.OPERATION_EMBEDDINGS: "aembedding",
    common_pb2.OPERATION_RERANK: "arerank",
}


class SpendAdmin:
    """The handlers."""

    def __init__(self, ledger: Channel, keystore: Channel) -> None:
        self._ledger = ledger
        self._keystore = keystore

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("GET", "/spend/logs", Access.MASTER, self.logs),
            AdminRoute("GET", "/global/spend", Access.MASTER, self.total),
        ]

    async def logs(self, request: AdminRequest) -> object:
        """Entries, newest first, at most `limit` (100). Filters: request_id, api_key, user_id, start_date, end_date."""
        query = request.query
        start_ms, end_ms = date_range_ms(query.get("start_date"), query.get("end_date"))
        key_id = ""
        if query.get("api_key"):
            named = keystore_pb2.GetKeyRequest(name=query["api_key"])
            key_id = (await self._keystore.call(GET_KEY, named, timeout_seconds=TIMEOUT_SECONDS)).key.key_id
        answer = await self._ledger.call(
            LIST_ENTRIES,
            ledger_pb2.ListEntriesRequest(
                key_id=key_id,
                user_id=query.get("user_id", ""),
                request_id=query.get("request_id", ""),
                start_ms=start_ms,
                end_ms=end_ms,
                page_size=limit_of(query, DEFAULT_ROWS, MAX_ROWS),
            ),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        return [_row(entry) for entry in answer.entries]

    async def total(self, request: AdminRequest) -> object:
        """What the whole gateway has spent, ever or between two dates, and its budget."""
        start_ms, end_ms = date_range_ms(request.query.get("start_date"), request.query.get("end_date"))
        spent = await self._ledger.call(
            QUERY_SPEND,
            ledger_pb2.QuerySpendRequest(start_ms=start_ms, end_ms=end_ms),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        budget = await self._keystore.call(
            GET_GATEWAY_BUDGET, keystore_pb2.GetGatewayBudgetRequest(), timeout_seconds=TIMEOUT_SECONDS
        )
        return {
            "spend": usd_from_nano(spent.rows[0].cost_nano_usd),
            # LiteLLM says 0.0 where there is no budget.
            "max_budget": usd_from_nano(budget.max_budget_nano_usd),
        }


def _row(entry: ledger_pb2.Entry) -> dict[str, object]:
    """An entry as LiteLLM's SpendLogs row, with what only we know under `metadata`."""
    started_ms = millis_of(entry.dispatch_id)
    usage, principal = entry.usage, entry.principal
    error = entry.error_reason
    return {
        "request_id": to_text(entry.dispatch_id),
        "litellm_call_id": entry.call_id,
        "call_type": _CALL_TYPES.get(entry.operation, "acompletion"),
        "api_key": "litellm_proxy_master_key" if principal.master else principal.key_id,
        "spend": usd_from_nano(entry.cost_nano_usd),
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "startTime": iso(started_ms),
        "endTime": iso(started_ms + entry.duration_ms),
        "completionStartTime": iso(started_ms + entry.first_token_ms) if entry.first_token_ms else None,
        "request_duration_ms": entry.duration_ms,
        "model": f"{entry.provider}/{entry.provider_model}" if entry.provider else entry.model_group,
        "model_id": entry.deployment_id,
        "model_group": entry.model_group,
        "custom_llm_provider": entry.provider,
        "user": principal.user_id,
        "team_id": principal.team_id or None,
        "organization_id": principal.organization_id or None,
        "end_user": principal.end_user_id,
        "request_tags": list(principal.tags),
        "status": _STATUS.get(entry.status, "unknown"),
        "cache_hit": "False",
        "metadata": {
            "cost_nano_usd": entry.cost_nano_usd,
            "held_nano_usd": entry.held_nano_usd,
            "estimated": entry.estimated,
            "unpriced": entry.unpriced,
            "streamed": entry.streamed,
            "cached_tokens": usage.cache_read_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "error": Reason.Name(error).removeprefix("ERROR_REASON_").lower() if error else None,
            "attempts": [
                {
                    "model_id": attempt.deployment_id,
                    "provider_status": attempt.provider_status,
                    "latency_ms": attempt.latency_ms,
                }
                for attempt in entry.attempts
            ],
        },
    }
