"""Answers of the admin paths have every member that LiteLLM's have, of the same type: held to the captures.

The keystore is scripted here; that the real one fills these shapes is for test_admin_owners.py.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.edge_scene import Scene
from tests.golden import Golden

# Texts that stand for what was made before: of the first key, of the first team.
KEY, TEAM = "sk-of-this-test", "t1"

Row = tuple[str, str, dict[str, Any] | None, str]
# What is asked, in this order, and the capture that has LiteLLM's answer.
STEPS: tuple[Row, ...] = (
    (
        "POST",
        "/budget/new",
        {"budget_id": "b1", "max_budget": 1e-05, "budget_duration": "1d", "rpm_limit": 9},
        "budget_new",
    ),
    ("POST", "/budget/info", {"budgets": ["b1"]}, "budget_info"),
    ("POST", "/budget/update", {"budget_id": "b1", "max_budget": 2e-05}, "budget_update"),
    ("GET", "/budget/list", None, "budget_list"),
    ("GET", "/budget/settings?budget_id=b1", None, "budget_settings"),
    ("POST", "/user/new", {"user_id": "u1"}, "user_new_id"),
    (
        "POST",
        "/user/new",
        {"user_email": "a@b.co", "user_role": "internal_user", "max_budget": 1, "models": ["free"]},
        "user_new",
    ),
    ("GET", "/user/info?user_id=u1", None, "user_info"),
    ("GET", "/user/list?page=1&page_size=2", None, "user_list"),
    ("POST", "/user/update", {"user_id": "u1", "max_budget": 5}, "user_update"),
    (
        "POST",
        "/team/new",
        {
            "team_id": TEAM,
            "team_alias": "team-a",
            "max_budget": 1,
            "models": ["free", "gpt-4o"],
            "rpm_limit": 100,
            "members_with_roles": [{"role": "admin", "user_id": "u1"}],
        },
        "team_new",
    ),
    ("GET", f"/team/info?team_id={TEAM}", None, "team_info"),
    (
        "POST",
        "/team/member_add",
        {"team_id": TEAM, "member": {"role": "user", "user_id": "u2"}, "max_budget_in_team": 0.5},
        "team_member_add",
    ),
    ("GET", "/team/list", None, "team_list"),
    ("GET", "/v2/team/list?page=1&page_size=2", None, "team_list_v2"),
    (
        "POST",
        "/team/member_update",
        {"team_id": TEAM, "user_id": "u2", "max_budget_in_team": 0.0001},
        "team_member_update",
    ),
    ("POST", "/team/model/add", {"team_id": TEAM, "models": ["emb"]}, "team_model_add"),
    ("POST", "/team/model/delete", {"team_id": TEAM, "models": ["emb"]}, "team_model_delete"),
    ("POST", "/team/update", {"team_id": TEAM, "max_budget": 2}, "team_update"),
    ("POST", "/team/block", {"team_id": TEAM}, "team_block"),
    ("POST", "/team/unblock", {"team_id": TEAM}, "team_unblock"),
    ("POST", "/team/member_delete", {"team_id": TEAM, "user_id": "u2"}, "team_member_delete"),
    ("POST", "/key/generate", {}, "key_generate_min"),
    (
        "POST",
        "/key/generate",
        {
            "key": KEY,
            "models": ["free", "gpt-4o"],
            "aliases": {"my-alias": "free"},
            "max_budget": 10,
            "soft_budget": 5,
            "budget_duration": "30d",
            "duration": "1d",
            "rpm_limit": 100,
            "tpm_limit": 100000,
            "max_parallel_requests": 5,
            "metadata": {"tags": ["x"], "team": "core"},
            "key_alias": "full-key",
            "permissions": {},
            "model_rpm_limit": {"gpt-4o": 50},
            "model_tpm_limit": {"gpt-4o": 5000},
            "allowed_routes": ["llm_api_routes"],
            "user_id": "u-full",
            "blocked": False,
        },
        "key_generate_full",
    ),
    ("GET", f"/key/info?key={KEY}", None, "key_info"),
    ("POST", "/key/update", {"key": KEY, "max_budget": 20, "metadata": {"a": 1}}, "key_update"),
    ("POST", "/key/block", {"key": KEY}, "key_block"),
    ("POST", "/key/unblock", {"key": KEY}, "key_unblock"),
    ("GET", "/key/list?page=1&size=2", None, "key_list"),
    ("GET", "/key/aliases", None, "key_aliases"),
    ("POST", "/key/bulk_update", {"keys": []}, "key_bulk_update"),
    ("POST", "/key/service-account/generate", {"key_alias": "svc", "team_id": None}, "key_service_account"),
    ("GET", "/key/info?key=sk-nope", None, "key_info_unknown"),
    ("POST", "/customer/new", {"user_id": "cust1", "budget_id": "b1", "alias": "Cust"}, "customer_new"),
    ("POST", "/end_user/new", {"user_id": "cust2", "max_budget": 1}, "customer_new2"),
    ("GET", "/customer/info?end_user_id=cust1", None, "customer_info"),
    ("GET", "/customer/list", None, "customer_list"),
    ("POST", "/customer/update", {"user_id": "cust2", "max_budget": 2}, "customer_update"),
    ("POST", "/customer/delete", {"user_ids": ["cust2"]}, "customer_delete"),
    ("POST", "/tag/new", {"name": "tagx", "description": "d", "models": []}, "tag_new"),
    ("GET", "/tag/list", None, "tag_list"),
    ("POST", "/key/delete", {"keys": [KEY]}, "key_delete"),
    ("POST", "/team/delete", {"team_ids": [TEAM]}, "team_delete"),
    ("POST", "/user/delete", {"user_ids": ["u-none"]}, "user_delete"),
    ("POST", "/budget/delete", {"id": "b1"}, "budget_delete"),
)
# Members of LiteLLM's answers that have no equal here, and why.
ABSENT = {
    ("GET", "/v2/team/list", "keys_count"): "the keys of a page of teams are not counted",
    ("GET", "/team/info", "caller_edit_access"): "for LiteLLM's own pages: what they let somebody edit",
}


# Members whose members are the caller's own. LiteLLM keeps limits of models in a key's metadata; here they are members.
DATA = ("metadata", "model_max_budget", "aliases")


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Where an answer lacks a member of LiteLLM's, or has another type there. null, and an empty list, fit anything."""
    if path.rpartition(".")[2] in DATA or theirs is None or ours is None or theirs == {} or theirs == []:
        return []
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            return [f"{path} is no object"]
        missing = [f"{path}.{name} is missing" for name in theirs if name not in ours]
        return missing + [
            line for name in theirs if name in ours for line in differences(theirs[name], ours[name], f"{path}.{name}")
        ]
    if isinstance(theirs, list):
        if not isinstance(ours, list):
            return [f"{path} is no list"]
        return differences(theirs[0], ours[0], f"{path}[]") if ours else []
    kinds = (int, float) if isinstance(theirs, int | float) and not isinstance(theirs, bool) else type(theirs)
    return [] if isinstance(ours, kinds) else [f"{path} is {ours!r}, of another type than {theirs!r}"]


def lacking(golden: Golden, step: Row, answer: httpx.Response) -> list[str]:
    """What an answer lacks of LiteLLM's to the same step, but for ABSENT. The status must be its."""
    method, path, _, name = step
    assert answer.status_code == golden(name, "status"), (path, answer.text)
    plain = path.partition("?")[0]
    found = differences(golden(name), answer.json())
    return [line for line in found if (method, plain, line.split(" ")[0].rpartition(".")[2]) not in ABSENT]


async def test_every_answer_has_the_members_of_litellms(scene: Scene, golden: Golden) -> None:
    wrong: dict[str, list[str]] = {}
    async with scene.client() as client:
        for method, path, body, name in STEPS:
            answer = await client.request(method, path, json=body)
            if found := lacking(golden, (method, path, body, name), answer):
                wrong[name] = found
    assert wrong == {}


async def test_keys_listed_whole_are_as_litellm_shows_keys(scene: Scene, golden: Golden) -> None:
    async with scene.client() as client:
        await client.post("/key/generate", json={})
        (ours,) = (await client.get("/key/list?return_full_object=true")).json()["keys"]
    # What LiteLLM joins to a row in this list is of its caches; the row itself is what other paths show.
    theirs = set(golden("key_list_full")["keys"][0]) & set(golden("key_block"))
    assert theirs - set(ours) == set()


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [("/key/generate", {}, "err_mgmt_nonadmin"), ("/user/new", {}, "err_mgmt_user_new")],
)
async def test_who_is_no_admin_is_told_so_in_litellms_words(
    scene: Scene, golden: Golden, path: str, body: dict[str, Any], name: str
) -> None:
    await _with_key(scene)
    async with scene.client("sk-plain") as client:
        answer = await client.post(path, json=body)
    theirs = golden(name)["error"]
    ours = answer.json()["error"]
    assert answer.status_code == golden(name, "status")
    assert {key: ours[key] for key in ("type", "param", "code")} == {
        key: theirs[key] for key in ("type", "param", "code")
    }
    assert theirs["message"].startswith(ours["message"].rstrip("."))


async def _with_key(scene: Scene) -> httpx.Response:
    async with scene.client() as client:
        return await client.post("/key/generate", json={"key": "sk-plain"})
