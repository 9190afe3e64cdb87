"""A key sees its own spend, on every path that tells of spend: the edge's half, over scripted neighbours."""

from __future__ import annotations

import pytest
from gateway.v1 import keystore_pb2, ledger_pb2

from edge.admin.access import TABLE, Grant
from tests.edge_scene import Scene

BUDGET = keystore_pb2.Terms(max_budget_nano_usd=5_000_000_000)
OWN = keystore_pb2.Key(
    key_id="id-1", token="token-1", key_name="sk-...abcd", terms=keystore_pb2.Terms(max_budget_nano_usd=5_000_000_000)
)
OTHER = keystore_pb2.Key(key_id="id-2", token="token-2")
MINE = ledger_pb2.SpendFilter(dimension=ledger_pb2.SPEND_DIMENSION_KEY, values=["id-1"])
DATES = "start_date=2026-01-01&end_date=2026-01-31"
ROOTS = ("/spend/", "/global/", "/user/", "/team/", "/tag/", "/customer/", "/organization/")


def spend_paths(scene: Scene) -> list[tuple[str, str]]:
    """Every path of the real table that tells of spend, and by which method; one that reckons with prices does not."""
    assert scene.edge is not None
    paths = [
        (route.method, route.path)
        for route in scene.edge.admin_routes
        if route.path.startswith(ROOTS) and Grant.KEY in TABLE[route.name].grant and route.path != "/spend/calculate"
    ]
    assert len(paths) > 20
    return paths


async def test_what_the_ledger_is_asked_is_confined_to_the_key_that_asks(scene: Scene) -> None:
    scene.add_key("sk-own", OWN)
    scene.keys["sk-own"] = OWN
    scene.add_key("sk-other", OTHER)
    async with scene.client("sk-own") as client:
        for method, path in spend_paths(scene):
            for query in ("", DATES, f"{DATES}&api_key=sk-own", "api_key=id-1&user_id=somebody&team_ids=a,b"):
                scene.questions.clear()
                scene.listed.clear()
                answer = await client.request(method, f"{path}?{query}")
                asked = [*scene.questions, *scene.listed]
                if answer.status_code == 400:  # those that want dates
                    assert answer.json()["error"]["param"] == "start_date"
                    assert asked == []
                    continue
                assert (answer.status_code, bool(asked)) == (200, True), (path, answer.text)
                assert all(MINE in each.filters for each in asked), path


async def test_nobody_elses_is_shown(scene: Scene) -> None:
    scene.add_key("sk-own", OWN)
    scene.keys["sk-own"] = OWN
    scene.add_key("sk-other", OTHER)
    async with scene.client("sk-own") as client:
        for method, path in spend_paths(scene):
            for name in ("id-2", "nobodys", "litellm_proxy_master_key"):
                if path == "/global/spend/end_users" and method == "POST":
                    answer = await client.post(path, json={"api_key": name})
                else:
                    answer = await client.request(method, f"{path}?{DATES}&api_key={name}")
                assert (answer.status_code, answer.json()["error"]["param"]) == (401, "api_key"), path
    assert scene.questions == []
    assert scene.listed == []


@pytest.mark.parametrize("secret", ["sk-unknown", "sk-blocked", "sk-expired"])
async def test_a_key_that_is_none_or_may_not_be_used_sees_nothing(scene: Scene, secret: str) -> None:
    scene.add_key("sk-blocked", keystore_pb2.Key(key_id="id-3", blocked=True))
    scene.add_key("sk-expired", keystore_pb2.Key(key_id="id-4", expires_ms=1))
    async with scene.client(secret) as client:
        for method, path in spend_paths(scene):
            assert (await client.request(method, f"{path}?{DATES}")).status_code == 401, path
    assert scene.questions == []


async def test_the_master_may_ask_for_one_key_or_for_its_own_calls(scene: Scene) -> None:
    scene.add_key("sk-own", OWN)
    scene.keys["sk-own"] = OWN
    async with scene.client() as client:
        for name, key_id in (
            ("sk-own", "id-1"),
            ("litellm_proxy_master_key", ""),
            ("of-a-deleted-key", "of-a-deleted-key"),
        ):
            scene.questions.clear()
            assert (await client.get(f"/global/activity?api_key={name}")).status_code == 200
            (question,) = scene.questions
            (wanted,) = question.filters
            assert list(wanted.values) == [key_id]
        assert (await client.get("/global/activity?api_key=sk-nobodys")).status_code == 404


async def test_a_keys_total_has_the_keys_budget(scene: Scene) -> None:
    scene.add_key("sk-own", OWN)
    scene.keys["sk-own"] = OWN
    scene.spend = [ledger_pb2.SpendRow(cost_nano_usd=1_000_000_000)]
    async with scene.client("sk-own") as client:
        assert (await client.get("/global/spend")).json() == {"spend": 1.0, "max_budget": 5.0}


async def test_a_receipt_is_looked_for_among_the_calls_of_the_key_that_asks(scene: Scene) -> None:
    scene.add_key("sk-own", OWN)
    scene.add_key("sk-blocked", keystore_pb2.Key(key_id="id-3", blocked=True))
    for path in ("/v1/receipts", "/receipts"):
        async with scene.client("sk-own") as client:
            assert (await client.get(f"{path}/a-call?user_id=somebody&api_key=sk-own")).status_code == 404
            assert (await client.get(f"{path}/{'x' * 200}")).status_code == 404
        (asked,) = scene.listed
        assert (asked.request_id, list(asked.filters)) == ("a-call", [MINE])
        scene.listed.clear()
        for secret in ("sk-blocked", "sk-unknown"):
            async with scene.client(secret) as client:
                assert (await client.get(f"{path}/a-call")).status_code == 401
        assert scene.listed == []
        async with scene.client() as client:
            assert (await client.get(f"{path}/a-call")).status_code == 404
        assert list(scene.listed.pop().filters) == []
