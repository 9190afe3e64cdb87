"""Whatever an admin path is sent, the answer is no 500."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from gateway.v1 import keystore_pb2, ledger_pb2, router_pb2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge.admin import key_members, owner_rows
from edge.admin.access_groups import Group, GroupOfNames
from edge.admin.costs import CalculateSpend, EstimateCost
from edge.admin.key_lists import LISTED_BY
from edge.admin.keys import NameKey, NameKeys, ResetSpend, UpdateKeys
from edge.admin.team_members import AddManyMembers, AddMembers, NameMember
from services.errors import GatewayError, Reason
from tests.edge_scene import Scene

PARAMETERS = (
    *("limit", "start_date", "end_date", "user_id", "api_key", "request_id", "key", "model", "model_id", "team_ids"),
    *("tags", "group_by", "page", "page_size", "status_filter", "summarize", "sort_by", "end_user"),
    *sorted(LISTED_BY),
)
BODIES = (
    *(NameKey, NameKeys, ResetSpend, UpdateKeys, EstimateCost, CalculateSpend, Group, GroupOfNames),
    *(AddMembers, AddManyMembers, NameMember),
)
COLUMNS = (
    *(key_members.COLUMNS, owner_rows.USER_COLUMNS, owner_rows.TEAM_COLUMNS, owner_rows.CUSTOMER_COLUMNS),
    *(owner_rows.ORGANIZATION_COLUMNS, owner_rows.BUDGET_COLUMNS, owner_rows.TAG_COLUMNS),
    owner_rows.TEAM_MEMBER_COLUMNS,
)
MEMBERS = sorted(
    {name for body in BODIES for name in body.__struct_fields__}
    | {column.name for columns in COLUMNS for column in columns}
    | {*key_members.ALSO, "new_key", "grace_period", "id", "names", "user_ids", "team_ids", "organization_ids"}
    | {"members_with_roles", "teams", "organizations", "budgets", "auto_create_key", "name"}
)

# Of the routes, so that an example does not take seconds.
PARTS = 4

# What has undone other servers, beside what hypothesis thinks of.
NASTY = (
    *("", " ", "\0", "a\0b", "²", "٣", "-1", "0", "1e9", "NaN", "9" * 5000, "0x10", "../..", "%", "{}", "\ufffe"),
    *("9999-12-31", "9998-12-31", "10000-01-01", "0000-00-00", "0001-01-01", "1969-12-31", "2024-02-30"),
    *("2024-01-01", "2024-01-01 00:00:00", "2024-01-01T00:00:00+99:99", "٢٠٢٤-01-01", "sk-known", "1mo", "99999mo"),
)
values = st.sampled_from(NASTY) | st.text(max_size=20) | st.integers().map(str)
queries = st.lists(
    st.tuples(st.sampled_from(PARAMETERS) | st.text(max_size=5), values).map(lambda pair: "=".join(map(quote, pair))),
    max_size=4,
).map("&".join) | st.sampled_from(["%", "%ff=%fe", "&&==&", "limit", "limit=%C2%B2", "a=1;b=2", "start_date=%ED%A0%80"])

scalars = st.none() | st.booleans() | st.integers() | st.floats() | values
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(values, inner), max_leaves=6)
objects = st.dictionaries(st.sampled_from(MEMBERS) | values, json_values, max_size=4)
bodies = (
    objects.map(lambda body: json.dumps(body).encode())
    | json_values.map(lambda body: json.dumps(body).encode())
    | st.binary(max_size=40)
    | st.sampled_from(
        [
            b'{"key": "\\ud800"}',
            b'{"models": ["\\udfff"]}',
            b'{"metadata": {"\\ud800": 1}}',
            b'{"max_budget": 1e400}',
            b'{"max_budget": 1e308}',
            b'{"max_budget": 99999999999999999999999999999999}',
            b'{"max_budget": 9300000000}',
            b'{"max_budget": true}',
            b'{"metadata": ' + b"[" * 5000 + b"]" * 5000 + b"}",
            b'{"keys": [null]}',
            b'{"model": "m", "input_tokens": 99999999999999999999}',
            b'{"model": "m", "input_tokens": 1099511627776, "num_requests_per_month": 1099511627776}',
            b'{"model": "m", "messages": [{"content": [{"text": 5}], "role": null}]}',
            b'{"completion_response": {"model": "m", "usage": {"prompt_tokens": -1}}}',
            b"[" * 100_000,
            b"\xff\xfe{\x00}\x00",
        ]
    )
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries, body=bodies, name=values, part=st.integers(0, PARTS - 1))
@example(query="start_date=9999-12-31&end_date=9999-12-31", body=b"", name="m", part=None)
@example(query="start_date=2026-01-01&end_date=2026-02-01", body=b"", name="m", part=None)
@example(
    query="start_date=2026-01-01&end_date=2026-02-01&group_by=api_key&tags=,&page=2", body=b"", name="m", part=None
)
@example(query="limit=%C2%B2", body=b'{"max_budget": 9300000000}', name="m", part=None)
async def test_no_input_is_answered_by_a_500(
    scene: Scene, query: str, body: bytes, name: str, part: int | None
) -> None:
    """Each written example goes to every route of the real table, each other one to a part of them."""
    scene.add_key("sk-known", keystore_pb2.Key(key_id="sk-known", terms=keystore_pb2.Terms(models=["m"])))
    scene.entries = [ledger_pb2.Entry(dispatch_id=b"\xff" * 16, duration_ms=1 << 62, error_reason=999, operation=99)]
    scene.spend = [ledger_pb2.SpendRow(keys=["a", "b"], cost_nano_usd=(1 << 63) - 1)]
    failure = GatewayError(Reason.ERROR_REASON_PROVIDER_TIMEOUT, "late").to_proto()
    scene.checked = [router_pb2.DeploymentHealth(deployment_id="d", error=failure)]
    assert scene.edge is not None
    async with scene.client() as client:
        for route in scene.edge.admin_routes[part::PARTS] if part is not None else scene.edge.admin_routes:
            path = re.sub(r"\{\w+\}", quote(name, safe=""), route.path.replace("{model:path}", quote(name)))
            answer = await client.request(route.method, f"{path}?{query}", content=body)
            assert answer.status_code != 500, (route.method, path, query, body, answer.text)
