"""Spend reports, single models and health, as LiteLLM shapes them: the edge's half, over scripted neighbours."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from gateway.v1 import keystore_pb2, ledger_pb2, router_pb2

from services.errors import GatewayError, Reason
from tests.edge_scene import Scene

SUM = 72_500
MODELS = keystore_pb2.Terms(models=["org/large"])
OWN = keystore_pb2.Key(
    key_id="id-1",
    token="token-1",
    key_name="sk-...abcd",
    key_alias="ci",
    terms=keystore_pb2.Terms(models=["org/large"]),
    user_id="u1",
)


def sums(*keys: tuple[str, ...]) -> list[ledger_pb2.SpendRow]:
    return [ledger_pb2.SpendRow(keys=key, cost_nano_usd=SUM, entries=1) for key in keys]


async def test_models_are_named_with_their_provider(scene: Scene) -> None:
    scene.spend = sums(("openai", "gpt-4o"), ("hosted_vllm", "org/large"), ("", ""))
    async with scene.client() as client:
        answer = await client.get("/global/spend/models?limit=7")
    assert answer.json() == [
        {"model": "openai/gpt-4o", "total_spend": 0.0000725},
        {"model": "hosted_vllm/org/large", "total_spend": 0.0000725},
        {"model": None, "total_spend": 0.0000725},
    ]
    (question,) = scene.questions
    assert list(question.group_by) == [
        ledger_pb2.SPEND_DIMENSION_PROVIDER,
        ledger_pb2.SPEND_DIMENSION_PROVIDER_MODEL,
    ]
    assert (question.page_size, question.start_ms, question.end_ms) == (7, 0, 0)


async def test_users_and_those_without_one(scene: Scene) -> None:
    budget = keystore_pb2.Terms(max_budget_nano_usd=5_000_000_000)
    user = keystore_pb2.Owner(kind=keystore_pb2.OWNER_KIND_USER, id="u1", email="a@b.co", terms=budget)
    scene.kept.owners[user.kind, user.id] = user
    scene.spend = sums(("u1",), ("",))
    async with scene.client() as client:
        totals = (await client.get("/global/spend/users")).json()
        users = (await client.get("/spend/users?user_id=u1")).json()
    assert totals == [{"user_id": "u1", "total_spend": 0.0000725}, {"user_id": None, "total_spend": 0.0000725}]
    assert [(each["user_id"], each["user_email"], each["max_budget"], each["spend"]) for each in users] == [
        ("u1", "a@b.co", 5.0, 0.0000725),
        (None, None, None, 0.0000725),
    ]
    everybody, one = scene.questions
    assert list(everybody.filters) == []
    assert list(one.filters) == [ledger_pb2.SpendFilter(dimension=ledger_pb2.SPEND_DIMENSION_USER, values=["u1"])]
    assert [question.page_size for question in scene.questions] == [100, 100]


async def test_keys_have_their_names_also_the_master_and_a_deleted_one(scene: Scene) -> None:
    scene.keys["id-1"] = OWN
    scene.spend = sums(("",), ("id-1",), ("gone",))
    async with scene.client() as client:
        totals = (await client.get("/global/spend/keys?limit=5")).json()
        keys = (await client.get("/spend/keys")).json()
    assert totals == [
        {"api_key": "litellm_proxy_master_key", "key_alias": None, "key_name": None, "total_spend": 0.0000725},
        {"api_key": "token-1", "key_alias": "ci", "key_name": "sk-...abcd", "total_spend": 0.0000725},
        {"api_key": "gone", "key_alias": None, "key_name": None, "total_spend": 0.0000725},
    ]
    assert [(key["token"], key["spend"], key["models"], key["user_id"]) for key in keys] == [
        ("litellm_proxy_master_key", 0.0000725, [], None),
        ("token-1", 0.0000725, ["org/large"], "u1"),
        ("gone", 0.0000725, [], None),
    ]


async def test_a_keystore_that_is_away_is_not_a_deleted_key(scene: Scene) -> None:
    def away(name: str) -> keystore_pb2.Key:
        raise GatewayError(Reason.ERROR_REASON_UNAVAILABLE, "away")

    scene.kept.key = away  # type: ignore[method-assign]
    scene.spend = sums(("id-1",))
    async with scene.client() as client:
        assert (await client.get("/spend/keys")).status_code == 503


@pytest.mark.parametrize(
    "path", ["/global/spend", "/global/spend/models", "/global/spend/users", "/global/spend/keys", "/spend/keys"]
)
async def test_dates_are_honoured_both_inclusive(scene: Scene, path: str) -> None:
    scene.spend = [ledger_pb2.SpendRow(keys=["a", "b"])]
    async with scene.client() as client:
        assert (await client.get(f"{path}?start_date=2024-01-01&end_date=2024-12-31")).status_code == 200
    (question,) = scene.questions
    assert question.start_ms == datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000
    assert question.end_ms == datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize("path", ["/spend/logs", "/global/spend", "/global/spend/models", "/spend/keys"])
@pytest.mark.parametrize(
    "query",
    [
        "start_date=9999-12-31",
        "end_date=9999-12-31",
        "end_date=9999-12-30",
        "end_date=10000-01-01",
        "start_date=1969-12-31",
        "start_date=0001-01-01",
        "start_date=2024-02-30",
        "start_date=2024-01-01garbage",
        "start_date=2024-13-01",
        "start_date=tomorrow",
        "end_date=%00",
        "start_date=2024-01-02&end_date=2024-01-01",
    ],
)
async def test_an_impossible_date_is_the_callers_error(scene: Scene, path: str, query: str) -> None:
    async with scene.client() as client:
        answer = await client.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert answer.json()["error"]["param"] in query
    assert scene.questions == []


@pytest.mark.parametrize("path", ["/spend/logs", "/global/spend/models", "/spend/keys", "/spend/users"])
@pytest.mark.parametrize("limit", ["0", "-1", "1001", "²", "ten", "9" * 5000, "1.5"])
async def test_an_impossible_limit_is_the_callers_error(scene: Scene, path: str, limit: str) -> None:
    async with scene.client() as client:
        answer = await client.get(path, params={"limit": limit})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "limit")


async def test_an_entry_from_beyond_the_calendar_is_shown(scene: Scene) -> None:
    """Ids reach to the year 10889; a router whose clock is wrong must not hide everybody's entries."""
    scene.entries = [ledger_pb2.Entry(dispatch_id=b"\xff" * 16, duration_ms=1 << 62, first_token_ms=1)]
    async with scene.client() as client:
        (row,) = (await client.get("/spend/logs")).json()
    assert row["startTime"].startswith("9999-12-31T23:59:59")


async def test_one_model(scene: Scene) -> None:
    scene.add_key("sk-own", OWN)
    expected = {"id": "org/large", "object": "model", "created": 1677610602, "owned_by": "openai", "mode": "chat"}
    for key in ("sk-master", "sk-own"):
        async with scene.client(key) as client:
            for path in ("/v1/models/org/large", "/models/org%2Flarge"):
                answer = await client.get(path)
                assert (answer.status_code, answer.json()) == (200, {**expected, "max_input_tokens": 7})


async def test_a_model_that_does_not_exist_or_is_not_the_keys_is_404(scene: Scene) -> None:
    scene.add_key("sk-own", OWN)
    for key, name in (("sk-master", "nope"), ("sk-own", "m"), ("sk-own", "nope")):
        async with scene.client(key) as client:
            for path in (f"/v1/models/{name}", f"/models/{name}"):
                answer = await client.get(path)
                assert answer.status_code == 404
                assert answer.json() == {"detail": f"The model `{name}` does not exist or is not accessible"}
    async with scene.client("sk-unknown") as client:
        assert (await client.get("/v1/models/m")).status_code == 401


async def test_a_key_sees_itself_and_its_models(scene: Scene) -> None:
    scene.add_key("sk-own", OWN)
    scene.add_key("sk-other", keystore_pb2.Key(key_id="id-2"))
    async with scene.client("sk-own") as client:
        assert (await client.get("/key/info")).json()["info"]["token"] == "token-1"
        assert (await client.get("/key/info?key=id-2")).status_code == 401
        assert [model["id"] for model in (await client.get("/v1/models")).json()["data"]] == ["org/large"]


async def test_health_has_litellms_shape_and_503_when_what_is_asked_for_is_down(scene: Scene) -> None:
    failure = GatewayError(Reason.ERROR_REASON_PROVIDER_AUTHENTICATION, "Invalid key.").to_proto()
    scene.checked = [
        router_pb2.DeploymentHealth(deployment_id="d1", provider_model="openai/gpt-4o", api_base="http://up/v1"),
        router_pb2.DeploymentHealth(deployment_id="d2", provider_model="openai/gpt-4o", error=failure),
    ]
    async with scene.client() as client:
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()) == (
            200,
            {
                "healthy_endpoints": [{"api_base": "http://up/v1", "model": "openai/gpt-4o", "model_id": "d1"}],
                "unhealthy_endpoints": [{"model": "openai/gpt-4o", "model_id": "d2", "error": "Invalid key."}],
                "healthy_count": 1,
                "unhealthy_count": 1,
            },
        )
        assert (await client.get("/health?model=m")).status_code == 200
        del scene.checked[0]
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/health?model=m")).status_code == 503
        assert (await client.get("/health?model_id=d2")).status_code == 503
