"""Spend added up by what it was for: LiteLLM's reports onto the ledger's QuerySpend.

Each path sums by some dimensions, dearest first, over everything or between `start_date` and `end_date`. What has no
name in a dimension (keys without a user, calls that reached no provider) is one row, named null, so that rows add up
to the total. A virtual key sees its own calls in all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.v1 import keystore_pb2, ledger_pb2

from edge.admin.directory import MAX_NAMED, KeyDirectory
from edge.admin.endpoint import AdminRequest, AdminRoute, limit_of
from edge.admin.key_members import key_row
from edge.admin.owner_rows import user_row
from edge.admin.owners import USER as USER_KIND
from edge.admin.owners import Owners
from edge.admin.questions import END_USER, KEY, MODEL, PROVIDER, TAG, USER, SpendQuestions
from services.money import usd_from_nano

DEFAULT_ROWS = 100
MAX_ROWS = 1000

Row = object


@dataclass(frozen=True, slots=True)
class Report:
    """One path: what it sums by, how a sum looks, and what the list of them stands in."""

    path: str
    group_by: Sequence[ledger_pb2.SpendDimension]
    row: Callable[[ledger_pb2.SpendRow], Row]
    within: str = ""


def _model(row: ledger_pb2.SpendRow) -> Row:
    return {"model": "/".join(row.keys) if row.keys[0] else None, "total_spend": usd_from_nano(row.cost_nano_usd)}


def _total_of_user(row: ledger_pb2.SpendRow) -> Row:
    return {"user_id": row.keys[0] or None, "total_spend": usd_from_nano(row.cost_nano_usd)}


def _provider(row: ledger_pb2.SpendRow) -> Row:
    return {"provider": row.keys[0] or None, "spend": usd_from_nano(row.cost_nano_usd)}


def _tag(row: ledger_pb2.SpendRow) -> Row:
    spent = usd_from_nano(row.cost_nano_usd)
    return {"individual_request_tag": row.keys[0], "log_count": row.entries, "total_spend": spent}


def _spend_per_tag(row: ledger_pb2.SpendRow) -> Row:
    return {"name": row.keys[0], "spend": usd_from_nano(row.cost_nano_usd), "log_count": row.entries}


def _end_user(row: ledger_pb2.SpendRow) -> Row:
    spent = usd_from_nano(row.cost_nano_usd)
    return {"end_user": row.keys[0] or None, "total_count": row.entries, "total_spend": spent}


def _end_user_id(row: ledger_pb2.SpendRow) -> Row:
    # LiteLLM's list has calls without a customer as an empty text.
    return row.keys[0]


END_USERS = Report("/global/spend/end_users", (END_USER,), _end_user)
REPORTS = (
    Report("/global/spend/models", (PROVIDER, MODEL), _model),
    # LiteLLM has no such path; guides name it all the same.
    Report("/global/spend/users", (USER,), _total_of_user),
    Report("/global/spend/provider", (PROVIDER,), _provider),
    Report("/global/spend/tags", (TAG,), _spend_per_tag, within="spend_per_tag"),
    Report("/global/all_end_users", (END_USER,), _end_user_id, within="end_users"),
    Report("/spend/tags", (TAG,), _tag),
    END_USERS,
)
# How the body of POST /global/spend/end_users names what others have in their query.
_IN_BODY: Mapping[str, str] = {"startTime": "start_date", "endTime": "end_date", "api_key": "api_key"}


class SpendReports:
    """The handlers of the reports."""

    def __init__(self, questions: SpendQuestions, directory: KeyDirectory, owners: Owners) -> None:
        self._owners = owners
        self._questions = questions
        self._directory = directory

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [
            *(AdminRoute("GET", report.path, functools.partial(self.report, report)) for report in REPORTS),
            AdminRoute("POST", END_USERS.path, self.end_users),
            AdminRoute("GET", "/global/spend/keys", self.totals_of_keys),
            AdminRoute("GET", "/spend/keys", self.keys),
            AdminRoute("GET", "/spend/users", self.users),
        ]

    async def report(self, report: Report, request: AdminRequest) -> object:
        """One of REPORTS, at most `limit` rows (100); `user_id`: of this user alone."""
        size = limit_of(request.query, DEFAULT_ROWS, MAX_ROWS)
        rows = [report.row(row) for row in await self._questions.page(request, report.group_by, size)]
        return {report.within: rows} if report.within else rows

    async def end_users(self, request: AdminRequest) -> object:
        """As GET, with what it asks for in a body, as LiteLLM's page sends it."""
        said = {
            name: text
            for member, name in _IN_BODY.items()
            if isinstance(text := request.body.get(member), str) and text
        }
        return await self.report(END_USERS, replace(request, query={**request.query, **said}))

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

    async def users(self, request: AdminRequest) -> object:
        """Users as /user/info shows them, with what was spent. One that nobody has made has an id and no more."""
        rows = await self._questions.page(request, (USER,), limit_of(request.query, DEFAULT_ROWS, MAX_ROWS))
        users = await self._owners.named(USER_KIND, (row.keys[0] for row in rows))
        unknown = keystore_pb2.Owner()
        return [
            {
                **user_row(users.get(row.keys[0], unknown)),
                "user_id": row.keys[0] or None,
                "spend": usd_from_nano(row.cost_nano_usd),
            }
            for row in rows
        ]

    async def _keys(self, request: AdminRequest) -> list[tuple[ledger_pb2.SpendRow, keystore_pb2.Key]]:
        # Each row of these is a question to the keystore as well.
        size = limit_of(request.query, DEFAULT_ROWS, MAX_NAMED)
        rows = await self._questions.page(request, (KEY,), size)
        keys = await self._directory.named(row.keys[0] for row in rows)
        return [(row, keys[row.keys[0]]) for row in rows]
