"""Embeddings and rerank, as users make them: the real OpenAI SDK and curl, from the key to the ledger."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from tests.fake_provider import INPUT_TOKENS, VECTOR, Behaviour, FakeProvider
from tests.stack import SHAPES, Gateway, ShareGateway

CONFIG = """
model_list:
  - model_name: embed
    litellm_params: {{model: openai/up-embed, api_base: "{base}", api_key: sk-provider, input_cost_per_token: 0.000001}}
    model_info: {{mode: embedding, output_cost_per_token: 0.001}}
  - model_name: mock-embed
    litellm_params: {{model: openai/mock-embedding, mock_response: unused}}
  - model_name: rerank
    litellm_params: {{model: openai_like/up-rerank, api_base: "{base}", api_key: k, input_cost_per_token: 0.000001}}
    model_info: {{mode: rerank}}
  - model_name: searches
    litellm_params: {{model: openai_like/up-search, api_base: "{base}", api_key: k, input_cost_per_query: 0.002}}
    model_info: {{mode: rerank}}
  - model_name: claude
    litellm_params: {{model: anthropic/claude, api_key: k, input_cost_per_token: 0, output_cost_per_token: 0}}
  - model_name: broken
    litellm_params: {{model: openai/up-broken, api_base: "{base}", api_key: k, input_cost_per_token: 0.000001}}
    model_info: {{mode: embedding}}
router_settings:
  num_retries: 1
  fallbacks: [{{broken: [embed]}}]
"""
DOCUMENTS = ["a", "b", "c"]


@pytest.fixture(scope="module", params=SHAPES)
async def gateway(request: Any, shared_stack: ShareGateway, provider_server: FakeProvider) -> AsyncIterator[Gateway]:
    async with shared_stack(CONFIG.format(base=provider_server.base_url), shape=request.param) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _forgetful(fake_provider: FakeProvider) -> None:
    """Also for tests that do not look at the provider themselves."""


def client_of(gateway: Gateway) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30)


async def row_of(client: httpx.AsyncClient, call_id: str) -> dict[str, Any]:
    """The ledger's entry of a call, once it is there."""
    for _ in range(200):
        rows: list[dict[str, Any]] = (await client.get("/spend/logs")).json()
        found = [row for row in rows if row["litellm_call_id"] == call_id]
        if found:
            assert len(found) == 1
            return found[0]
        await asyncio.sleep(0.05)
    raise AssertionError("the entry is not there")


async def new_key(client: httpx.AsyncClient, **members: object) -> dict[str, str]:
    answer = await client.post("/key/generate", json=members)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['key']}"}


async def test_the_openai_sdk_makes_embeddings(gateway: Gateway, fake_provider: FakeProvider) -> None:
    await asyncio.to_thread(drive_sdk, gateway)
    first, *_ = fake_provider.seen
    assert first.headers["authorization"] == "Bearer sk-provider"
    # The SDK asks for base64 by itself.
    assert first.body == {"input": ["a", "b"], "model": "up-embed", "dimensions": 3, "encoding_format": "base64"}


def drive_sdk(gateway: Gateway) -> None:
    with openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=gateway.master_key, max_retries=0) as client:
        answer = client.embeddings.create(model="embed", input=["a", "b"], dimensions=3)
        assert [(row.index, row.embedding) for row in answer.data] == [(0, list(VECTOR)), (1, list(VECTOR))]
        assert answer.usage.prompt_tokens == INPUT_TOKENS
        assert client.embeddings.create(model="embed", input=[1, 2]).data[0].object == "embedding"
        mocked = client.embeddings.create(model="mock-embed", input="a", encoding_format="float")
        assert mocked.data[0].embedding == [0.25, 0.5, -0.5]
        with pytest.raises(openai.BadRequestError, match="do not offer embeddings"):
            client.embeddings.create(model="claude", input="a")
        with pytest.raises(openai.BadRequestError, match="no healthy deployments"):
            client.embeddings.create(model="nobody", input="a")


async def test_a_call_has_one_entry_with_its_operation_and_its_cost(gateway: Gateway) -> None:
    async with client_of(gateway) as client:
        answer = await client.post("/embeddings", json={"model": "embed", "input": "a", "encoding_format": "base64"})
        (row,) = answer.json()["data"]
        assert struct.unpack("<3f", base64.b64decode(row["embedding"])) == VECTOR
        assert answer.headers["x-litellm-response-cost"] == "0.000011"
        entry = await row_of(client, answer.headers["x-litellm-call-id"])
        assert (entry["call_type"], entry["model"], entry["status"]) == ("aembedding", "openai/up-embed", "success")
        assert (entry["prompt_tokens"], entry["completion_tokens"], entry["spend"]) == (INPUT_TOKENS, 0, 0.000011)


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
async def test_curl_reranks(gateway: Gateway, path: str) -> None:
    body = json.dumps({"model": "rerank", "query": "q", "documents": DOCUMENTS, "top_n": 2, "return_documents": True})
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-i", f"{gateway.base_url}{path}", "-d", body),
        *("-H", f"Authorization: Bearer {gateway.master_key}", "-H", "Content-Type: application/json"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    head, _, answer = out.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200")
    assert json.loads(answer) == {
        "id": "rerank-fake",
        "results": [
            {"index": 0, "relevance_score": 1.0, "document": {"text": "a"}},
            {"index": 1, "relevance_score": 0.5, "document": {"text": "b"}},
        ],
        "meta": {"billed_units": {"total_tokens": INPUT_TOKENS}, "tokens": {"input_tokens": INPUT_TOKENS}},
    }
    async with client_of(gateway) as client:
        call_id = next(line for line in head.splitlines() if line.startswith("x-litellm-call-id")).partition(": ")[2]
        assert (await row_of(client, call_id))["call_type"] == "arerank"


async def test_searches_are_charged_as_often_as_the_provider_says(
    gateway: Gateway, fake_provider: FakeProvider
) -> None:
    ranked = {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": 3}}}
    fake_provider.behave("up-search", Behaviour(body=json.dumps(ranked).encode()), Behaviour())
    async with client_of(gateway) as client:
        for cost in ("0.006", "0.002"):
            answer = await client.post("/rerank", json={"model": "searches", "query": "q", "documents": DOCUMENTS})
            assert answer.headers["x-litellm-response-cost"] == cost


async def test_a_failing_deployment_is_tried_again_and_falls_back(
    gateway: Gateway, fake_provider: FakeProvider
) -> None:
    fake_provider.behave("up-broken", Behaviour(status=500))
    async with client_of(gateway) as client:
        answer = await client.post("/v1/embeddings", json={"model": "broken", "input": "a"})
        assert answer.status_code == 200
        assert [seen.body["model"] for seen in fake_provider.seen] == ["up-broken", "up-broken", "up-embed"]
        entry = await row_of(client, answer.headers["x-litellm-call-id"])
        assert [attempt["provider_status"] for attempt in entry["metadata"]["attempts"]] == [500, 500, 200]


async def test_a_key_pays_for_input_only_and_not_beyond_its_budget(gateway: Gateway) -> None:
    """What is held is the input's bound: with output in it, as for chats, the first call would not fit either."""
    body = {"model": "embed", "input": "a" * 400}
    async with client_of(gateway) as client:
        key = await new_key(client, max_budget=0.0005, models=["embed"])
        assert (await client.post("/v1/embeddings", json=body, headers=key)).status_code == 200
        refused = await client.post("/v1/embeddings", json={**body, "input": "a" * 600}, headers=key)
        assert refused.status_code == 422, refused.text
        assert "Budget has been exceeded" in refused.text
        other = await client.post("/v1/rerank", json={"model": "rerank", "query": "q", "documents": []}, headers=key)
        assert other.status_code == 403, other.text


async def test_a_rerank_holds_as_many_searches_as_it_may_come_to(gateway: Gateway) -> None:
    body = {"model": "searches", "query": "q", "documents": ["d"] * 250}
    async with client_of(gateway) as client:
        key = await new_key(client, max_budget=0.005)
        refused = await client.post("/v1/rerank", json=body, headers=key)
        assert refused.status_code == 422, refused.text
        answer = await client.post("/v1/rerank", json={**body, "documents": ["d"] * 50}, headers=key)
        assert answer.status_code == 200


async def test_what_is_no_call_is_refused(gateway: Gateway, fake_provider: FakeProvider) -> None:
    async with client_of(gateway) as client:
        for path, body, param in (
            ("/v1/embeddings", {"model": "embed"}, "input"),
            ("/v1/embeddings", {"input": "a"}, "model"),
            ("/v1/rerank", {"model": "rerank", "documents": []}, "query"),
            ("/v1/rerank", {"model": "rerank", "query": "q"}, "documents"),
            ("/v1/rerank", {"model": "rerank", "query": "q", "documents": "all"}, "documents"),
        ):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not fake_provider.seen


async def test_health_asks_each_deployment_for_what_it_is_for(gateway: Gateway, fake_provider: FakeProvider) -> None:
    fake_provider.behave("up-broken", Behaviour(status=500))
    async with client_of(gateway) as client:
        health = (await client.get("/health", params={"model": "embed"})).json()
        assert (health["healthy_count"], health["unhealthy_count"]) == (1, 0)
        health = (await client.get("/health", params={"model": "rerank"})).json()
        assert (health["healthy_count"], health["unhealthy_count"]) == (1, 0)
        assert (await client.get("/health", params={"model": "broken"})).json()["unhealthy_count"] == 1
    assert [sorted(seen.body) for seen in fake_provider.seen] == [
        ["input", "model"],
        ["documents", "model", "query"],
        ["input", "model"],
    ]
