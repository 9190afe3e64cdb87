"""What one admin path makes of several objects: all or nothing, or for each what became of it. The edge's half."""

from __future__ import annotations

import pytest
from gateway.v1 import keystore_pb2 as k

from tests.edge_scene import Scene


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/user/new", {"user_id": "u", "teams": ["t-none"]}),
        ("/user/new", {"user_id": "u", "organizations": ["o-none"]}),
        ("/user/new", {"user_id": "u", "key_alias": "taken"}),
        ("/user/new", {"user_id": "u", "duration": "soon"}),
        ("/team/new", {"team_id": "t", "members_with_roles": [{"user_id": "a"}, {"role": "user"}]}),
        ("/team/new", {"team_id": "t", "members_with_roles": [{"user_id": "a"}, {"user_id": "a"}]}),
    ],
)
async def test_what_cannot_be_made_whole_is_not_made(scene: Scene, path: str, body: dict[str, object]) -> None:
    scene.kept.add("sk-taken", k.Key(key_id="k1", key_alias="taken"))
    async with scene.client() as client:
        answer = await client.post(path, json=body)
    assert answer.status_code in (400, 404), answer.text
    kinds = {kind for kind, _ in scene.kept.owners}
    assert not kinds & {k.OWNER_KIND_TEAM, k.OWNER_KIND_USER if path == "/user/new" else k.OWNER_KIND_TEAM}


async def test_whoever_makes_a_team_with_a_users_key_is_an_admin_of_it(scene: Scene) -> None:
    scene.kept.add("sk-org", k.Key(key_id="k1", user_id="ann"), role="org_admin", admin_organization_ids=["o1"])
    scene.kept.owners[k.OWNER_KIND_ORGANIZATION, "o1"] = k.Owner(kind=k.OWNER_KIND_ORGANIZATION, id="o1")
    async with scene.client("sk-org") as client:
        made = (await client.post("/team/new", json={"organization_id": "o1"})).json()
    assert [(each["user_id"], each["role"]) for each in made["members_with_roles"]] == [("ann", "admin")]
    assert made["created_by"] == "ann"


async def test_many_changes_at_once_tell_of_each_what_became_of_it(scene: Scene) -> None:
    scene.kept.add("sk-a", k.Key(key_id="a"))
    async with scene.client() as client:
        body = {"keys": [{"key": "sk-a", "rpm_limit": 5}, {"key": "sk-none", "rpm_limit": 5}, {"key": "sk-a", "x": 1}]}
        keys = (await client.post("/key/bulk_update", json=body)).json()
        await client.post("/user/new", json={"user_id": "u", "auto_create_key": False})
        body = {
            "users": [{"user_id": "u", "max_budget": 5}, {"user_id": "none"}, {"user_id": "u", "user_role": "king"}]
        }
        users = (await client.post("/user/bulk_update", json=body)).json()
        await client.post("/team/new", json={"team_id": "t"})
        body = {"team_id": "t", "members": [{"user_id": "u"}, {"user_id": "u"}, {"role": "king", "user_id": "v"}]}
        members = (await client.post("/team/bulk_member_add", json=body)).json()
    assert [each["key"] for each in keys["successful_updates"]] == ["sk-a"]
    assert [each["key"] for each in keys["failed_updates"]] == ["sk-none", "sk-a"]
    assert scene.keys["a"].terms.rpm_limit == 5
    assert (users["total_requested"], users["successful_updates"], users["failed_updates"]) == (3, 1, 2)
    assert [each["success"] for each in users["results"]] == [True, False, False]
    assert [each["success"] for each in members["results"]] == [True, False, False]
    assert len(members["updated_team"]["members_with_roles"]) == 1


async def test_an_email_address_names_one_user_whole_and_in_any_case(scene: Scene) -> None:
    async with scene.client() as client:
        for name in ("ann@b.co", "joann@b.co"):
            await client.post("/user/new", json={"user_email": name, "user_id": name[:3], "auto_create_key": False})
        changed = (await client.post("/user/update", json={"user_email": "ann@b.co", "max_budget": 1})).json()
        assert changed["user_id"] == "ann"
        assert (await client.post("/user/update", json={"user_email": "nn@b.co"})).status_code == 404
        assert (await client.post("/user/update", json={})).status_code == 404
