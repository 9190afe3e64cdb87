"""Keys over HTTP, in LiteLLM's shapes: made, changed, given another secret, listed; over two of edges and keystores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.stack import Gateway, ShareGateway

CONFIG = """
model_list:
  - model_name: mock
    litellm_params: {model: openai/gpt-4o-mini, mock_response: Hi.}
"""
CHAT = {"model": "mock", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
async def gateway(shared_stack: ShareGateway) -> AsyncIterator[Gateway]:
    async with shared_stack(CONFIG, shape="split", edges=2, keystores=2) as gateway:
        yield gateway


async def statuses(gateway: Gateway, key: str, method: str = "POST", path: str = "/v1/chat/completions") -> set[int]:
    """What each edge answers to a call with a key."""
    async with httpx.AsyncClient(timeout=20, headers={"Authorization": f"Bearer {key}"}) as client:
        body = CHAT if method == "POST" else None
        answers = [await client.request(method, gateway.url(edge) + path, json=body) for edge in ("edge", "edge-2")]
    return {answer.status_code for answer in answers}


async def post(gateway: Gateway, path: str, body: dict[str, object]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=20) as client:
        return await client.post(path, json=body)


async def test_a_key_is_made_changed_and_shown_with_its_limits(gateway: Gateway) -> None:
    members = {"rpm_limit": 100, "tpm_limit": 5_000, "max_parallel_requests": 7, "max_budget": 2.5}
    made = (await post(gateway, "/key/generate", {**members, "models": ["mock"], "key_alias": "ci"})).json()
    assert {name: made[name] for name in members} == members
    async with httpx.AsyncClient(base_url=gateway.url("edge-2"), headers=gateway.headers, timeout=20) as client:
        info = (await client.get("/key/info", params={"key": made["token"]})).json()["info"]
        assert {name: info[name] for name in members} == members
        change = {"key": made["key"], "rpm_limit": 0, "tpm_limit": None, "metadata": {"a": 1}, "duration": "1h"}
        changed = (await client.post("/key/update", json=change)).json()
    assert changed["key"] == made["key"]
    assert (changed["rpm_limit"], changed["tpm_limit"], changed["max_parallel_requests"]) == (0, None, 7)
    assert (changed["metadata"], changed["key_alias"], changed["max_budget"]) == ({"a": 1}, "ci", 2.5)
    assert changed["expires"] is not None
    assert await statuses(gateway, made["key"]) == {429}
    await post(gateway, "/key/update", {"key": made["key"], "rpm_limit": None})
    assert await statuses(gateway, made["key"]) == {200}


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/key/update", {"key": "sk-nobody", "rpm_limit": 1}, 404, "key"),
        ("/key/update", {"key": "sk-known", "budget_duration": "soon"}, 400, "budget_duration"),
        ("/key/update", {"key": "sk-known", "guardrails": ["x"]}, 400, "guardrails"),
        ("/key/update", {"key": "sk-known", "rpm_limit": -1}, 400, "rpm_limit"),
        ("/key/update", {"key": "sk-known", "max_budget": -1}, 400, "max_budget"),
        ("/key/update", {"rpm_limit": 1}, 400, None),
        ("/key/generate", {"tpm_limit": 10**40}, 400, None),
        ("/key/regenerate", {"key": "sk-known", "grace_period": "soon"}, 400, "grace_period"),
        ("/key/regenerate", {"key": "sk-known", "new_key": "pk-1"}, 400, "key"),
        ("/key/sk-nobody/regenerate", {}, 404, "key"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    gateway: Gateway, path: str, body: dict[str, object], status: int, param: str | None
) -> None:
    await post(gateway, "/key/generate", {"key": "sk-known"})
    answer = await post(gateway, path, body)
    assert answer.status_code == status, answer.text
    if param is not None:
        assert answer.json()["error"]["param"] == param


async def test_a_key_with_another_secret_is_the_same_key_and_the_old_secret_opens_nothing(gateway: Gateway) -> None:
    made = (await post(gateway, "/key/generate", {"user_id": "ada", "key": "sk-the-first-of-all"})).json()
    secret = made["key"]
    assert await statuses(gateway, secret) == {200}
    for path, body in (
        ("/key/regenerate", {"key": secret}),
        ("/key/{key}/regenerate", {"max_parallel_requests": 9}),
        ("/key/regenerate", {"key": made["token"], "new_key": "sk-chosen-by-hand"}),
    ):
        again = (await post(gateway, path.format(key=secret), body)).json()
        assert again["key"].startswith("sk-")
        assert again["key_name"] == f"sk-...{again['key'][-4:]}"
        assert again["user_id"] == "ada"
        assert await statuses(gateway, secret) == {401}
        # Nor what else a key may see.
        assert await statuses(gateway, secret, "GET", "/key/info") == {401}
        assert await statuses(gateway, secret, "GET", "/v1/models") == {401}
        assert await statuses(gateway, again["key"]) == {200}
        secret = again["key"]
    assert (secret, again["max_parallel_requests"]) == ("sk-chosen-by-hand", 9)


async def test_keys_are_listed_by_pages(gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=20) as client:
        older = (await client.get("/key/list?page=1&size=100")).json()["keys"]
    await post(gateway, "/key/delete", {"keys": older})
    made = [(await post(gateway, "/key/generate", {"user_id": f"u{n % 2}"})).json() for n in range(3)]
    async with httpx.AsyncClient(base_url=gateway.url("edge-2"), headers=gateway.headers, timeout=20) as client:
        first = (await client.get("/key/list?page=1&size=2")).json()
        second = (await client.get("/key/list?page=2&size=2")).json()
        assert {key: first[key] for key in first if key != "keys"} == {
            "total_count": 3,
            "current_page": 1,
            "total_pages": 2,
        }
        assert {*first["keys"], *second["keys"]} == {key["token"] for key in made}
        whole = (await client.get("/key/list?user_id=u1&return_full_object=true")).json()["keys"]
        assert [(key["token"], key["spend"]) for key in whole] == [(made[1]["token"], 0.0)]
        by_hash = (await client.get("/key/list", params={"key_hash": made[2]["token"]})).json()
        assert by_hash["keys"] == [made[2]["token"]]
        assert (await client.get("/key/list?organization_id=o")).json()["keys"] == []
        by_age = (await client.get("/key/list?sort_by=created_at&sort_order=asc&user_id=u0")).json()["keys"]
        assert by_age == [made[0]["token"], made[2]["token"]]
        assert (await client.get("/key/list?sort_by=spend")).status_code == 400
        assert (await client.get("/key/list?project_id=p")).status_code == 400
        assert (await client.get("/key/list?size=101")).status_code == 400
    # Whose user has no role sees that user's keys.
    async with httpx.AsyncClient(base_url=gateway.base_url, timeout=20) as client:
        own = (await client.get("/key/list", headers={"Authorization": f"Bearer {made[0]['key']}"})).json()
    assert set(own["keys"]) == {made[0]["token"], made[2]["token"]}
