"""What users, teams, tags, customers and organisations did each day: LiteLLM's `/.../daily/activity`.

A page is of so many days, the newest first, each whole. A virtual key sees its own calls only.
"""

from __future__ import annotations

import asyncio
import functools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.v1 import common_pb2, keystore_pb2, ledger_pb2

from edge.admin.daily import UNASSIGNED, model_of
from edge.admin.directory import MASTER_KEY, KeyDirectory
from edge.admin.endpoint import AdminRequest, AdminRoute, number_of
from edge.admin.questions import (
    DAY,
    END_USER,
    GROUP,
    KEY,
    MODEL,
    OPERATION,
    ORGANIZATION,
    PROVIDER,
    TAG,
    TEAM,
    USER,
    SpendQuestions,
)
from edge.admin.times import date_range_ms
from services.errors import GatewayError, Reason
from services.money import usd_from_nano

DAY_MS = 86_400_000
DEFAULT_DAYS = 50
MAX_DAYS = 1_000
MAX_PAGE = 1_000_000

# Of each sum, in this order; the last is the entity.
_GROUP_BY = (DAY, KEY, PROVIDER, MODEL, GROUP, OPERATION)


@dataclass(frozen=True, slots=True)
class Activity:
    """One path, and whose activity it tells apart."""

    path: str
    entity: ledger_pb2.SpendDimension


ACTIVITIES = (
    Activity("/user/daily/activity", USER),
    Activity("/team/daily/activity", TEAM),
    Activity("/tag/daily/activity", TAG),
    Activity("/customer/daily/activity", END_USER),
    Activity("/organization/daily/activity", ORGANIZATION),
)

# LiteLLM's features that there are none of here, and what the sums do not know.
_ABSENT: Mapping[str, object] = {
    "flat_cost": 0.0,
    "compression_saved_tokens": 0,
    "compression_savings_spend": 0.0,
    "prompt_caching_savings_spend": 0.0,
    "gateway_injected_caching_savings_spend": 0.0,
    "autorouter_savings_spend": 0.0,
}
_TIMES: Mapping[str, object] = {"total_response_time_ms": 0, "timed_requests": 0}


@dataclass(slots=True)
class _Sums:
    """Of some rows, and of each key's among them."""

    rows: list[ledger_pb2.SpendRow] = field(default_factory=list)

    def metrics(self) -> dict[str, object]:
        rows = self.rows
        entries, succeeded = sum(row.entries for row in rows), sum(row.succeeded for row in rows)
        input_tokens, output_tokens = sum(row.input_tokens for row in rows), sum(row.output_tokens for row in rows)
        return {
            "spend": usd_from_nano(sum(row.cost_nano_usd for row in rows)),
            "prompt_tokens": input_tokens,
            "completion_tokens": output_tokens,
            "cache_read_input_tokens": sum(row.cache_read_tokens for row in rows),
            "cache_creation_input_tokens": sum(row.cache_write_tokens for row in rows),
            "total_tokens": input_tokens + output_tokens,
            "successful_requests": succeeded,
            "failed_requests": entries - succeeded,
            "api_requests": entries,
            **_ABSENT,
            **_TIMES,
        }

    def by(self, name: Callable[[ledger_pb2.SpendRow], str]) -> dict[str, _Sums]:
        parts: dict[str, _Sums] = defaultdict(_Sums)
        for row in self.rows:
            parts[name(row)].rows.append(row)
        return parts


class ActivityAdmin:
    """The handlers."""

    def __init__(self, questions: SpendQuestions, directory: KeyDirectory) -> None:
        self._questions = questions
        self._directory = directory

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [AdminRoute("GET", activity.path, functools.partial(self.activity, activity)) for activity in ACTIVITIES]

    async def activity(self, activity: Activity, request: AdminRequest) -> object:
        """The days from `start_date` to `end_date`, `page_size` of them (50) a `page`."""
        start_ms, end_ms = date_range_ms(request.query.get("start_date"), request.query.get("end_date"))
        if not start_ms or not end_ms:
            raise GatewayError(
                Reason.ERROR_REASON_INVALID_REQUEST, "Please provide start_date and end_date.", param="start_date"
            )
        days = number_of(request.query, "page_size", DEFAULT_DAYS, MAX_DAYS)
        page = number_of(request.query, "page", 1, MAX_PAGE)
        pages = -(-(end_ms - start_ms) // (days * DAY_MS))
        newest_ms = end_ms - (page - 1) * days * DAY_MS
        rows: Sequence[ledger_pb2.SpendRow] = ()
        if newest_ms > start_ms:
            range_ms = (max(start_ms, newest_ms - days * DAY_MS), newest_ms)
            rows = await self._questions.every(request, (*_GROUP_BY, activity.entity), range_ms)
        keys = await self._directory.named(row.keys[1] for row in rows)
        # Of many sums this is more than an event loop can do between two calls.
        results, totals = await asyncio.to_thread(_answer, rows, keys)
        return {
            "results": results,
            "metadata": {
                **totals,
                "page": page,
                "total_pages": pages,
                "has_more": page < pages,
                # Keys are never left out, so nothing has to be told of a limit.
                "api_key_limit": None,
                "total_api_keys": None,
                "entity_total_api_keys": None,
            },
        }


def _answer(
    rows: Sequence[ledger_pb2.SpendRow], keys: Mapping[str, keystore_pb2.Key]
) -> tuple[list[object], dict[str, object]]:
    """Each day, the newest first, and what all of them come to."""
    page = _Sums(list(rows))
    days = sorted(page.by(lambda row: row.keys[0]).items(), key=lambda day: day[0], reverse=True)
    results: list[object] = [
        {"date": day, "metrics": sums.metrics(), "breakdown": _breakdown(sums, keys)} for day, sums in days
    ]
    return results, _totals(page.metrics())


def _totals(metrics: Mapping[str, object]) -> dict[str, object]:
    return {name if name.startswith("total_") else f"total_{name}": value for name, value in metrics.items()}


# What a day is broken down by, and where a row has its name.
_PARTS: Mapping[str, Callable[[ledger_pb2.SpendRow], str]] = {
    "models": lambda row: model_of(row.keys[2], row.keys[3]),
    "model_groups": lambda row: row.keys[4],
    "providers": lambda row: row.keys[2],
    "endpoints": lambda row: _endpoint(row.keys[5]),
    "entities": lambda row: row.keys[6] or UNASSIGNED,
}


def _breakdown(sums: _Sums, keys: Mapping[str, keystore_pb2.Key]) -> dict[str, object]:
    return {
        # There are none of these yet.
        "mcp_servers": {},
        "api_keys": _of_keys(sums, keys),
        **{
            part: {
                name: {"metrics": part_sums.metrics(), "metadata": {}, "api_key_breakdown": _of_keys(part_sums, keys)}
                for name, part_sums in sums.by(name_of).items()
            }
            for part, name_of in _PARTS.items()
        },
    }


def _of_keys(sums: _Sums, keys: Mapping[str, keystore_pb2.Key]) -> dict[str, object]:
    return {
        key_id or MASTER_KEY: {"metrics": key_sums.metrics(), "metadata": _names(keys.get(key_id))}
        for key_id, key_sums in sums.by(lambda row: row.keys[1]).items()
    }


def _names(key: keystore_pb2.Key | None) -> dict[str, object]:
    """What is known of a key; of one that is deleted, of the master key and beyond a hundred keys, nothing."""
    known = key if key is not None else keystore_pb2.Key()
    return {
        "key_alias": known.key_alias or None,
        "team_id": known.team_id or None,
        "user_id": known.user_id or None,
        "user_email": None,
        "key_exists": bool(known.key_id),
    }


def _endpoint(operation: str) -> str:
    """The path of an operation, by its number; a newer router may know more of them."""
    number = int(operation) if operation.isdecimal() else 0
    if number == common_pb2.OPERATION_CHAT_COMPLETIONS:
        return "/chat/completions"
    known = number in common_pb2.Operation.values()
    return f"/{common_pb2.Operation.Name(number).removeprefix('OPERATION_').lower()}" if known else ""
