"""LiteLLM's spend and activity paths of a real gateway: its shapes, sums that agree, and a key that sees its own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.fake_provider import Behaviour, FakeProvider
from tests.golden import Golden, members
from tests.stack import SHAPES, ShareGateway

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/up, api_base: "{base}", api_key: k}}
    model_info: {{id: d-up, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
  - model_name: down
    litellm_params: {{model: openai/down, api_base: "{base}", api_key: k}}
    model_info: {{id: d-down, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
router_settings: {{num_retries: 0}}
"""
CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
# Six words at two millionths, eleven tokens at one.
COST = 0.000023
MASTER = "litellm_proxy_master_key"
# Members of LiteLLM's answers that are about what there is none of here (see docs/reference/admin.md).
ABSENT = {
    "spend_keys": {
        *("soft_budget_cooldown", "total_spend", "aliases", "config", "router_settings", "agent_id", "project_id"),
        *("permissions", "max_parallel_requests", "tpm_limit", "rpm_limit", "tpd_limit", "budget_duration"),
        *("budget_reset_at", "allowed_cache_controls", "allowed_routes", "key_type", "policies", "access_group_ids"),
        *("model_spend", "model_max_budget", "budget_fallbacks", "budget_id", "organization_id"),
        *("object_permission_id", "created_by", "updated_by", "settings_updated_at", "last_active", "rotation_count"),
        *("auto_rotate", "rotation_interval", "last_rotation_at", "key_rotation_at", "budget_limits"),
        *("litellm_budget_table", "litellm_organization_table", "litellm_project_table", "object_permission"),
        "jwt_key_mappings",
    },
}


class Calls:
    """Some calls, made once: one of the master's, two of a key's with tags and a customer, one that fails."""

    def __init__(self, gateway: Any, client: httpx.AsyncClient, key: dict[str, Any]) -> None:
        self.gateway = gateway
        self.client = client
        self.key = key
        today = datetime.now(UTC).date()
        self.today = str(today)
        # A day more: midnight may come.
        self.dates = f"start_date={today - timedelta(days=1)}&end_date={today + timedelta(days=1)}"

    async def get(self, path: str, *, own: bool = False) -> Any:
        headers = {"Authorization": f"Bearer {self.key['key']}"} if own else {}
        answer = await self.client.get(path, headers=headers)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()


@pytest.fixture(scope="module", params=SHAPES)
async def calls(request, shared_stack: ShareGateway, provider_server: FakeProvider):
    """Tests only look at what came of them."""
    provider_server.forget()
    provider_server.behave("down", Behaviour(status=400, body=b'{"error": {"message": "no"}}'))
    async with (
        shared_stack(CONFIG.format(base=provider_server.base_url), shape=request.param) as gateway,
        httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client,
    ):
        asked = {"user_id": "u1", "team_id": "team-a", "key_alias": "ci", "max_budget": 5}
        made = (await client.post("/key/generate", json=asked)).json()
        own = {"Authorization": f"Bearer {made['key']}"}
        tagged = {**CHAT, "metadata": {"tags": ["red"]}, "user": "cust1"}
        for headers, body in (({}, CHAT), (own, tagged), ({**own, "x-litellm-tags": "blue"}, tagged)):
            assert (await client.post("/v1/chat/completions", json=body, headers=headers)).status_code == 200
        failed = await client.post("/v1/chat/completions", json={**tagged, "model": "down"}, headers=own)
        assert failed.status_code == 400
        async with asyncio.timeout(20):
            while len((await client.get("/spend/logs")).json()) < 4:
                await asyncio.sleep(0.05)
        yield Calls(gateway, client, made)


async def test_every_report_adds_up_to_what_was_charged(calls: Calls) -> None:
    key, today, near = calls.key["token_id"], calls.today, pytest.approx
    for own, mine in ((False, 3), (True, 2)):
        spent = near(mine * COST)

        async def get(path: str, own: bool = own) -> Any:
            return await calls.get(path, own=own)

        assert (await get("/global/spend")) == {"spend": spent, "max_budget": 5.0 if own else 0.0}
        assert (await get("/global/spend/logs")) == [{"date": today, "spend": spent}]
        assert sum(row["spend"] for row in await get("/global/spend/provider")) == spent
        assert sum(row["total_spend"] for row in await get("/global/spend/models")) == spent
        assert {row["api_key"] for row in await get("/global/spend/keys")} == ({key} if own else {key, MASTER})
        tags = {row["individual_request_tag"]: row["log_count"] for row in await get("/spend/tags")}
        assert tags == {"red": 3, "blue": 1}
        (blue, *_) = (await get("/global/spend/tags?tags=blue"))["spend_per_tag"]
        assert blue == {"name": "blue", "spend": near(COST), "log_count": 1}
        assert set((await get("/global/all_end_users"))["end_users"]) == ({"cust1"} if own else {"cust1", ""})
        teams = await get("/global/spend/teams")
        assert {row["team_id"]: row["total_spend"] for row in teams["total_spend_per_team"]} == {
            "team-a": near(2 * COST),
            **({} if own else {"Unassigned": near(COST)}),
        }
        activity = await get("/global/activity")
        assert (activity["sum_api_requests"], activity["daily_data"][0]["api_requests"]) == (mine + 1, mine + 1)
        groups = {row["model"]: row["sum_api_requests"] for row in await get("/global/activity/model")}
        assert groups == {"gpt": mine, "down": 1}
        (day,) = await get(f"/global/spend/report?{calls.dates}&group_by=customer")
        assert day["group_by_day"] == f"{today}T00:00:00+00:00"
        assert sum(row["total_spend"] for row in day["customers"]) == spent
        of_keys = await get(f"/global/spend/report?{calls.dates}&group_by=api_key")
        assert sum(row["total_cost"] for row in of_keys) == spent
        (day, *_) = await get(f"/spend/logs?{calls.dates}")
        assert (day["spend"], day[key]) == (spent, near(2 * COST))
        assert len(await get(f"/spend/logs?{calls.dates}&summarize=false")) == mine + 1


async def test_daily_activity_is_broken_down_and_paged_by_days(calls: Calls) -> None:
    key, near = calls.key["token_id"], pytest.approx
    for path, entity in (("user", "u1"), ("team", "team-a"), ("customer", "cust1"), ("tag", "red")):
        answer = await calls.get(f"/{path}/daily/activity?{calls.dates}", own=True)
        (day,) = answer["results"]
        of_entity = day["breakdown"]["entities"][entity]
        assert day["date"] == calls.today
        assert of_entity["metrics"]["spend"] == near(2 * COST)
        assert (of_entity["metrics"]["successful_requests"], of_entity["metrics"]["failed_requests"]) == (2, 1)
        assert of_entity["api_key_breakdown"][key]["metadata"] == {
            "key_alias": "ci",
            "team_id": "team-a",
            "user_id": "u1",
            "user_email": None,
            "key_exists": True,
        }
        assert set(day["breakdown"]["models"]) == {"openai/up", "openai/down"}
        assert set(day["breakdown"]["endpoints"]) == {"/chat/completions"}
    whole = await calls.get(f"/user/daily/activity?{calls.dates}")
    assert whole["metadata"]["total_spend"] == near(3 * COST)
    assert whole["metadata"]["total_api_requests"] == 4
    pages = [await calls.get(f"/user/daily/activity?{calls.dates}&page_size=1&page={page}") for page in range(1, 5)]
    assert [page["metadata"]["has_more"] for page in pages] == [True, True, False, False]
    assert [day["date"] for page in pages for day in page["results"]] == [calls.today]


async def test_the_log_is_paged_and_filtered(calls: Calls) -> None:
    for path in ("/spend/logs/v2", "/spend/logs/ui"):
        pages = [await calls.get(f"{path}?{calls.dates}&page={page}&page_size=3") for page in (1, 2, 3)]
        assert [(page["total"], page["total_pages"]) for page in pages] == [(4, 2)] * 3
        rows = [row for page in pages for row in page["data"]]
        assert [row["request_id"] for row in rows] == sorted((row["request_id"] for row in rows), reverse=True)
        assert len(rows) == 4
        for query, count in (
            ("status_filter=failure", 1),
            ("user_id=u1", 3),
            ("team_id=team-a&status_filter=success", 2),
            ("tags=blue", 1),
            (f"request_id={rows[0]['request_id']}", 1),
            ("api_key=litellm_proxy_master_key", 1),
        ):
            page = await calls.get(f"{path}?{calls.dates}&{query}")
            assert (page["total"], len(page["data"])) == (count, count), query
        own = await calls.get(f"{path}?{calls.dates}", own=True)
        assert (own["total"], {row["api_key"] for row in own["data"]}) == (3, {calls.key["token_id"]})
        for query, param in (
            ("min_spend=1", "min_spend"),
            ("tags=red,blue", "tags"),
            ("status_filter=x", "status_filter"),
        ):
            refused = await calls.client.get(f"{path}?{calls.dates}&{query}")
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("capture", "path"),
    [
        ("global_activity", "/global/activity?{dates}"),
        ("global_activity_model", "/global/activity/model?{dates}"),
        ("global_all_end_users", "/global/all_end_users"),
        ("global_spend", "/global/spend"),
        ("global_spend_dates", "/global/spend?{dates}"),
        ("global_spend_keys", "/global/spend/keys?limit=5"),
        ("global_spend_logs", "/global/spend/logs"),
        ("global_spend_models", "/global/spend/models?limit=5"),
        ("global_spend_provider", "/global/spend/provider?{dates}"),
        ("global_spend_tags", "/global/spend/tags?{dates}"),
        ("spend_keys", "/spend/keys?limit=2"),
        ("spend_tags", "/spend/tags?{dates}"),
    ],
)
async def test_lists_have_litellms_members(calls: Calls, golden: Golden, capture: str, path: str) -> None:
    answer = await calls.get(path.format(dates=calls.dates))
    assert_has(members(answer), members(golden(capture)), ABSENT.get(capture, set()))


async def test_other_answers_have_litellms_members(calls: Calls, golden: Golden) -> None:
    """Those that have names of teams, keys and models as members."""
    absent = {"session_total_count", "metadata"}
    for capture, path in (("spend_logs_v2", "/spend/logs/v2"), ("spend_logs_ui", "/spend/logs/ui")):
        ours, theirs = await calls.get(f"{path}?{calls.dates}"), golden(capture)
        assert set(ours) == set(theirs)
        assert {name for name in theirs["data"][0] if not name.startswith("session_")} - set(ours["data"][0]) == set()
    row = golden("spend_logs_reqid")[0]
    assert set(row) - set((await calls.get("/spend/logs"))[0]) - absent == set()
    for name in ("user", "team", "tag"):
        ours, theirs = await calls.get(f"/{name}/daily/activity?{calls.dates}"), golden(f"{name}_daily_activity")
        assert set(ours["metadata"]) == set(theirs["metadata"])
        (day, *_), (of_theirs, *_) = ours["results"], theirs["results"]
        assert set(day) == set(of_theirs)
        assert set(day["metrics"]) == set(of_theirs["metrics"])
        assert set(day["breakdown"]) == set(of_theirs["breakdown"])
        for part in set(day["breakdown"]) - {"mcp_servers"}:
            assert members(first(day["breakdown"][part])).keys() == members(first(of_theirs["breakdown"][part])).keys()
        model, of_their_model = first(day["breakdown"]["models"]), first(of_theirs["breakdown"]["models"])
        assert members(first(model["api_key_breakdown"])) == members(first(of_their_model["api_key_breakdown"]))
    teams, theirs = await calls.get("/global/spend/teams"), golden("global_spend_teams")
    assert set(teams) == set(theirs)
    assert members(teams["total_spend_per_team"]) == members(theirs["total_spend_per_team"])
    days = golden("spend_logs_dates")
    assert {"startTime", "spend", "users", "models"} <= set(days[0]) & set(
        first(await calls.get(f"/spend/logs?{calls.dates}"))
    )
    assert (await calls.get("/provider/budgets")) == {"providers": {}}


def first(values: Any) -> Any:
    return next(iter(values.values() if isinstance(values, dict) else values))


def assert_has(ours: Any, theirs: Any, absent: set[str]) -> None:
    """Every member of theirs is one of ours, at every depth, but for those that are absent."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, dict):
        assert set(theirs) - absent - set(ours) == set()
        for name in set(theirs) & set(ours):
            if theirs[name] not in ({}, []):
                assert_has(ours[name], theirs[name], absent)
    elif isinstance(theirs, list) and theirs:
        assert_has(ours[0], theirs[0], absent)
