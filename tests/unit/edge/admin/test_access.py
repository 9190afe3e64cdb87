"""The table of access against what each role may do: role by role, route by route."""

from __future__ import annotations

import itertools

import pytest
from gateway.v1 import keystore_pb2

from edge.admin.access import TABLE, Grant, Reach, Row, allows
from edge.admin.caller import Caller
from services.allowed_routes import CALLS, INFO, MANAGEMENT


def of(role: str, *, user_id: str = "ada", **belongs: str) -> Caller:
    """A virtual key of a user with a role, in (and admin of) what is named."""
    memberships = {name: frozenset((value,)) for name, value in belongs.items()}
    return Caller(key=keystore_pb2.Key(key_id="k", user_id=user_id), role=role, **memberships)


CALLERS = {
    "master": Caller(),
    "proxy_admin": of("proxy_admin"),
    "viewer": of("proxy_admin_viewer"),
    "org admin": of("org_admin", admin_organization_ids="o", organization_ids="o"),
    "team admin": of("internal_user", admin_team_ids="t", team_ids="t"),
    "member": of("internal_user", team_ids="t"),
    "user": of("internal_user"),
    "user viewer": of("internal_user_viewer"),
    "viewing team admin": of("internal_user_viewer", admin_team_ids="t", team_ids="t"),
    "key": of("", user_id=""),
}
ADMINS = {"master", "proxy_admin"}
READERS = ADMINS | {"viewer"}
USERS = {"org admin", "team admin", "member", "user"}
# Who gets anywhere at all, written down role by role, by the routes' paths.
MATRIX: tuple[tuple[set[str], str], ...] = (
    (set(), "GET /health/liveliness, GET /health/liveness, GET /health/readiness"),
    (
        ADMINS,
        """GET /health, POST /spend/reprice, POST /key/bulk_update,
        POST /user/update, POST /user/bulk_update, POST /user/delete,
        POST /customer/new, POST /customer/update, POST /customer/delete, POST /customer/block, POST /customer/unblock,
        POST /end_user/new, POST /end_user/update, POST /end_user/delete, POST /end_user/block, POST /end_user/unblock,
        POST /organization/new, PATCH /organization/update, DELETE /organization/delete, POST /budget/new,
        POST /budget/update, POST /budget/delete, POST /tag/new, POST /tag/update, POST /tag/delete,
        POST /access_group/new, PUT /access_group/{access_group}/update, DELETE /access_group/{access_group}/delete,
        POST /v1/access_group, PUT /v1/access_group/{access_group_id}, DELETE /v1/access_group/{access_group_id}""",
    ),
    (
        READERS,
        """GET /metrics, GET /provider/budgets, GET /spend/export, GET /user/list, GET /customer/info,
        GET /customer/list,
        GET /end_user/info, GET /end_user/list, POST /budget/info, GET /budget/list, GET /budget/settings,
        POST /tag/info, GET /tag/list, GET /access_group/list, GET /access_group/{access_group}/info,
        GET /v1/access_group, GET /v1/access_group/{access_group_id}, GET /audit, GET /audit/{id}, GET /alerts""",
    ),
    (
        set(CALLERS),
        """GET /v1/models, GET /models, GET /v1/models/{model:path}, GET /models/{model:path}, POST /cost/estimate,
        POST /spend/calculate, GET /spend/logs, GET /spend/logs/v2, GET /spend/logs/ui, GET /spend/keys,
        GET /spend/users, GET /spend/tags, GET /global/spend, GET /global/spend/logs, GET /global/spend/teams,
        GET /global/spend/report, GET /global/spend/models, GET /global/spend/users, GET /global/spend/provider,
        GET /global/spend/tags, GET /global/spend/keys, GET /global/all_end_users, GET /global/spend/end_users,
        POST /global/spend/end_users, GET /global/activity, GET /global/activity/model, GET /user/daily/activity,
        GET /team/daily/activity, GET /tag/daily/activity, GET /customer/daily/activity,
        GET /organization/daily/activity, GET /receipts/{call_id}, GET /v1/receipts/{call_id},
        GET /key/info, GET /key/list, GET /key/aliases, POST /key/health""",
    ),
    (set(CALLERS) - {"master"}, "POST /key/next_secret"),
    (
        ADMINS | USERS,
        "POST /key/generate, POST /key/update, POST /key/delete, POST /key/regenerate, POST /key/{key}/regenerate",
    ),
    (
        ADMINS | {"org admin", "team admin"},
        """POST /key/service-account/generate, POST /key/block, POST /key/unblock, POST /team/update,
        POST /team/model/delete, POST /team/member_add, POST /team/bulk_member_add, POST /team/member_update,
        POST /team/member_delete""",
    ),
    (
        ADMINS | {"org admin"},
        """POST /key/{key}/reset_spend, POST /user/new, POST /team/new, POST /team/delete, POST /team/block,
        POST /team/unblock, POST /team/model/add, POST /organization/member_add, PATCH /organization/member_update,
        DELETE /organization/member_delete""",
    ),
    (
        READERS | USERS | {"user viewer", "viewing team admin"},
        "GET /user/info, GET /v2/user/info, GET /user/available_roles",
    ),
    (
        READERS | {"org admin", "team admin", "member", "viewing team admin"},
        "GET /team/info, GET /team/list, GET /v2/team/list",
    ),
    (READERS | {"org admin"}, "GET /organization/info, POST /organization/info, GET /organization/list"),
)
EXPECTED = {" ".join(route.split()): who for who, routes in MATRIX for route in routes.split(",")}


@pytest.mark.parametrize("route", sorted({*TABLE, *EXPECTED}))
def test_each_role_gets_to_what_is_written_here_and_nowhere_else(route: str) -> None:
    row = TABLE[route]
    assert {name for name, caller in CALLERS.items() if caller.reach(row.grant)} == EXPECTED[route]


def test_whoever_is_no_admin_of_everything_reaches_what_is_theirs_alone() -> None:
    for (name, caller), row in itertools.product(CALLERS.items(), TABLE.values()):
        reach = caller.reach(row.grant)
        sees_all = (name in ADMINS and Grant.ADMIN in row.grant) or (name == "viewer" and Grant.VIEWER in row.grant)
        assert reach.everything == sees_all
        if not reach.everything:
            others = reach.covers(key_id="k2", user_id="eve", team_id="t2", organization_id="o2")
            assert not others
            assert not reach.covers(), "what belongs to nobody is nobody's"
            assert reach.organization_ids <= {"o"}
            assert reach.team_ids <= {"t"}
            assert (reach.user_id in ("", "ada"), reach.key_id in ("", "k")) == (True, True)


def test_nothing_that_viewers_may_use_changes_anything() -> None:
    reading = {"POST /cost/estimate", "POST /spend/calculate", "POST /global/spend/end_users", "POST /key/health"}
    reading |= {"POST /key/next_secret"}
    reading |= {"POST /budget/info", "POST /tag/info", "POST /organization/info"}
    for route, row in TABLE.items():
        if row.grant & (Grant.VIEWER | Grant.USER_VIEWER | Grant.TEAM_MEMBER | Grant.KEY):
            assert route.startswith("GET ") or route in reading, route


def test_a_route_without_a_row_is_nobodys() -> None:
    assert not any(caller.reach(Grant.NOBODY) for caller in CALLERS.values())


def test_a_key_without_a_team_does_not_reach_what_has_no_team() -> None:
    caller = Caller(
        key=keystore_pb2.Key(key_id="k"), team_ids=frozenset(("",)), admin_organization_ids=frozenset(("",))
    )
    assert caller.reach(Grant.TEAM_MEMBER | Grant.ORGANIZATION_ADMIN) == Reach()


@pytest.mark.parametrize(
    ("allowed", "path", "route", "holds"),
    [
        ([], "/key/info", "/key/info", True),
        (["/key/info"], "/key/info", "/key/info", True),
        (["/key/info"], "/key/list", "/key/list", False),
        (["management_routes"], "/key/info", "/key/info", True),
        (["info_routes"], "/key/info", "/key/info", True),
        (["llm_api_routes"], "/key/info", "/key/info", False),
        (["/key/*"], "/key/sk-1/regenerate", "/key/{key}/regenerate", True),
        (["/key/{key}/regenerate"], "/key/sk-1/regenerate", "/key/{key}/regenerate", True),
        (["/ke*"], "/key/info", "/key/info", False),
        (["/keys/*"], "/key/info", "/key/info", False),
        (["/v1/models"], "/models", "/models", True),
        # What is for calls is not for the admin's paths.
        (["/v1/*"], "/key/info", "/key/info", False),
        (["/v1/*"], "/v1/models", "/v1/models", True),
        (["/receipts/*"], "/v1/receipts/x", "/v1/receipts/{call_id}", True),
        (["/*"], "/key/info", "/key/info", True),
        (["*"], "/key/info", "/key/info", True),
        ([""], "/key/info", "/key/info", False),
    ],
)
def test_allowed_routes(allowed: list[str], path: str, route: str, holds: bool) -> None:
    assert allows(allowed, path, route, Row(Grant.KEY, frozenset((MANAGEMENT, INFO)))) is holds


def test_models_are_listed_to_keys_that_make_calls_only() -> None:
    assert allows([CALLS], "/v1/models", "/v1/models", TABLE["GET /v1/models"])
