"""Budgets and limits of everybody whom a call is counted to, over two edges and two keystores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.stack import Gateway, ShareGateway

# A call comes to 10 tokens in and 20 out: $0.02001. The least useful one, of 16 tokens out, is held at $0.0162 or so.
CONFIG = """
model_list:
  - model_name: gpt
    litellm_params:
      {model: openai/x, mock_response: Hi., input_cost_per_token: 0.000001, output_cost_per_token: 0.001}
    model_info: {access_groups: [small]}
  - model_name: other
    litellm_params: {model: openai/y, mock_response: Hi., input_cost_per_token: 0.000001, output_cost_per_token: 0.001}
general_settings: {default_team_settings: {rpm_limit: 50}}
litellm_settings: {timezone: Europe/Berlin}
"""
COST_USD = 0.02001
# Pays for two calls, and not for a third.
TWO_CALLS_USD = 0.05

Made = dict[str, Any]
Make = Callable[["Admin"], Awaitable[Made]]


class Admin:
    """Asks one edge to change things, and both in turn to call."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._clients = [
            httpx.AsyncClient(base_url=gateway.url(edge), headers=gateway.headers, timeout=20)
            for edge in ("edge", "edge-2")
        ]
        self._calls = 0

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self._clients[0].post(path, json=body)
        assert answer.status_code == 200, (path, answer.text)
        made: dict[str, Any] = answer.json()
        return made

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        answer = await self._clients[1].get(path, params=query)
        assert answer.status_code == 200, (path, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    async def key(self, **members: Any) -> str:
        return str((await self.post("/key/generate", **members))["key"])

    async def call(self, key: str, **members: Any) -> httpx.Response:
        self._calls += 1
        return await self._clients[self._calls % 2].post(
            "/v1/chat/completions",
            json={"model": "gpt", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20, **members},
            headers={"Authorization": f"Bearer {key}"},
        )

    async def settled(self, path: str, where: str, **query: str) -> float:
        """What is spent, once nothing is held any more."""
        for _ in range(100):
            found = (await self.get(path, **query))[where]
            if not found["held"]:
                return float(found["spend"])
            await asyncio.sleep(0.05)
        raise AssertionError("money stays held")

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


@pytest.fixture(scope="module")
async def gateway(shared_stack: ShareGateway) -> AsyncIterator[Gateway]:
    async with shared_stack(CONFIG, shape="split", edges=2, keystores=2) as gateway:
        yield gateway


@pytest.fixture
async def admin(gateway: Gateway) -> AsyncIterator[Admin]:
    admin = Admin(gateway)
    yield admin
    await admin.close()


async def within_a_minute(seconds: float) -> None:
    """Returns when so much is left of the minute of the clock, which limits count by."""
    left = 60 - time.time() % 60
    if left < seconds:
        await asyncio.sleep(left + 0.1)


def new_id(kind: str) -> str:
    return f"{kind}/{uuid4().hex[:8]} é"


async def of_team(admin: Admin, **terms: Any) -> Made:
    team_id = new_id("team")
    await admin.post("/team/new", team_id=team_id, **terms)
    return {"key": await admin.key(team_id=team_id), "name": f"Team={team_id}"}


async def of_user(admin: Admin, **terms: Any) -> Made:
    user_id = new_id("user")
    await admin.post("/user/new", user_id=user_id, auto_create_key=False, **terms)
    return {"key": await admin.key(user_id=user_id), "name": f"User={user_id}"}


async def of_member(admin: Admin, **terms: Any) -> Made:
    team_id, user_id = new_id("team"), new_id("user")
    await admin.post("/team/new", team_id=team_id)
    budget = {"max_budget_in_team": terms.pop("max_budget")} if "max_budget" in terms else {}
    await admin.post(
        "/team/member_add", team_id=team_id, member={"role": "user", "user_id": user_id}, **budget, **terms
    )
    return {"key": await admin.key(team_id=team_id, user_id=user_id), "name": f"TeamMember={user_id}:{team_id}"}


async def of_customer(admin: Admin, **terms: Any) -> Made:
    customer_id = new_id("customer")
    await admin.post("/customer/new", user_id=customer_id, **terms)
    return {"key": await admin.key(), "name": f"End User={customer_id}", "call": {"user": customer_id}}


async def of_organization(admin: Admin, **terms: Any) -> Made:
    made = await admin.post("/organization/new", organization_alias=new_id("organization"), **terms)
    team_id, organization_id = new_id("team"), made["organization_id"]
    await admin.post("/team/new", team_id=team_id, organization_id=organization_id)
    return {"key": await admin.key(team_id=team_id), "name": f"Organization={organization_id}"}


async def of_tag(admin: Admin, **terms: Any) -> Made:
    tag = new_id("tag")
    await admin.post("/tag/new", name=tag, **terms)
    return {"key": await admin.key(), "name": f"Tag={tag}", "call": {"metadata": {"tags": [tag, tag]}}}


async def of_shared_budget(admin: Admin, **terms: Any) -> Made:
    budget_id = new_id("budget")
    await admin.post("/budget/new", budget_id=budget_id, **terms)
    # Each that refers to it is counted by itself.
    other = await admin.key(budget_id=budget_id)
    assert (await admin.call(other)).status_code == 200
    return {"key": await admin.key(budget_id=budget_id), "name": "Key=key (sk-..."}


EVERYBODY = [of_team, of_user, of_member, of_customer, of_organization, of_tag, of_shared_budget]


@pytest.mark.parametrize("make", EVERYBODY, ids=lambda make: make.__name__)
async def test_a_budget_pays_for_what_it_can_and_its_owner_is_named(admin: Admin, make: Any) -> None:
    made = await make(admin, max_budget=TWO_CALLS_USD)
    call = made.get("call", {})
    assert [(await admin.call(made["key"], **call)).status_code for _ in range(2)] == [200, 200]
    refused = await admin.call(made["key"], **call)
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert error["type"] == "budget_exceeded"
    assert made["name"] in error["message"]


@pytest.mark.parametrize("make", EVERYBODY, ids=lambda make: make.__name__)
async def test_calls_at_once_never_pass_the_budget_of_any_of_theirs(admin: Admin, make: Any) -> None:
    made = await make(admin, max_budget=0.25)
    answers = await asyncio.gather(*(admin.call(made["key"], **made.get("call", {})) for _ in range(30)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 422}
    assert statuses.count(200) <= 12
    assert statuses.count(200) >= 11


async def test_team_user_and_key_are_held_together_or_not_at_all(admin: Admin) -> None:
    team_id, user_id = new_id("team"), new_id("user")
    await admin.post("/team/new", team_id=team_id, max_budget=0.5)
    await admin.post("/team/member_add", team_id=team_id, member={"role": "user", "user_id": user_id})
    keys = [await admin.key(team_id=team_id, user_id=user_id, max_budget=cap) for cap in (0.1, 0.3, 0.3)]
    answers = await asyncio.gather(*(admin.call(key) for key in keys * 20))
    assert {answer.status_code for answer in answers} == {200, 422}
    spent = [await admin.settled("/key/info", "info", key=key) for key in keys]
    assert all(each <= cap for each, cap in zip(spent, (0.1, 0.3, 0.3), strict=True))
    assert sum(spent) <= 0.5
    assert sum(spent) >= 0.5 - 0.02
    team = (await admin.get("/team/info", team_id=team_id))["team_info"]
    assert team["spend"] == pytest.approx(sum(spent), abs=1e-9)


async def test_a_budget_of_a_period_begins_anew_with_it(admin: Admin) -> None:
    made = await of_team(admin, max_budget=TWO_CALLS_USD, budget_duration="3s")
    for _ in range(2):
        # A second of each period is left for its calls.
        await asyncio.sleep(3 - time.time() % 3 + 0.1)
        assert [(await admin.call(made["key"])).status_code for _ in range(3)] == [200, 200, 422]


async def test_a_key_has_budgets_of_several_periods_and_of_single_models(admin: Admin) -> None:
    windows = [{"max_budget": 1, "budget_duration": "1mo"}, {"max_budget": TWO_CALLS_USD, "budget_duration": "1d"}]
    key = await admin.key(budget_limits=windows)
    assert [(await admin.call(key)).status_code for _ in range(3)] == [200, 200, 422]
    key = await admin.key(model_max_budget={"gpt": {"budget_limit": TWO_CALLS_USD, "time_period": "1d"}})
    assert [(await admin.call(key)).status_code for _ in range(3)] == [200, 200, 422]
    assert (await admin.call(key, model="other")).status_code == 200


async def test_spend_that_is_reset_and_a_budget_that_is_raised_for_a_while_let_calls_pass(admin: Admin) -> None:
    key = await admin.key(max_budget=TWO_CALLS_USD)
    assert [(await admin.call(key)).status_code for _ in range(3)] == [200, 200, 422]
    await admin.settled("/key/info", "info", key=key)
    await admin.post(f"/key/{key}/reset_spend", reset_to=0.02)
    assert await admin.settled("/key/info", "info", key=key) == pytest.approx(0.02)
    assert [(await admin.call(key)).status_code for _ in range(2)] == [200, 422]
    in_an_hour = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    await admin.post("/key/update", key=key, temp_budget_increase=0.02, temp_budget_expiry=in_an_hour)
    assert [(await admin.call(key)).status_code for _ in range(2)] == [200, 422]
    gone = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    await admin.post("/key/update", key=key, max_budget=0.08, temp_budget_increase=9, temp_budget_expiry=gone)
    assert [(await admin.call(key)).status_code for _ in range(2)] == [200, 422]


@pytest.mark.parametrize("make", [of_team, of_user, of_customer, of_organization], ids=lambda make: make.__name__)
async def test_requests_a_minute_of_each_are_exact_over_edges_and_keystores(admin: Admin, make: Any) -> None:
    made = await make(admin, rpm_limit=5)
    await within_a_minute(5)
    answers = await asyncio.gather(*(admin.call(made["key"], **made.get("call", {})) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 15
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.json()["error"]["type"] == "throttling_error"


@pytest.mark.parametrize(
    ("make", "scope"),
    [(of_team, "team"), (of_user, "user"), (of_customer, "end_user"), (of_organization, "organization")],
)
@pytest.mark.parametrize(
    ("limit", "kind"),
    [
        ("rpm_limit", "requests"),
        ("tpm_limit", "tokens"),
        ("max_parallel_requests", "max_parallel_requests"),
    ],
)
async def test_a_limit_of_nothing_lets_nothing_pass_and_the_headers_say_whose_it_is(
    admin: Admin, make: Any, scope: str, limit: str, kind: str
) -> None:
    made = await make(admin, **{limit: 0})
    refused = await admin.call(made["key"], **made.get("call", {}))
    assert refused.status_code == 429
    assert refused.headers["rate_limit_type"] == kind
    assert refused.headers[f"x-ratelimit-{scope}-limit-{kind}"] == "0"
    assert refused.headers[f"x-ratelimit-{scope}-remaining-{kind}"] == "0"


async def test_tokens_of_a_team_are_estimated_and_trued_up(admin: Admin) -> None:
    made = await of_team(admin, tpm_limit=100)
    await within_a_minute(5)
    statuses = []
    for _ in range(4):
        statuses.append((await admin.call(made["key"])).status_code)
        # Each is estimated at 38 or so, and comes to 30.
        await asyncio.sleep(0.5)
    assert statuses == [200, 200, 200, 429]


async def test_a_model_of_a_key_has_limits_of_its_own(admin: Admin) -> None:
    key = await admin.key(model_rpm_limit={"gpt": 2}, model_tpm_limit={"other": 1_000_000})
    await within_a_minute(5)
    assert [(await admin.call(key)).status_code for _ in range(3)] == [200, 200, 429]
    refused = await admin.call(key)
    assert "model_per_key" in refused.json()["error"]["message"]
    assert key not in refused.text
    assert (await admin.call(key, model="other")).status_code == 200


async def test_teams_without_limits_have_those_of_the_configuration(admin: Admin) -> None:
    made = await of_team(admin)
    await within_a_minute(8)
    answers = await asyncio.gather(*(admin.call(made["key"]) for _ in range(60)))
    assert sorted(answer.status_code for answer in answers) == [200] * 50 + [429] * 10


async def test_models_are_those_of_the_key_and_of_its_team_by_name_pattern_or_group(admin: Admin) -> None:
    team_id = new_id("team")
    await admin.post("/team/new", team_id=team_id, models=["small"])
    free, narrow = await admin.key(team_id=team_id), await admin.key(team_id=team_id, models=["oth*"])
    assert (await admin.call(free)).status_code == 200
    denied = await admin.call(free, model="other")
    assert (denied.status_code, denied.json()["error"]["type"]) == (403, "team_model_access_denied")
    denied = await admin.call(narrow)
    assert (denied.status_code, denied.json()["error"]["type"]) == (403, "key_model_access_denied")
    await admin.post("/team/update", team_id=team_id, models=["all-proxy-models"])
    assert (await admin.call(narrow, model="other")).status_code == 200


async def test_an_alias_stands_for_a_model_of_the_key(admin: Admin) -> None:
    key = await admin.key(aliases={"best": "gpt"}, models=["gpt"], max_budget=TWO_CALLS_USD)
    assert [(await admin.call(key, model="best")).status_code for _ in range(3)] == [200, 200, 422]


@pytest.mark.parametrize(
    ("make", "path", "name"), [(of_team, "team", "team_id"), (of_customer, "customer", "user_ids")]
)
async def test_who_is_blocked_is_refused_at_once_on_every_edge(admin: Admin, make: Any, path: str, name: str) -> None:
    made = await make(admin)
    named = made["name"].partition("=")[2]
    call, who = made.get("call", {}), {name: named if name == "team_id" else [named]}
    for _ in range(5):
        assert (await admin.call(made["key"], **call)).status_code == 200
        await admin.post(f"/{path}/block", **who)
        assert {(await admin.call(made["key"], **call)).status_code for _ in range(2)} == {401}
        await admin.post(f"/{path}/unblock", **who)
