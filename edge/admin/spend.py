"""Spend, call by call and in all: /spend/logs and /global/spend onto the ledger.

A virtual key sees its own calls only.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from gateway.v1 import common_pb2, keystore_pb2, ledger_pb2

from edge.admin.daily import model_of
from edge.admin.directory import MASTER_KEY
from edge.admin.endpoint import AdminRequest, AdminRoute, limit_of, number_of
from edge.admin.questions import DAY, KEY, MODEL, PROVIDER, STATUS, USER, SpendQuestions
from edge.admin.times import date_range_ms, iso
from services.entry_words import reason_word, status_word
from services.errors import GatewayError, Reason
from services.ids import millis_of, to_text
from services.methods import GET_GATEWAY_BUDGET, LIST_ENTRIES
from services.money import usd_from_nano
from services.transport import Channel

TIMEOUT_SECONDS = 10.0
DEFAULT_ROWS = 100
MAX_ROWS = 1000
# Of the paged paths; LiteLLM's.
DEFAULT_PAGE_ROWS = 50
MAX_PAGE_ROWS = 100
# Entries of one call, of which all count to one page.
MAX_ENTRIES_OF_CALL = 1000
MAX_PAGE = 100_000

# LiteLLM's names of operations; a newer router may know more of them than we.
_CALL_TYPES: Mapping[int, str] = {
    common_pb2.OPERATION_CHAT_COMPLETIONS: "acompletion",
    common_pb2.OPERATION_EMBEDDINGS: "aembedding",
    common_pb2.OPERATION_RERANK: "arerank",
}
# What LiteLLM asks for: all that did not end well is a failure there.
_STATUS_FILTERS: Mapping[str, Sequence[int]] = {
    "success": (ledger_pb2.ENTRY_STATUS_SUCCESS,),
    "failure": (
        ledger_pb2.ENTRY_STATUS_FAILURE,
        ledger_pb2.ENTRY_STATUS_CANCELLED,
        ledger_pb2.ENTRY_STATUS_INTERRUPTED,
    ),
}
# LiteLLM's filters and orders that entries are not kept for; taken and not kept to, they would show the wrong calls.
_IDLE = (
    *("model", "key_alias", "min_spend", "max_spend", "error_code", "error_message", "session_id", "agent_id"),
    *("cache_hit", "call_type", "keyword"),
)
# Members of LiteLLM's rows that nothing is kept for.
_ABSENT: Mapping[str, object] = {
    "api_base": "",
    "cache_key": "",
    "requester_ip_address": None,
    "messages": {},
    "response": {},
    "proxy_server_request": {},
    "session_id": None,
    "mcp_namespaced_tool_name": None,
    "agent_id": None,
    "billing_agent_id": None,
}


class SpendAdmin:
    """The handlers."""

    def __init__(self, ledger: Channel, keystore: Channel, questions: SpendQuestions) -> None:
        self._ledger = ledger
        self._keystore = keystore
        self._questions = questions

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("GET", "/spend/logs", self.logs),
            AdminRoute("GET", "/spend/logs/v2", self.page),
            AdminRoute("GET", "/spend/logs/ui", self.page),
            AdminRoute("GET", "/global/spend", self.total),
            AdminRoute("GET", "/provider/budgets", self.provider_budgets),
        ]

    async def logs(self, request: AdminRequest) -> object:
        """Entries, newest first, at most `limit` (100); between two dates, unless `summarize=false`, sums by day."""
        query = request.query
        range_ms = date_range_ms(query.get("start_date"), query.get("end_date"))
        limit = limit_of(query, DEFAULT_ROWS, MAX_ROWS)
        summarizes = query.get("summarize", "true").lower() != "false"
        if all(range_ms) and summarizes and not query.get("request_id"):
            rows = await self._questions.every(request, (DAY, KEY, USER, PROVIDER, MODEL), range_ms)
            # Of many sums this is more than an event loop can do between two calls.
            return await asyncio.to_thread(_sums_by_day, rows, query["end_date"].strip()[:10])
        wanted = await self._wanted(request, range_ms)
        wanted.page_size = limit
        return [_row(entry) for entry in await self._entries(wanted)]

    async def page(self, request: AdminRequest) -> object:
        """One page of the entries between two dates, newest first, and how many there are."""
        query = request.query
        range_ms = date_range_ms(query.get("start_date"), query.get("end_date"))
        if not all(range_ms):
            raise _invalid("Please provide start_date and end_date.", "start_date")
        _refuse_idle(query)
        page = number_of(query, "page", 1, MAX_PAGE)
        size = number_of(query, "page_size", DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS)
        wanted = await self._wanted(request, range_ms)
        before = (page - 1) * size
        if wanted.request_id:
            wanted.page_size = MAX_ENTRIES_OF_CALL
            every = await self._entries(wanted)
            total, entries = len(every), every[before : before + size]
        else:
            (sums,) = await self._questions.every(request, (), range_ms, wanted.filters)
            total, entries = sums.entries, []
            # A page of the ledger ends early when its entries are large.
            while before < total and len(entries) < size:
                wanted.page_size, wanted.offset = size - len(entries), before + len(entries)
                more = await self._entries(wanted)
                if not more:
                    break
                entries += more
        return {
            "data": [_row(entry) for entry in entries],
            "total": total,
            "page": page,
            "page_size": size,
            "total_pages": -(-total // size),
            "total_is_capped": False,
        }

    async def total(self, request: AdminRequest) -> object:
        """What the whole gateway has spent, ever or between two dates, and its budget; of a virtual key, its own."""
        (spent,) = await self._questions.page(request, (), 1)
        key = request.caller.key
        budget: keystore_pb2.Terms | keystore_pb2.GetGatewayBudgetResponse
        if key is not None and not request.reach.everything:
            budget = key.terms
        else:
            budget = await self._keystore.call(
                GET_GATEWAY_BUDGET, keystore_pb2.GetGatewayBudgetRequest(), timeout_seconds=TIMEOUT_SECONDS
            )
        return {
            "spend": usd_from_nano(spent.cost_nano_usd),
            # LiteLLM says 0.0 where there is no budget.
            "max_budget": usd_from_nano(budget.max_budget_nano_usd),
        }

    async def provider_budgets(self, _: AdminRequest) -> object:
        """No provider has a budget of its own."""
        return {"providers": {}}

    async def _wanted(self, request: AdminRequest, range_ms: tuple[int, int]) -> ledger_pb2.ListEntriesRequest:
        """Which entries a request is about."""
        filters = await self._questions.filters(request)
        if status := request.query.get("status_filter"):
            if status not in _STATUS_FILTERS:
                raise _invalid(f"status_filter must be one of {', '.join(_STATUS_FILTERS)}.", "status_filter")
            values = [str(each) for each in _STATUS_FILTERS[status]]
            filters.append(ledger_pb2.SpendFilter(dimension=STATUS, values=values))
        return ledger_pb2.ListEntriesRequest(
            request_id=request.query.get("request_id", ""), start_ms=range_ms[0], end_ms=range_ms[1], filters=filters
        )

    async def _entries(self, wanted: ledger_pb2.ListEntriesRequest) -> list[ledger_pb2.Entry]:
        return list((await self._ledger.call(LIST_ENTRIES, wanted, timeout_seconds=TIMEOUT_SECONDS)).entries)


def _refuse_idle(query: Mapping[str, str]) -> None:
    idle = [name for name in _IDLE if query.get(name)]
    if query.get("sort_by", "startTime") != "startTime" or query.get("sort_order", "desc") != "desc":
        idle.append("sort_by")
    if idle:
        raise _invalid(f"This version does not act on: {', '.join(idle)}. Leave them out.", idle[0])


def _invalid(message: str, param: str) -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)


def _sums_by_day(rows: Sequence[ledger_pb2.SpendRow], last_day: str) -> list[object]:
    """LiteLLM's summary: for each day what was spent, in all and by key, user and model; the last day always."""
    days: dict[str, list[ledger_pb2.SpendRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.keys[0]):
        days[row.keys[0]].append(row)
    days[last_day]  # made if it is not there
    return [
        {
            **_spent_by(of_day, lambda keys: keys[1] or MASTER_KEY),
            "startTime": day,
            "spend": usd_from_nano(sum(row.cost_nano_usd for row in of_day)),
            "users": _spent_by(of_day, lambda keys: keys[2]),
            "models": _spent_by(of_day, lambda keys: model_of(keys[3], keys[4])),
        }
        for day, of_day in days.items()
    ]


def _spent_by(rows: Sequence[ledger_pb2.SpendRow], name_of: Callable[[Sequence[str]], str]) -> dict[str, float]:
    spent: dict[str, int] = defaultdict(int)
    for row in rows:
        spent[name_of(row.keys)] += row.cost_nano_usd
    return {name: usd_from_nano(nano_usd) for name, nano_usd in spent.items()}


def _row(entry: ledger_pb2.Entry) -> dict[str, object]:
    """An entry as LiteLLM's SpendLogs row, with what only we know under `metadata`."""
    started_ms = millis_of(entry.dispatch_id)
    usage, principal = entry.usage, entry.principal
    return {
        "request_id": to_text(entry.dispatch_id),
        "litellm_call_id": entry.call_id,
        "call_type": _CALL_TYPES.get(entry.operation, ""),
        "api_key": MASTER_KEY if principal.master else principal.key_id,
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
        "status": status_word(entry.status),
        "cache_hit": "False",
        "created_at": iso(started_ms + entry.duration_ms),
        "updated_at": iso(started_ms + entry.duration_ms),
        **_ABSENT,
        "metadata": {
            "cost_nano_usd": entry.cost_nano_usd,
            "held_nano_usd": entry.held_nano_usd,
            "estimated": entry.estimated,
            "unpriced": entry.unpriced,
            "streamed": entry.streamed,
            "cached_tokens": usage.cache_read_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "error": reason_word(entry.error_reason),
            "attempts": [
                {
                    "model_id": attempt.deployment_id,
                    "provider_status": attempt.provider_status,
                    "error": reason_word(attempt.error_reason),
                    "latency_ms": attempt.latency_ms,
                }
                for attempt in entry.attempts
            ],
            # Deployments that were chosen and could not even be asked, for want of a credential for one.
            "not_attempted": [
                {"model_id": choice.deployment_id, "error": reason_word(choice.error_reason)}
                for choice in entry.choices
                if choice.deployment_id
            ],
        },
    }
