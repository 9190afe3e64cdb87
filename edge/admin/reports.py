"""Spend added up by what it was for: LiteLLM's reports onto the ledger's QuerySpend.

Each path sums by some dimensions, dearest first, over everything or between `start_date` and `end_date`. What has no
name in a dimension (keys without a user, calls that reached no provider) is one row, named null, so that rows add up
to the total.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.v1 import keystore_pb2, ledger_pb2

from edge.admin.endpoint import Access, AdminRequest, AdminRoute, limit_of
from edge.admin.key_members import key_row
from edge.admin.times import date_range_ms
from services.errors import GatewayError, Reason
from services.methods import GET_KEY, QUERY_SPEND
from services.money import usd_from_nano
from services.transport import Channel

TIMEOUT_SECONDS = 10.0
DEFAULT_ROWS = 100
MAX_ROWS = 1000
# Each row of these is a question to the keystore as well.
MAX_KEYS = 100

# What LiteLLM calls the master key in its reports.
MASTER_KEY = "litellm_proxy_master_key"

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Report:
    """One path: what it sums by, and how a sum looks."""

    path: str
    group_by: Sequence[ledger_pb2.SpendDimension]
    row: Callable[[ledger_pb2.SpendRow], Row]


def _model(row: ledger_pb2.SpendRow) -> Row:
    return {"model": "/".join(row.keys) if row.keys[0] else None, "total_spend": usd_from_nano(row.cost_nano_usd)}


def _total_of_user(row: ledger_pb2.SpendRow) -> Row:
    return {"user_id": row.keys[0] or None, "total_spend": usd_from_nano(row.cost_nano_usd)}


def _user(row: ledger_pb2.SpendRow) -> Row:
    # No user has a budget of its own yet.
    return {"user_id": row.keys[0] or None, "spend": usd_from_nano(row.cost_nano_usd), "max_budget": None}


REPORTS = (
    Report(
        "/global/spend/models",
        (ledger_pb2.SPEND_DIMENSION_PROVIDER, ledger_pb2.SPEND_DIMENSION_PROVIDER_MODEL),
        _model,
    ),
    # LiteLLM has no such path; guides name it all the same.
    Report("/global/spend/users", (ledger_pb2.SPEND_DIMENSION_USER,), _total_of_user),
    Report("/spend/users", (ledger_pb2.SPEND_DIMENSION_USER,), _user),
)


class SpendReports:
    """The handlers of the reports."""

    def __init__(self, ledger: Channel, keystore: Channel) -> None:
        self._ledger = ledger
        self._keystore = keystore

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            *(
                AdminRoute("GET", report.path, Access.MASTER, functools.partial(self.report, report))
                for report in REPORTS
            ),
            AdminRoute("GET", "/global/spend/keys", Access.MASTER, self.totals_of_keys),
            AdminRoute("GET", "/spend/keys", Access.MASTER, self.keys),
        ]

    async def report(self, report: Report, request: AdminRequest) -> object:
        """One of REPORTS, at most `limit` rows (100); `user_id`: of this user alone."""
        return [report.row(row) for row in await self._sums(report.group_by, request, MAX_ROWS)]

    async def totals_of_keys(self, request: AdminRequest) -> object:
        """What each key has spent, with its names."""
        return [
            {
                "api_key": key.token,
                "key_alias": key.key_alias or None,
                "key_name": key.key_name or None,
                "total_spend": usd_from_nano(row.cost_nano_usd),
            }
            for row, key in await self._keys(request)
        ]

    async def keys(self, request: AdminRequest) -> object:
        """Keys as /key/info shows them. Of one that is deleted nothing but its token and its spend is known."""
        return [{**key_row(key), "spend": usd_from_nano(row.cost_nano_usd)} for row, key in await self._keys(request)]

    async def _keys(self, request: AdminRequest) -> list[tuple[ledger_pb2.SpendRow, keystore_pb2.Key]]:
        rows = await self._sums((ledger_pb2.SPEND_DIMENSION_KEY,), request, MAX_KEYS)
        keys = await asyncio.gather(*(self._key(row.keys[0]) for row in rows))
        return list(zip(rows, keys, strict=True))

    async def _key(self, key_id: str) -> keystore_pb2.Key:
        if not key_id:
            return keystore_pb2.Key(token=MASTER_KEY)
        named = keystore_pb2.GetKeyRequest(name=key_id)
        try:
            return (await self._keystore.call(GET_KEY, named, timeout_seconds=TIMEOUT_SECONDS)).key
        except GatewayError as error:
            if error.reason != Reason.ERROR_REASON_NOT_FOUND:
                raise
            return keystore_pb2.Key(token=key_id)

    async def _sums(
        self, group_by: Sequence[ledger_pb2.SpendDimension], request: AdminRequest, most: int
    ) -> Sequence[ledger_pb2.SpendRow]:
        query = request.query
        start_ms, end_ms = date_range_ms(query.get("start_date"), query.get("end_date"))
        question = ledger_pb2.QuerySpendRequest(
            start_ms=start_ms,
            end_ms=end_ms,
            group_by=group_by,
            user_id=query.get("user_id", ""),
            page_size=limit_of(query, DEFAULT_ROWS, most),
        )
        answer = await self._ledger.call(QUERY_SPEND, question, timeout_seconds=TIMEOUT_SECONDS)
        return answer.rows
