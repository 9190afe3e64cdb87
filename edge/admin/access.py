"""Who may use which admin route: the one table. What is not in it may be used by nobody.

A grant says who may, and with that how far: an admin of a team gets to what is their team's, a user to what is their
own. How far one request gets is its `Reach`, which handlers ask about every object that they show or change. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.allowed_routes import CALLS, INFO, MANAGEMENT, allows_route


class Grant(enum.Flag):
    """Who may use a route, and what of."""

    NOBODY = 0
    # The master key, and keys of users who are `proxy_admin`: everything.
    ADMIN = enum.auto()
    # Keys of users who are `proxy_admin_viewer`: everything. Of routes that read.
    VIEWER = enum.auto()
    # Of what belongs to an organisation, its admins.
    ORGANIZATION_ADMIN = enum.auto()
    # Of what belongs to a team, its admins.
    TEAM_ADMIN = enum.auto()
    # Of what belongs to a team, its members, and keys that are the team's.
    TEAM_MEMBER = enum.auto()
    # Of what is their own, users who are `internal_user` or `org_admin`.
    USER = enum.auto()
    # Of what is their own, the same and `internal_user_viewer`s. Of routes that read.
    USER_VIEWER = enum.auto()
    # Of itself, any key that is one.
    KEY = enum.auto()
    # Without any key.
    ANYBODY = enum.auto()


@dataclass(frozen=True, slots=True)
class Row:
    """Who may use a route, and the groups that it is in."""

    grant: Grant
    groups: frozenset[str]


ROLES_OF_USERS = ("internal_user", "org_admin")
# Of those the routes that read are the ones that grant something to VIEWER.
VIEWERS = ("proxy_admin_viewer", "internal_user_viewer")

_READERS = Grant.ADMIN | Grant.VIEWER
_ADMINS = Grant.ADMIN | Grant.ORGANIZATION_ADMIN | Grant.TEAM_ADMIN
_HOLDERS = _ADMINS | Grant.USER
_SPENDERS = _READERS | Grant.KEY
_OF_KEYS = _READERS | Grant.ORGANIZATION_ADMIN | Grant.TEAM_ADMIN | Grant.USER_VIEWER | Grant.KEY
_OF_TEAMS = _READERS | Grant.ORGANIZATION_ADMIN | Grant.TEAM_ADMIN | Grant.TEAM_MEMBER

_TABLE: Sequence[tuple[Grant, tuple[str, ...], str]] = (
    (Grant.ANYBODY, (), "GET /health/liveliness, GET /health/liveness, GET /health/readiness"),
    # It makes calls that cost.
    (Grant.ADMIN, (INFO,), "GET /health"),
    (_READERS, (INFO,), "GET /metrics"),
    (
        _SPENDERS,
        (INFO, CALLS),
        "GET /v1/models, GET /models, GET /v1/models/{model:path}, GET /models/{model:path}",
    ),
    (_SPENDERS, (INFO,), "POST /cost/estimate, POST /spend/calculate"),
    (
        _SPENDERS,
        (INFO,),
        """
        GET /spend/logs, GET /spend/logs/v2, GET /spend/logs/ui, GET /spend/keys, GET /spend/users, GET /spend/tags,
        GET /global/spend, GET /global/spend/logs, GET /global/spend/teams, GET /global/spend/report,
        GET /global/spend/models, GET /global/spend/users, GET /global/spend/provider, GET /global/spend/tags,
        GET /global/spend/keys, GET /global/all_end_users, GET /global/spend/end_users, POST /global/spend/end_users,
        GET /global/activity, GET /global/activity/model, GET /user/daily/activity, GET /team/daily/activity,
        GET /tag/daily/activity, GET /customer/daily/activity, GET /organization/daily/activity
        """,
    ),
    (_SPENDERS, (INFO,), "GET /receipts/{call_id}, GET /v1/receipts/{call_id}"),
    (_READERS, (INFO,), "GET /provider/budgets, GET /spend/export"),
    (Grant.ADMIN, (MANAGEMENT,), "POST /spend/reprice"),
    (_HOLDERS, (MANAGEMENT,), "POST /key/generate, POST /key/update, POST /key/delete"),
    (_HOLDERS, (MANAGEMENT,), "POST /key/regenerate, POST /key/{key}/regenerate"),
    (_ADMINS, (MANAGEMENT,), "POST /key/service-account/generate, POST /key/block, POST /key/unblock"),
    # A key whose spend begins anew may spend more than it was given.
    (Grant.ADMIN | Grant.ORGANIZATION_ADMIN, (MANAGEMENT,), "POST /key/{key}/reset_spend"),
    (Grant.ADMIN, (MANAGEMENT,), "POST /key/bulk_update"),
    # What takes the place of the secret that is shown, once that has been replaced: nobody else's.
    (Grant.KEY | Grant.VIEWER, (MANAGEMENT, INFO, CALLS), "POST /key/next_secret"),
    (_OF_KEYS, (MANAGEMENT, INFO), "GET /key/info, GET /key/list, GET /key/aliases, POST /key/health"),
    (Grant.ADMIN | Grant.ORGANIZATION_ADMIN, (MANAGEMENT,), "POST /user/new"),
    (Grant.ADMIN, (MANAGEMENT,), "POST /user/update, POST /user/bulk_update, POST /user/delete"),
    (_READERS | Grant.ORGANIZATION_ADMIN | Grant.USER_VIEWER, (MANAGEMENT, INFO), "GET /user/info, GET /v2/user/info"),
    (_READERS, (MANAGEMENT, INFO), "GET /user/list"),
    (_READERS | Grant.USER_VIEWER, (MANAGEMENT, INFO), "GET /user/available_roles"),
    (
        Grant.ADMIN | Grant.ORGANIZATION_ADMIN,
        (MANAGEMENT,),
        "POST /team/new, POST /team/delete, POST /team/block, POST /team/unblock, POST /team/model/add",
    ),
    (
        _ADMINS,
        (MANAGEMENT,),
        """
        POST /team/update, POST /team/model/delete, POST /team/member_add, POST /team/bulk_member_add,
        POST /team/member_update, POST /team/member_delete
        """,
    ),
    (_OF_TEAMS, (MANAGEMENT, INFO), "GET /team/info, GET /team/list, GET /v2/team/list"),
    (
        Grant.ADMIN,
        (MANAGEMENT,),
        """
        POST /customer/new, POST /customer/update, POST /customer/delete, POST /customer/block, POST /customer/unblock,
        POST /end_user/new, POST /end_user/update, POST /end_user/delete, POST /end_user/block, POST /end_user/unblock
        """,
    ),
    (
        _READERS,
        (MANAGEMENT, INFO),
        "GET /customer/info, GET /customer/list, GET /end_user/info, GET /end_user/list",
    ),
    (Grant.ADMIN, (MANAGEMENT,), "POST /organization/new, PATCH /organization/update, DELETE /organization/delete"),
    (
        Grant.ADMIN | Grant.ORGANIZATION_ADMIN,
        (MANAGEMENT,),
        "POST /organization/member_add, PATCH /organization/member_update, DELETE /organization/member_delete",
    ),
    (
        _READERS | Grant.ORGANIZATION_ADMIN,
        (MANAGEMENT, INFO),
        "GET /organization/info, POST /organization/info, GET /organization/list",
    ),
    (Grant.ADMIN, (MANAGEMENT,), "POST /budget/new, POST /budget/update, POST /budget/delete"),
    (_READERS, (MANAGEMENT, INFO), "POST /budget/info, GET /budget/list, GET /budget/settings"),
    (Grant.ADMIN, (MANAGEMENT,), "POST /tag/new, POST /tag/update, POST /tag/delete"),
    (_READERS, (MANAGEMENT, INFO), "POST /tag/info, GET /tag/list"),
    (
        Grant.ADMIN,
        (MANAGEMENT,),
        """
        POST /access_group/new, PUT /access_group/{access_group}/update, DELETE /access_group/{access_group}/delete,
        POST /v1/access_group, PUT /v1/access_group/{access_group_id}, DELETE /v1/access_group/{access_group_id}
        """,
    ),
    (
        _READERS,
        (MANAGEMENT, INFO),
        """
        GET /access_group/list, GET /access_group/{access_group}/info,
        GET /v1/access_group, GET /v1/access_group/{access_group_id}
        """,
    ),
    (_READERS, (MANAGEMENT, INFO), "GET /audit, GET /audit/{id}"),
    (_READERS, (INFO,), "GET /alerts"),
)  # fmt: skip


def table() -> Mapping[str, Row]:
    """Every route, as `GET /key/info`, with its row. ValueError when one stands there twice."""
    rows: dict[str, Row] = {}
    for route, row in _rows():
        if route in rows:
            raise ValueError(f"{route} has two rows")
        rows[route] = row
    return rows


def _rows() -> Iterator[tuple[str, Row]]:
    for grant, groups, routes in _TABLE:
        row = Row(grant, frozenset(groups))
        for route in routes.split(","):
            yield " ".join(route.split()), row


TABLE = table()
CLOSED = Row(Grant.NOBODY, frozenset())


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a request gets: to everything, or to what belongs to one of these."""

    everything: bool = False
    organization_ids: frozenset[str] = frozenset()
    team_ids: frozenset[str] = frozenset()
    user_id: str = ""
    key_id: str = ""

    def __bool__(self) -> bool:
        return self != Reach()

    @property
    def administers(self) -> bool:
        """Whether it gets to more than what is the caller's own."""
        return self.everything or bool(self.organization_ids or self.team_ids)

    def covers(self, *, key_id: str = "", user_id: str = "", team_id: str = "", organization_id: str = "") -> bool:
        """Whether it gets to what belongs to one of these. Empty: it belongs to none."""
        return (
            self.everything
            or (bool(key_id) and key_id == self.key_id)
            or (bool(user_id) and user_id == self.user_id)
            or team_id in self.team_ids
            or organization_id in self.organization_ids
        )


def allows(allowed_routes: Sequence[str], path: str, route: str, row: Row) -> bool:
    """Whether a key's `allowed_routes` have a route: itself, a group, or `/x/*`. None at all: every route.

    path: as it was asked for; route: as the table writes it.
    """
    return not allowed_routes or allows_route(allowed_routes, (path, route), row.groups)
