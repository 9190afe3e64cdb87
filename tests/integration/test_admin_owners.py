"""Whom calls are counted to, over HTTP, in LiteLLM's shapes, from real processes: made, changed, shown, gone, audited.

And who may do that: callers of every role, with real keys, whose users are what they are in the store.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.golden import Golden
from tests.integration.test_admin_shapes import STEPS, lacking
from tests.stack import Gateway

CONFIG = """
model_list:
  - model_name: mock
    litellm_params: {model: openai/gpt-4o-mini, mock_response: Hi.}
  - model_name: other
    litellm_params: {model: openai/gpt-4o-mini, mock_response: Hi.}
general_settings:
  litellm_key_header_name: X-Gateway-Key
litellm_settings:
  upperbound_key_generate_params: {max_parallel_requests: 50}
  default_internal_user_params: {max_budget: 3, budget_duration: 1mo}
"""


class Admin:
    """Somebody who asks: with the master key, or another."""

    def __init__(self, gateway: Gateway, key: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=gateway.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30
        )

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self._client.request(method, path, json=body, headers=headers)

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        """What is answered, which must be good."""
        answer = await self.ask("POST", path, body)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    async def refused(self, status: int, method: str, path: str, body: Any = None) -> str:
        """The parameter that is at fault."""
        answer = await self.ask(method, path, body)
        assert answer.status_code == status, (path, answer.text)
        return answer.json()["error"]["param"]


@pytest.fixture
async def gateway(stack) -> Gateway:
    return await stack(CONFIG)


@pytest.fixture
def master(gateway: Gateway) -> Admin:
    return Admin(gateway, gateway.master_key)


async def test_the_real_keystore_fills_litellms_shapes(master: Admin, golden: Golden) -> None:
    """The same walk as with a scripted one; names of models are anybody's."""
    wrong: dict[str, list[str]] = {}
    for method, path, body, name in STEPS:
        if name == "budget_delete":
            # Here a budget goes when nobody refers to it any more.
            await master.post("/customer/delete", user_ids=["cust1"])
        answer = await master.ask(method, path, body)
        if found := lacking(golden, (method, path, body, name), answer):
            wrong[name] = found
    assert wrong == {}


async def test_owners_are_made_changed_shown_and_gone(gateway: Gateway, master: Admin) -> None:
    await master.post("/budget/new", budget_id="b1", max_budget=2, budget_duration="1d", rpm_limit=9)
    user = await master.post("/user/new", user_email="Ada@b.co", user_role="internal_user")
    # From the configuration.
    assert (user["max_budget"], user["budget_duration"], user["user_email"]) == (3.0, "1mo", "Ada@b.co")
    assert user["budget_reset_at"] is not None
    ada = user["user_id"]
    assert (await Admin(gateway, user["key"]).get("/user/info"))["user_id"] == ada

    organization = await master.post("/organization/new", organization_alias="acme", max_budget=100, models=["mock"])
    team = await master.post(
        "/team/new",
        team_alias="core",
        organization_id=organization["organization_id"],
        members_with_roles=[{"role": "admin", "user_email": "ada@b.co"}],
        model_rpm_limit={"mock": 5},
        team_member_budget=0.5,
    )
    team_id = team["team_id"]
    assert [(each["user_id"], each["role"]) for each in team["members_with_roles"]] == [(ada, "admin")]
    changed = await master.post("/team/update", team_id=team_id, team_member_rpm_limit=3, max_budget=7)
    assert changed["data"]["team_member_budget"] == 0.5
    assert (changed["data"]["team_member_rpm_limit"], changed["data"]["model_rpm_limit"]) == (3, {"mock": 5})
    added = await master.post(
        "/team/member_add",
        team_id=team_id,
        member=[{"role": "user", "user_id": "bob"}, {"role": "user", "user_email": "eve@b.co"}],
        max_budget_in_team=0.25,
    )
    assert [each["litellm_budget_table"]["max_budget"] for each in added["updated_team_memberships"]] == [0.25, 0.25]
    info = await master.get(f"/team/info?team_id={team_id}")
    assert {each["user_email"] for each in info["team_info"]["members_with_roles"]} == {"Ada@b.co", None, "eve@b.co"}
    bulk = await master.post("/team/bulk_member_add", team_id=team_id, members=[{"user_id": "bob"}, {"user_id": "dan"}])
    assert (bulk["successful_additions"], bulk["failed_additions"]) == (1, 1)
    listed = await master.get(f"/user/list?team={team_id}&page_size=10")
    assert {each["user_id"] for each in listed["users"]} >= {ada, "bob", "dan"}
    await master.post("/team/model/add", team_id=team_id, models=["mock"])
    # An empty list would allow everything.
    assert await master.refused(400, "POST", "/team/model/delete", {"team_id": team_id, "models": ["mock"]}) == "models"

    await master.post("/customer/new", user_id="c1", budget_id="b1")
    assert await master.refused(400, "POST", "/budget/delete", {"id": "b1"}) == "id"
    customer = await master.get("/customer/info?end_user_id=c1")
    assert (customer["litellm_budget_table"]["max_budget"], customer["budget_id"]) == (2.0, "b1")
    blocked = await master.post("/end_user/block", user_ids=["c1", "c-new"])
    assert [each["blocked"] for each in blocked["blocked_users"]] == [True, True]
    assert await master.refused(404, "POST", "/customer/unblock", {"user_ids": ["c-none"]}) is not None

    key = await master.post("/key/generate", team_id=team_id, user_id="bob", key_alias="bobs")
    assert (await master.ask("DELETE", "/organization/delete", {"organization_ids": ["none"]})).status_code == 404
    gone = await master.ask("DELETE", "/organization/delete", {"organization_ids": [organization["organization_id"]]})
    assert gone.status_code == 200, gone.text
    # Its teams and their keys go with it.
    assert await master.refused(404, "GET", f"/team/info?team_id={team_id}") == "team_id"
    assert await master.refused(404, "GET", f"/key/info?key={key['token']}") == "key"


async def test_groups_of_models_and_aliases_say_what_a_key_may_call(gateway: Gateway, master: Admin) -> None:
    await master.post("/access_group/new", access_group="beta", model_names=["mock"])
    assert await master.refused(400, "POST", "/access_group/new", {"access_group": "mock"}) == "access_group"
    for names, allowed in (
        (["beta"], {"mock"}),
        (["beta", "other"], {"mock", "other"}),
        (["moc*"], {"mock"}),
        (["no-default-models"], set()),
        ([], {"mock", "other"}),
    ):
        key = Admin(gateway, (await master.post("/key/generate", models=names))["key"])
        assert {each["id"] for each in (await key.get("/v1/models"))["data"]} == allowed, names
    team = await master.post("/team/new", models=["other"], model_aliases={"good": "other", "bad": "mock"})
    key = Admin(
        gateway, (await master.post("/key/generate", team_id=team["team_id"], aliases={"best": "other"}))["key"]
    )
    assert {each["id"] for each in (await key.get("/models"))["data"]} == {"other", "good", "best"}
    whole = await master.get("/v1/access_group")
    assert [(each["access_group_id"], each["access_model_names"]) for each in whole] == [("beta", ["mock"])]
    assert (await master.ask("DELETE", "/v1/access_group/beta")).status_code == 204
    assert (await master.ask("GET", "/access_group/beta/info")).status_code == 404


# By whom is asked: each of a user of that name, and what the user is.
ROLES = {
    "root": "proxy_admin",
    "view": "proxy_admin_viewer",
    "org": "org_admin",
    "lead": "internal_user",
    "ada": "internal_user",
    "eve": "internal_user_viewer",
    "none": None,
}


@pytest.fixture
async def people(gateway: Gateway, master: Admin) -> dict[str, Admin]:
    """Everybody of ROLES with a key; two organisations with a team each, where `org` and `lead` are admins."""
    await master.post("/organization/new", organization_id="o1", organization_alias="acme")
    await master.post("/organization/new", organization_id="o2", organization_alias="other")
    await master.post("/team/new", team_id="t1", organization_id="o1", max_budget=10, models=["mock"])
    await master.post("/team/new", team_id="t2", organization_id="o2")
    people: dict[str, Admin] = {}
    for name, role in ROLES.items():
        body = {"user_id": name} | ({"user_role": role} if role else {})
        people[name] = Admin(gateway, (await master.post("/user/new", **body))["key"])
    await master.post("/organization/member_add", organization_id="o1", member={"role": "org_admin", "user_id": "org"})
    await master.post("/team/member_add", team_id="t1", member={"role": "admin", "user_id": "lead"})
    await master.post("/team/member_add", team_id="t1", member={"role": "user", "user_id": "ada"})
    return people


async def test_admins_do_everything_and_viewers_see_it(people: dict[str, Admin], master: Admin) -> None:
    await people["root"].post("/user/new", user_id="made-by-root", auto_create_key=False)
    assert await people["view"].refused(401, "POST", "/user/new", {"user_id": "x"}) == "None"
    assert (await people["view"].get("/key/list"))["total_count"] == len(ROLES)
    for name in ("eve", "none"):
        assert await people[name].refused(401, "POST", "/key/generate", {}) == "None"
        assert (await people[name].get("/key/list"))["total_count"] == 1
    assert await people["eve"].refused(401, "GET", "/user/info?user_id=ada") == "user_id"
    # A role that is taken away is away at once.
    await master.post("/user/update", user_id="root", user_role="internal_user")
    assert await people["root"].refused(401, "POST", "/user/new", {"user_id": "y"}) == "None"


async def test_a_user_makes_changes_and_sees_their_own(people: dict[str, Admin]) -> None:
    ada, lead = people["ada"], people["lead"]
    mine = await ada.post("/key/generate", key_alias="adas")
    assert mine["user_id"] == "ada"
    assert await ada.refused(401, "POST", "/key/generate", {"user_id": "lead"}) == "user_id"
    assert await ada.refused(401, "POST", "/key/generate", {"team_id": "t1"}) == "team_id"
    assert await ada.refused(401, "POST", "/key/generate", {"organization_id": "o2"}) == "organization_id"
    assert await ada.refused(403, "POST", "/key/update", {"key": mine["key"], "max_budget": 9}) == "None"
    assert await ada.refused(401, "POST", "/key/update", {"key": mine["key"], "user_id": None}) == "user_id"
    await ada.post("/key/update", key=mine["key"], key_alias="adas-own", rpm_limit=5)
    assert await ada.refused(401, "POST", "/key/update", {"key": mine["key"], "rpm_limit": 6}) == "rpm_limit"
    assert await ada.refused(401, "GET", "/team/info?team_id=t2") == "team_id"
    assert (await ada.get("/team/info?team_id=t1"))["keys"] == []
    assert [team["team_id"] for team in await ada.get("/team/list")] == ["t1"]
    assert await lead.refused(401, "POST", "/key/update", {"key": mine["key"], "key_alias": "x"}) == "key"
    assert await lead.refused(401, "GET", f"/key/info?key={mine['token']}") == "key"


async def test_an_admin_of_a_team_has_its_keys_and_members_within_what_it_has(
    people: dict[str, Admin], gateway: Gateway, master: Admin
) -> None:
    lead = people["lead"]
    theirs = await lead.post("/key/generate", team_id="t1", user_id="ada")
    own = set((await lead.get("/key/list"))["keys"])
    for who in (lead, master):
        listed = await who.get("/key/list?user_id=lead&include_team_keys=true")
        assert set(listed["keys"]) == own | {theirs["token"]}
    assert (await lead.get("/key/list?team_id=t1"))["keys"] == [theirs["token"]]
    assert await lead.refused(401, "GET", "/key/list?user_id=ada") == "user_id"
    await lead.post("/key/block", key=theirs["key"])
    assert await people["ada"].refused(401, "POST", "/key/unblock", {"key": theirs["key"]}) == "None"
    await lead.post("/team/member_add", team_id="t1", member={"user_id": "new"}, max_budget_in_team=1)
    assert await lead.refused(401, "POST", "/team/member_add", {"team_id": "t2", "member": {"user_id": "x"}})
    assert await lead.refused(401, "POST", "/team/update", {"team_id": "t1", "max_budget": 11}) == "max_budget"
    assert await lead.refused(401, "POST", "/team/update", {"team_id": "t1", "models": []}) == "models"
    await lead.post("/team/update", team_id="t1", max_budget=9)
    # A key for somebody who may do everything makes calls, and does nothing else.
    roots = Admin(gateway, (await lead.post("/key/generate", team_id="t1", user_id="root"))["key"])
    assert (await roots.ask("POST", "/user/new", {"user_id": "x"})).status_code == 403
    assert {each["id"] for each in (await roots.get("/v1/models"))["data"]} == {"mock"}


async def test_an_admin_of_an_organisation_has_its_teams_and_no_others(people: dict[str, Admin]) -> None:
    org = people["org"]
    await org.post("/team/update", team_id="t1", max_budget=12)
    await org.post("/team/new", team_id="t3", organization_id="o1")
    assert await org.refused(401, "POST", "/team/new", {"team_id": "t4"}) == "organization_id"
    assert await org.refused(401, "POST", "/team/new", {"organization_id": "o2"}) == "organization_id"
    moved = {"team_id": "t1", "organization_id": None}
    assert await org.refused(401, "POST", "/team/update", moved) == "organization_id"
    assert await org.refused(401, "GET", "/team/info?team_id=t2") == "team_id"
    theirs = await people["lead"].post("/key/generate", team_id="t1", user_id="ada")
    assert (await org.get(f"/key/info?key={theirs['token']}"))["info"]["team_id"] == "t1"
    assert [each["organization_id"] for each in await org.get("/organization/list")] == ["o1"]
    assert await org.refused(401, "POST", "/user/new", {"user_role": "proxy_admin"}) == "user_role"
    made = {"user_id": "hired", "user_role": "internal_user", "organizations": ["o1"], "auto_create_key": False}
    await org.post("/user/new", **made)
    assert (await org.get("/user/info?user_id=hired"))["user_id"] == "hired"


async def test_every_change_is_in_the_audit_log_with_who_made_it(gateway: Gateway, master: Admin) -> None:
    root = await master.post("/user/new", user_id="root", user_role="proxy_admin")
    admin = Admin(gateway, root["key"])
    await admin.ask("POST", "/tag/new", {"name": "t"}, **{"litellm-changed-by": "the-boss"})
    await admin.post("/tag/update", name="t", max_budget=5)
    ada = await master.post("/user/new", user_id="ada", user_role="internal_user")
    answer = await Admin(gateway, ada["key"]).ask("POST", "/key/generate", {}, **{"litellm-changed-by": "the-boss"})
    assert answer.status_code == 200
    tags = await master.get("/audit?table_name=LiteLLM_TagTable")
    assert [(line["action"], line["changed_by"]) for line in tags["audit_logs"]] == [
        ("updated", "root"),
        ("created", "the-boss"),
    ]
    first = tags["audit_logs"][1]
    assert (first["before_value"], first["object_id"]) == (None, "t")
    assert await master.get(f"/audit/{first['id']}") == first
    everything = await master.get("/audit?page_size=2&page=2")
    assert (len(everything["audit_logs"]), everything["page"]) == (2, 2)
    keys = await master.get("/audit?table_name=LiteLLM_VerificationToken&changed_by=ada")
    assert (keys["total"], keys["total_is_capped"]) == (1, False)
    text = str(await master.get("/audit?page_size=100"))
    assert not any(secret in text for secret in (root["key"], ada["key"], answer.json()["key"]))
    assert (await admin.ask("GET", "/audit/999999999")).status_code == 404


async def test_keys_with_all_that_is_acted_on_are_kept_and_shown(gateway: Gateway, master: Admin) -> None:
    body: dict[str, Any] = {
        "budget_duration": "7d",
        "soft_budget": 1.5,
        "max_budget": 2.5,
        "budget_limits": [{"budget_duration": "1d", "max_budget": 1.0}],
        "model_max_budget": {"mock": {"budget_limit": 0.5, "time_period": "1d"}},
        "model_rpm_limit": {"mock": 5},
        "model_tpm_limit": {"mock": 500},
        "tags": ["a"],
        "aliases": {"best": "mock"},
        "rotation_interval": "30d",
        "temp_budget_increase": 1.0,
        "temp_budget_expiry": "2100-01-01T00:00:00+00:00",
        "metadata": {"x": 1, "tags": ["b"]},
    }
    made = await master.post("/key/generate", **body, auto_rotate=True, key_type="llm_api")
    shown = {**body, "tags": ["a", "b"], "allowed_routes": ["llm_api_routes"], "key_type": "llm_api"}
    # From the upper bounds.
    shown["max_parallel_requests"] = 50
    assert {name: made[name] for name in shown} == shown
    info = (await master.get(f"/key/info?key={made['token']}"))["info"]
    assert {name: info[name] for name in shown} == shown
    assert (info["auto_rotate"], info["key_rotation_at"] is not None, info["created_by"]) == (True, True, "master")
    assert info["budget_reset_at"] is not None
    changed = await master.post("/key/update", key=made["key"], model_rpm_limit={"other": 7}, auto_rotate=False)
    assert (changed["model_rpm_limit"], changed["model_tpm_limit"]) == ({"other": 7}, {"mock": 500})
    assert (changed["auto_rotate"], changed["model_max_budget"]) == (False, body["model_max_budget"])
    above = {"key": made["key"], "max_parallel_requests": 51}
    assert await master.refused(400, "POST", "/key/update", above) == "max_parallel_requests"
    # It makes calls, and may ask nothing else.
    key = Admin(gateway, made["key"])
    assert (await key.ask("GET", "/key/info")).status_code == 403
    assert (await key.get("/v1/models"))["object"] == "list"
    grown = await master.post(f"/key/{made['token']}/regenerate", grace_period="1h")
    assert (await Admin(gateway, grown["key"]).ask("GET", "/v1/models")).status_code == 200
    assert (await key.ask("GET", "/v1/models")).status_code == 200, "the old one is good for an hour"
    assert (await key.ask("POST", "/key/next_secret")).status_code == 404, "an admin's new one is told to nobody"
    reset = await master.post(f"/key/{made['token_id']}/reset_spend", reset_to=0)
    assert (reset["spend"], reset["max_budget"]) == (0.0, 2.5)


async def test_every_header_carries_a_key(gateway: Gateway, master: Admin) -> None:
    secret = (await master.post("/key/generate"))["key"]
    carriers = {
        "X-Gateway-Key": secret,
        "Authorization": f"Bearer {secret}",
        "x-api-key": secret,
        "api-key": secret,
        "x-goog-api-key": secret,
        "x-litellm-api-key": f"Bearer {secret}",
        "Ocp-Apim-Subscription-Key": secret,
        "Sec-WebSocket-Protocol": f"realtime, openai-insecure-api-key.{secret}",
    }
    async with httpx.AsyncClient(base_url=gateway.base_url, timeout=20) as client:
        for name, value in carriers.items():
            for path, body in (("/v1/models", None), ("/v1/chat/completions", CHAT)):
                answer = await client.request("POST" if body else "GET", path, json=body, headers={name: value})
                assert answer.status_code == 200, (name, answer.text)
        both = {"Authorization": "Bearer sk-for-somebody-else", "X-Gateway-Key": secret}
        assert (await client.get("/v1/models", headers=both)).status_code == 200


CHAT = {"model": "mock", "messages": [{"role": "user", "content": "hi"}]}
