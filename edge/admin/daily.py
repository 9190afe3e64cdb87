"""Spend and activity by the day: LiteLLM's global paths onto the ledger's QuerySpend.

Without `start_date` and `end_date` they are about the last 30 days. A virtual key sees its own calls in all of them.
Answers are put together in threads: of many sums that is more than an event loop can do between two calls.
"""

from __future__ import annotations

import asyncio
import calendar
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.v1 import ledger_pb2

from edge.admin.directory import MASTER_KEY
from edge.admin.endpoint import AdminRequest, AdminRoute
from edge.admin.questions import DAY, END_USER, GROUP, KEY, MODEL, PROVIDER, TAG, TEAM, SpendQuestions
from edge.admin.times import date_range_ms, last_days_ms
from services.errors import GatewayError, Reason
from services.money import usd_from_nano

DEFAULT_DAYS = 30
# What LiteLLM calls the team of those that have none.
UNASSIGNED = "Unassigned"

Rows = Iterable[ledger_pb2.SpendRow]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom /global/spend/report groups each day by, and how its answer names them."""

    dimension: ledger_pb2.SpendDimension
    many: str
    one: str


OWNERS: Mapping[str, Owner] = {
    "team": Owner(TEAM, "teams", "team_name"),
    "customer": Owner(END_USER, "customers", "customer"),
    "tag": Owner(TAG, "tags", "tag"),
}


class DailySpend:
    """The handlers. now: the wall clock."""

    def __init__(self, questions: SpendQuestions, now: Callable[[], datetime]) -> None:
        self._questions = questions
        self._now = now

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            AdminRoute("GET", "/global/spend/logs", self.spend),
            AdminRoute("GET", "/global/spend/teams", self.teams),
            AdminRoute("GET", "/global/spend/report", self.report),
            AdminRoute("GET", "/global/activity", self.activity),
            AdminRoute("GET", "/global/activity/model", self.activity_of_models),
        ]

    async def spend(self, request: AdminRequest) -> object:
        """What each day has spent."""
        rows = await self._every(request, (DAY,))
        return [{"date": row.keys[0], "spend": usd_from_nano(row.cost_nano_usd)} for row in _by_day(rows)]

    async def teams(self, request: AdminRequest) -> object:
        """What each team has spent, in all and each day; a day names those that have called."""
        return await asyncio.to_thread(_teams, await self._every(request, (DAY, TEAM)))

    async def report(self, request: AdminRequest) -> object:
        """Spend by `group_by` (team, customer, tag: of each day; api_key: in all), each by model and key."""
        group_by = request.query.get("group_by") or "team"
        if group_by == "api_key":
            return await asyncio.to_thread(_report_of_keys, await self._every(request, (KEY, PROVIDER, MODEL)))
        owner = OWNERS.get(group_by)
        if owner is None:
            raise GatewayError(
                Reason.ERROR_REASON_INVALID_REQUEST,
                f"group_by must be one of {', '.join(OWNERS)}, api_key.",
                param="group_by",
            )
        rows = await self._every(request, (DAY, owner.dimension, PROVIDER, MODEL, KEY))
        return await asyncio.to_thread(_report_of_days, rows, owner)

    async def activity(self, request: AdminRequest) -> object:
        """Calls and tokens of each day."""
        return _activity(_by_day(await self._every(request, (DAY,))))

    async def activity_of_models(self, request: AdminRequest) -> object:
        """Calls and tokens of each model group, each day; the busiest first."""
        return await asyncio.to_thread(_activity_of_models, await self._every(request, (DAY, GROUP)))

    async def _every(
        self, request: AdminRequest, group_by: Sequence[ledger_pb2.SpendDimension]
    ) -> Sequence[ledger_pb2.SpendRow]:
        asked_ms = date_range_ms(request.query.get("start_date"), request.query.get("end_date"))
        range_ms = asked_ms if any(asked_ms) else last_days_ms(self._now(), DEFAULT_DAYS)
        return await self._questions.every(request, group_by, range_ms)


def _by_day(rows: Rows) -> list[ledger_pb2.SpendRow]:
    """The earliest first; of one day the dearest first."""
    return sorted(rows, key=lambda row: row.keys[0])


def _teams(rows: Rows) -> dict[str, object]:
    totals: dict[str, int] = defaultdict(int)
    days: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in _by_day(rows):
        team = row.keys[1] or UNASSIGNED
        totals[team] += row.cost_nano_usd
        days[row.keys[0]][team] += row.cost_nano_usd
    dearest = sorted(totals.items(), key=lambda total: -total[1])
    return {
        "daily_spend": [
            {**{team: usd_from_nano(nano_usd) for team, nano_usd in spent.items()}, "date": day}
            for day, spent in days.items()
        ],
        "teams": sorted(totals),
        "total_spend_per_team": [{"team_id": team, "total_spend": usd_from_nano(spent)} for team, spent in dearest],
    }


def _activity_of_models(rows: Rows) -> list[object]:
    groups: dict[str, list[ledger_pb2.SpendRow]] = defaultdict(list)
    for row in _by_day(rows):
        groups[row.keys[1]].append(row)
    busiest = sorted(groups.items(), key=lambda group: -sum(row.entries for row in group[1]))
    return [{"model": name, **_activity(of_group, model_group=name)} for name, of_group in busiest]


def _activity(rows: Sequence[ledger_pb2.SpendRow], **names: str) -> dict[str, object]:
    return {
        "daily_data": [
            {
                **names,
                "date": _short(row.keys[0]),
                "api_requests": row.entries,
                "total_tokens": row.input_tokens + row.output_tokens,
            }
            for row in rows
        ],
        "sum_api_requests": sum(row.entries for row in rows),
        "sum_total_tokens": sum(row.input_tokens + row.output_tokens for row in rows),
    }


def _short(day: str) -> str:
    """`Nov 22` of `2026-11-22`; from behind, since ids reach beyond the year 9999."""
    return f"{calendar.month_abbr[int(day[-5:-3])]} {day[-2:]}"


def _report_of_days(rows: Rows, owner: Owner) -> list[object]:
    days: dict[str, dict[str, list[ledger_pb2.SpendRow]]] = defaultdict(lambda: defaultdict(list))
    for row in _by_day(rows):
        days[row.keys[0]][row.keys[1]].append(row)
    return [
        {
            "group_by_day": f"{day}T00:00:00+00:00",
            owner.many: [
                {
                    owner.one: name or UNASSIGNED,
                    "total_spend": usd_from_nano(sum(row.cost_nano_usd for row in owned)),
                    "metadata": [
                        {
                            "model": model_of(*row.keys[2:4]),
                            "spend": usd_from_nano(row.cost_nano_usd),
                            "total_tokens": row.input_tokens + row.output_tokens,
                            "api_key": row.keys[4] or MASTER_KEY,
                        }
                        for row in owned
                    ],
                }
                for name, owned in owners.items()
            ],
        }
        for day, owners in days.items()
    ]


def _report_of_keys(rows: Rows) -> list[object]:
    keys: dict[str, list[ledger_pb2.SpendRow]] = defaultdict(list)
    for row in rows:
        keys[row.keys[0]].append(row)
    return [
        {
            "api_key": key or MASTER_KEY,
            **_totals(owned),
            "model_details": [{"model": model_of(*row.keys[1:3]), **_totals([row])} for row in owned],
        }
        for key, owned in keys.items()
    ]


def _totals(rows: Sequence[ledger_pb2.SpendRow]) -> dict[str, object]:
    return {
        "total_cost": usd_from_nano(sum(row.cost_nano_usd for row in rows)),
        "total_input_tokens": sum(row.input_tokens for row in rows),
        "total_output_tokens": sum(row.output_tokens for row in rows),
    }


def model_of(provider: str, model: str) -> str:
    """A provider's model as LiteLLM writes it; empty for calls that reached none."""
    return f"{provider}/{model}" if provider else ""
