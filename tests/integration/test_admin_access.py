"""The table of access holds over HTTP, and nobody gives away more than the key that asks has: the edge's half, over
scripted neighbours."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
import structlog
from gateway.v1 import keystore_pb2 as k
from starlette.applications import Starlette
from starlette.routing import Route

from edge.admin.access import TABLE, Grant
from edge.admin.caller import Caller, Callers
from edge.admin.endpoint import AdminEndpoint, AdminRequest, AdminRoute
from edge.admin.teams import MAX_KEYS
from edge.auth import Authenticator
from services.inprocess import InProcessChannel
from tests.edge_scene import MASTER_KEY, Scene
from tests.scripted_keystore import Kept, keys_of

OWN = k.Terms(models=["m", "gpt*"], max_budget_nano_usd=5_000_000_000, budget_duration="30d", rpm_limit=10)
STANDINGS: dict[str, dict[str, Any]] = {
    "proxy_admin": {"role": "proxy_admin"},
    "viewer": {"role": "proxy_admin_viewer"},
    "org": {"role": "org_admin", "organization_ids": ["o1"], "admin_organization_ids": ["o1"]},
    "lead": {"role": "internal_user", "team_ids": ["t1"], "admin_team_ids": ["t1"], "organization_ids": ["o2"]},
    "user": {"role": "internal_user", "team_ids": ["t1"], "organization_ids": ["o1"]},
    "user_viewer": {"role": "internal_user_viewer"},
    "plain": {},
}


def populate(scene: Scene) -> None:
    """A key of each standing, of a user of that name; two teams in two organisations."""
    for name, standing in STANDINGS.items():
        user_id = "" if name == "plain" else name
        scene.kept.add(f"sk-{name}", k.Key(key_id=f"id-{name}", user_id=user_id, terms=OWN), **standing)
    for number in "12":
        for kind, owner_id, organization in (
            (k.OWNER_KIND_ORGANIZATION, f"o{number}", ""),
            (k.OWNER_KIND_TEAM, f"t{number}", f"o{number}"),
        ):
            scene.kept.owners[kind, owner_id] = k.Owner(kind=kind, id=owner_id, organization_id=organization)


def test_every_route_of_the_app_has_a_row_and_every_row_a_route(scene: Scene) -> None:
    assert scene.edge is not None
    names = [route.name for route in scene.edge.admin_routes]
    assert len(names) == len(set(names))
    assert set(names) == set(TABLE)


async def test_each_key_is_let_in_where_the_table_says_and_nowhere_else(scene: Scene) -> None:
    populate(scene)
    assert scene.edge is not None
    for name, standing in STANDINGS.items():
        caller = Caller(
            key=scene.keys[f"id-{name}"],
            role=standing.get("role", ""),
            **{member: frozenset(ids) for member, ids in standing.items() if member != "role"},
        )
        async with scene.client(f"sk-{name}") as client:
            for route in scene.edge.admin_routes:
                scene.kept.told.clear()
                row = TABLE[route.name]
                path = re.sub(r"\{[\w:]+\}", "x", route.path)
                # A body that nothing can be made of: what is let in stops at it, or reads.
                answer = await client.request(route.method, path, content=b"[]")
                is_out = answer.status_code == 401 and "Only proxy admin" in answer.text
                may = bool(caller.reach(row.grant)) or Grant.ANYBODY in row.grant
                assert is_out != may, (name, route.name, answer.text)
                assert not is_out or scene.kept.told == []


async def test_a_route_without_a_row_is_closed_to_the_master_key_too(scene: Scene) -> None:
    async def handler(_: AdminRequest) -> object:
        raise AssertionError("nobody gets here")

    log = structlog.get_logger()
    channel = InProcessChannel(keys_of(Kept()), log)
    route = AdminRoute("GET", "/new/route", handler)
    endpoint = AdminEndpoint(route, Authenticator(MASTER_KEY), Callers(channel), log)
    app = Starlette(routes=[Route(route.path, endpoint, methods=["GET"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://edge") as client:
        answer = await client.get(route.path, headers={"Authorization": f"Bearer {MASTER_KEY}"})
    assert answer.status_code == 401
    await channel.close()


async def test_allowed_routes_of_a_key_hold_for_admin_routes_whatever_its_role(scene: Scene) -> None:
    cases = {
        ("info_routes",): {"/key/info": 200, "/key/generate": 403, "/v1/models": 200, "/user/list": 200},
        ("management_routes",): {"/key/info": 200, "/key/generate": 200, "/v1/models": 403, "/user/list": 200},
        ("llm_api_routes",): {"/key/info": 403, "/key/generate": 403, "/v1/models": 200, "/user/list": 403},
        ("/key/*",): {"/key/info": 200, "/key/generate": 200, "/v1/models": 403, "/user/list": 403},
    }
    for allowed, expected in cases.items():
        scene.kept.add("sk-admin", k.Key(key_id="id-admin", allowed_routes=allowed), role="proxy_admin")
        async with scene.client("sk-admin") as client:
            for path, status in expected.items():
                method = "POST" if path == "/key/generate" else "GET"
                answer = await client.request(method, path, json={} if method == "POST" else None)
                assert answer.status_code == status, (allowed, path, answer.text)


async def made_by(scene: Scene, name: str, body: dict[str, Any]) -> tuple[httpx.Response, k.CreateKeyRequest | None]:
    """What is answered to somebody who makes a key, and what the keystore was told."""
    scene.kept.told.clear()
    async with scene.client(f"sk-{name}") as client:
        answer = await client.post("/key/generate", json=body)
    told = [each for each in scene.kept.told if isinstance(each, k.CreateKeyRequest)]
    return answer, told[0] if told else None


@pytest.mark.parametrize(
    ("name", "body", "param"),
    [
        ("user", {"models": ["other"]}, "models"),
        ("user", {"models": ["*"]}, "models"),
        ("user", {"models": ["all-proxy-models"]}, "models"),
        ("user", {"models": ["all-team-models"]}, "models"),
        # Of these two groups one is the store's, and one the catalog's too; both stand for more than `gpt*`.
        ("user", {"models": ["gpt-of-catalog"]}, "models"),
        ("user", {"models": ["gpt-owned"]}, "models"),
        ("user", {"aliases": {"m": "other"}}, "aliases"),
        ("user", {"max_budget": 5.000000001}, "max_budget"),
        ("user", {"max_budget": 5, "budget_duration": "1d"}, "max_budget"),
        ("user", {"rpm_limit": 11}, "rpm_limit"),
        ("user", {"budget_id": "b1"}, "budget_id"),
        ("user", {"shadow": True}, "shadow"),
        ("user", {"temp_budget_increase": 1, "temp_budget_expiry": "2100-01-01T00:00:00Z"}, "temp_budget_increase"),
        ("user", {"user_id": "lead"}, "user_id"),
        ("user", {"team_id": "t1"}, "team_id"),
        ("user", {"team_id": "t2"}, "team_id"),
        ("user", {"organization_id": "o2"}, "organization_id"),
        ("lead", {"team_id": "t2"}, "team_id"),
        ("lead", {"team_id": "t1", "organization_id": "o2"}, "organization_id"),
        ("lead", {"team_id": "t1", "rpm_limit": 11}, "rpm_limit"),
        ("lead", {"user_id": "user"}, "user_id"),
        ("org", {"team_id": "t2"}, "team_id"),
        ("org", {"organization_id": "o1", "rpm_limit": 11}, "rpm_limit"),
    ],
)
async def test_a_key_makes_none_that_may_do_more(scene: Scene, name: str, body: dict[str, Any], param: str) -> None:
    populate(scene)
    groups = {"gpt-owned": ["other"], "gpt-of-catalog": ["m"]}
    for name_of_group, models in groups.items():
        group = k.Owner(kind=k.OWNER_KIND_ACCESS_GROUP, id=name_of_group, terms=k.Terms(models=models))
        scene.kept.owners[group.kind, group.id] = group
    answer, told = await made_by(scene, name, body)
    assert (answer.status_code, told) == (401, None), answer.text
    assert answer.json()["error"]["param"] == param


async def test_of_a_user_an_admin_of_one_of_their_organisations_sees_what_is_of_it(scene: Scene) -> None:
    populate(scene)
    for kind, place, ids in (
        (k.OWNER_KIND_USER, "", {"": "both"}),
        (k.OWNER_KIND_ORGANIZATION_MEMBER, "organization_id", {"o1/both": "o1"}),
        (k.OWNER_KIND_TEAM_MEMBER, "team_id", {"t1/both": "t1", "t2/both": "t2"}),
    ):
        for owner_id, named in ids.items():
            owner = k.Owner(kind=kind, id=owner_id or named, user_id="both" if place else "")
            if place:
                setattr(owner, place, named)
            scene.kept.owners[kind, owner.id] = owner
    for number in "12":
        scene.kept.add(f"sk-both{number}", k.Key(key_id=f"id-both{number}", user_id="both", team_id=f"t{number}"))
    async with scene.client("sk-org") as client:
        info = (await client.get("/user/info?user_id=both")).json()
        alone = (await client.get("/v2/user/info?user_id=both")).json()
    assert [team["team_id"] for team in info["teams"]] == ["t1"]
    assert [key["team_id"] for key in info["keys"]] == ["t1"]
    assert info["user_info"]["teams"] == alone["teams"] == ["t1"]
    async with scene.client() as client:
        info = (await client.get("/user/info?user_id=both")).json()
    assert {team["team_id"] for team in info["teams"]} == {"t1", "t2"}


async def test_a_member_of_a_team_sees_their_own_of_its_keys(scene: Scene) -> None:
    populate(scene)
    # More than a team's info shows, all newer than the member's own.
    scene.kept.add("sk-of-user", k.Key(key_id="own", user_id="user", team_id="t1", token="own"))
    for number in range(MAX_KEYS):
        scene.kept.add(f"sk-{number}", k.Key(key_id=f"n{number}", user_id="lead", team_id="t1", token=f"n{number}"))
    seen = {}
    for name in ("user", "lead"):
        async with scene.client(f"sk-{name}") as client:
            seen[name] = [key["token"] for key in (await client.get("/team/info?team_id=t1")).json()["keys"]]
    assert (seen["user"], len(seen["lead"])) == (["own"], MAX_KEYS)


async def models_of(scene: Scene, key: str = MASTER_KEY) -> list[dict[str, Any]]:
    async with scene.client(key) as client:
        return (await client.get("/v1/models")).json()["data"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("user", {}),
        ("user", {"models": ["gpt-4*"], "max_budget": 1, "budget_duration": "30d", "rpm_limit": 10}),
        ("user", {"organization_id": "o1"}),
        ("lead", {"team_id": "t1", "user_id": "anybody"}),
        ("lead", {}),
        ("org", {"team_id": "t1", "user_id": "anybody"}),
        ("org", {"organization_id": "o1", "user_id": "anybody"}),
    ],
)
async def test_what_is_not_asked_for_is_as_the_key_that_asks_has_it(
    scene: Scene, name: str, body: dict[str, Any]
) -> None:
    populate(scene)
    answer, told = await made_by(scene, name, body)
    assert told is not None, answer.text
    assert told.changed_by == name
    terms = told.key.terms
    assert list(terms.models) == body.get("models", ["m", "gpt*"])
    assert 0 < terms.max_budget_nano_usd <= OWN.max_budget_nano_usd
    assert (terms.budget_duration, terms.rpm_limit) == ("30d", 10)
    # Who makes a key for oneself need not say so.
    assert told.key.user_id == body.get("user_id", "user" if name == "user" else told.key.user_id)


async def test_a_team_key_makes_keys_of_its_team_only_and_one_that_ends_none_that_lasts(scene: Scene) -> None:
    populate(scene)
    own = k.Key(key_id="id-t", user_id="user", team_id="t1", expires_ms=4_000_000_000_000)
    scene.kept.add("sk-team", own, **STANDINGS["user"])
    answer, _ = await made_by(scene, "team", {})
    assert answer.json()["error"]["param"] == "team_id"
    scene.kept.add(
        "sk-personal", k.Key(key_id="id-p", user_id="user", expires_ms=4_000_000_000_000), role="internal_user"
    )
    answer, told = await made_by(scene, "personal", {})
    assert told is not None, answer.text
    assert told.duration_seconds > 0
    answer, _ = await made_by(scene, "personal", {"duration": "99mo"})
    assert answer.status_code == 200, "2034 is before the end of the key that asks"
    answer, _ = await made_by(scene, "personal", {"duration": "900mo"})
    assert answer.json()["error"]["param"] == "duration"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"key_alias": "mine"}, 200),
        ({"models": ["m"]}, 200),
        ({"rpm_limit": 5}, 200),
        ({"rpm_limit": None}, 401),
        ({"rpm_limit": 8}, 401),
        ({"models": None}, 401),
        ({"duration": None}, 401),
        ({"tags": []}, 401),
        ({"allowed_routes": []}, 401),
        ({"team_id": "t1"}, 401),
        ({"user_id": "lead"}, 401),
        # Whose budgets it counts against.
        ({"user_id": None}, 401),
        ({"organization_id": None}, 401),
        ({"max_budget": 1}, 403),
        ({"blocked": False}, 403),
        ({"budget_id": None}, 403),
    ],
)
async def test_a_user_takes_nothing_away_that_bounds_their_key(scene: Scene, body: dict[str, Any], status: int) -> None:
    """The key that is changed has less than the one that asks."""
    populate(scene)
    scene.kept.add("sk-user", k.Key(key_id="id-user", user_id="user"), **STANDINGS["user"])
    small = k.Key(
        key_id="id-small",
        user_id="user",
        organization_id="o1",
        terms=k.Terms(models=["m"], rpm_limit=7),
        expires_ms=4_000_000_000_000,
        tags=["x"],
        allowed_routes=["/key/*"],
    )
    scene.kept.add("sk-small", small, **STANDINGS["user"])
    scene.kept.told.clear()
    async with scene.client("sk-user") as client:
        for path, extra in (("/key/update", {"key": "sk-small"}), ("/key/sk-small/regenerate", {})):
            answer = await client.post(path, json={**body, **extra})
            assert answer.status_code == status, (path, answer.text)
    assert bool(scene.kept.told) == (status == 200)


@pytest.mark.parametrize(
    ("name", "place"), [("lead", {"team_id": "t1"}), ("org", {"team_id": "t1"}), ("org", {"organization_id": "o1"})]
)
async def test_a_key_that_somebody_makes_for_another_user_is_for_calls(
    scene: Scene, name: str, place: dict[str, str]
) -> None:
    """With any other they would be that user on admin routes, and the user may be a proxy admin."""
    populate(scene)
    answer, told = await made_by(scene, name, {**place, "user_id": "proxy_admin"})
    assert told is not None, answer.text
    assert list(told.key.allowed_routes) == ["llm_api_routes"]
    for routes in (["*"], ["management_routes"], ["llm_api_routes", "info_routes"]):
        answer, told = await made_by(scene, name, {**place, "user_id": "proxy_admin", "allowed_routes": routes})
        assert (answer.status_code, told, answer.json()["error"]["param"]) == (401, None, "allowed_routes")


async def test_nobody_becomes_another_user_by_a_key_that_they_administer(scene: Scene) -> None:
    populate(scene)
    scene.kept.add("sk-boss", k.Key(key_id="id-boss", user_id="proxy_admin", team_id="t1", terms=OWN))
    scene.kept.add("sk-mine", k.Key(key_id="id-mine", user_id="lead", team_id="t1", terms=OWN))
    calls = k.Key(key_id="id-calls", user_id="user", team_id="t1", terms=OWN, allowed_routes=["llm_api_routes"])
    scene.kept.add("sk-calls", calls)
    async with scene.client("sk-lead") as client:
        for path, body in (
            ("/key/sk-boss/regenerate", {}),
            ("/key/regenerate", {"key": "sk-boss"}),
            ("/key/update", {"key": "sk-mine", "user_id": "proxy_admin"}),
            ("/key/update", {"key": "sk-calls", "allowed_routes": []}),
            ("/key/update", {"key": "sk-calls", "user_id": "proxy_admin", "allowed_routes": []}),
        ):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (401, "allowed_routes"), (path, body)
        # What opens nothing to them is theirs to administer.
        for path, body in (
            ("/key/update", {"key": "sk-boss", "rpm_limit": 3}),
            ("/key/block", {"key": "sk-boss"}),
            ("/key/sk-calls/regenerate", {}),
        ):
            answer = await client.post(path, json=body)
            assert answer.status_code == 200, (path, answer.text)


@pytest.mark.scene_config(
    """
    litellm_settings:
      key_generation_settings: {personal_key_generation: {required_params: [key_alias]}}
    """
)
async def test_what_is_required_of_a_key_is_also_of_one_that_asks_for_nothing(scene: Scene) -> None:
    populate(scene)
    answer, told = await made_by(scene, "user", {})
    assert (answer.status_code, told) == (400, None)
    assert answer.json()["error"]["param"] == "key_alias"
    answer, told = await made_by(scene, "user", {"key_alias": "a"})
    assert told is not None, answer.text


@pytest.mark.scene_config(
    """
    litellm_settings:
      default_key_generate_params: {models: [m], max_budget: 4, tags: [made]}
      upperbound_key_generate_params: {max_budget: 10, budget_duration: 30d, duration: 60d, rpm_limit: 100}
      default_team_params: {rpm_limit: 7}
      key_generation_settings:
        team_key_generation: {allowed_team_member_roles: [admin, user], required_params: [key_alias]}
        personal_key_generation: {allowed_user_roles: [org_admin]}
    """
)
async def test_the_configuration_says_what_keys_are_made_with_and_by_whom(scene: Scene) -> None:
    populate(scene)
    async with scene.client() as client:
        made = (await client.post("/key/generate", json={})).json()
        assert (made["models"], made["max_budget"], made["tags"]) == (["m"], 4.0, ["made"])
        assert (made["budget_duration"], made["rpm_limit"], made["expires"] is not None) == ("30d", 100, True)
        for name, value in {"max_budget": 11, "rpm_limit": 101, "duration": "61d", "budget_duration": "2mo"}.items():
            answer = await client.post("/key/generate", json={name: value})
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, name), answer.text
        changed = (await client.post("/key/update", json={"key": made["key"], "rpm_limit": None})).json()
        assert changed["rpm_limit"] == 100, "none at all is above the bound"
        assert (await client.post("/team/new", json={})).json()["rpm_limit"] == 7
    # A member of a team may make keys of it, and says what they are called.
    answer, _ = await made_by(scene, "user", {"team_id": "t1"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "key_alias")
    answer, told = await made_by(scene, "user", {"team_id": "t1", "key_alias": "a"})
    assert told is not None, answer.text
    # Of what the one that asks has, and of the configuration's defaults what it does not.
    assert (told.key.user_id, told.key.terms.rpm_limit, list(told.key.tags)) == ("user", 10, ["made"])
    assert (told.key.terms.max_budget_nano_usd, told.key.terms.budget_duration) == (5_000_000_000, "30d")
    answer, _ = await made_by(scene, "user", {"team_id": "t2", "key_alias": "b"})
    assert answer.json()["error"]["param"] in ("team_id", "organization_id")
    answer, _ = await made_by(scene, "user", {"key_alias": "c"})
    assert answer.json()["error"]["param"] == "user_id", "users make no personal keys here"


async def test_models_are_listed_as_all_who_bound_a_key_allow(scene: Scene) -> None:
    team = k.Owner(
        kind=k.OWNER_KIND_TEAM,
        id="t1",
        terms=k.Terms(models=["gpt-of-catalog"]),
        aliases={"best": "org/large", "no": "m"},
        organization_id="o1",
    )
    organization = k.Owner(kind=k.OWNER_KIND_ORGANIZATION, id="o1", terms=k.Terms(budget_id="b1"))
    budget = k.Owner(kind=k.OWNER_KIND_BUDGET, id="b1", terms=k.Terms(models=["org/large", "m"]))
    for owner in (team, organization, budget):
        scene.kept.owners[owner.kind, owner.id] = owner
    cases: list[tuple[k.Key, set[str]]] = [
        (k.Key(key_id="a"), {"m", "org/large"}),
        (k.Key(key_id="a", terms=k.Terms(models=["org/*"])), {"org/large"}),
        (k.Key(key_id="a", terms=k.Terms(models=["gpt-of-catalog"])), {"org/large"}),
        (k.Key(key_id="a", team_id="t1"), {"org/large", "best"}),
        (k.Key(key_id="a", organization_id="o1", terms=k.Terms(models=["m"])), {"m"}),
        (k.Key(key_id="a", team_id="t1", terms=k.Terms(models=["m"])), set()),
    ]
    for key, expected in cases:
        scene.kept.add("sk-a", key)
        assert {each["id"] for each in await models_of(scene, "sk-a")} == expected


async def test_a_name_for_whom_a_change_is_made_is_an_admins_to_give(scene: Scene) -> None:
    populate(scene)
    for name, expected in (("proxy_admin", "boss"), ("user", "user")):
        scene.kept.told.clear()
        async with scene.client(f"sk-{name}") as client:
            answer = await client.post("/key/generate", json={}, headers={"litellm-changed-by": "boss"})
            assert answer.status_code == 200, answer.text
        (told,) = (each for each in scene.kept.told if isinstance(each, k.CreateKeyRequest))
        assert told.changed_by == expected
    async with scene.client() as client:
        answer = await client.post("/key/generate", json={}, headers={"litellm-changed-by": "b" * 300})
        assert answer.status_code == 400
