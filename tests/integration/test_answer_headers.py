"""What an answer says of itself in its headers: who answered, after how many tries, at what cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.fake_provider import Behaviour, FakeProvider
from tests.golden import Golden
from tests.stack import SHAPES, Gateway, ShareGateway, StartGateway

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/up, api_base: "{base}", api_key: k}}
    model_info: {{id: d-up, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
  - model_name: spare
    litellm_params: {{model: openai/spare, api_base: "{base}", api_key: k}}
    model_info: {{id: d-spare, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
  - model_name: mock
    litellm_params: {{model: openai/gpt-4o-mini, mock_response: Hi.}}
router_settings:
  num_retries: 1
  retry_after: 0
  fallbacks: [{{gpt: [spare]}}]
"""
CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
WHOLE = b'{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":11,"completion_tokens":6}}'
BROKEN = Behaviour(500, {"content-type": "application/json"}, b'{"error": {"message": "broken"}}')
# Named in LiteLLM's answer, and not here: parts of a cost, and callbacks, that there are none of; a provider's headers
# that are not passed on; those of its web server.
NOT_HERE = (
    "x-litellm-response-cost-",
    "x-litellm-callback-",
    "x-litellm-key-spend",
    "x-ratelimit-",
    "llm_provider-",
    "request-id",
    "vary",
    "x-frame-options",
    "content-security-policy",
    "x-content-type-options",
    "content-encoding",
)


@pytest.fixture(scope="module", params=SHAPES)
async def gateway(request, shared_stack: ShareGateway, provider_server: FakeProvider) -> AsyncIterator[Gateway]:
    async with shared_stack(CONFIG.format(base=provider_server.base_url), shape=request.param) as gateway:
        yield gateway


async def test_a_whole_answer_tells_its_cost_and_a_stream_the_rest(
    gateway: Gateway, fake_provider: FakeProvider
) -> None:
    limits = {"x-ratelimit-remaining-tokens": "7", "x-request-id": "req_1", "set-cookie": "a=b", "x-account": "mine"}
    fake_provider.behave("up", Behaviour(headers={"content-type": "application/json", **limits}, body=WHOLE))
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        whole = (await client.post("/v1/chat/completions", json=CHAT)).headers
        fake_provider.behave("up", Behaviour())
        stream = (await client.post("/v1/chat/completions", json={**CHAT, "stream": True})).headers
        mock = (await client.post("/v1/chat/completions", json={**CHAT, "model": "mock"})).headers
    facts = {
        "model-id": "d-up",
        "model-name": "openai/up",
        "model-group": "gpt",
        "model-api-base": fake_provider.base_url,
        "attempted-retries": "0",
        "attempted-fallbacks": "0",
    }
    for headers in (whole, stream):
        for whose in ("x-litellm", "x-tollhouse"):
            assert {name: headers[f"{whose}-{name}"] for name in facts} == facts
            assert 0 < float(headers[f"{whose}-overhead-duration-ms"]) < float(headers[f"{whose}-response-duration-ms"])
    assert whole["x-litellm-response-cost"] == whole["x-tollhouse-response-cost"] == "0.000023"
    assert "x-litellm-response-cost" not in stream
    assert {name: value for name, value in whole.items() if name.startswith("llm_provider-")} == {
        "llm_provider-x-ratelimit-remaining-tokens": "7",
        "llm_provider-x-request-id": "req_1",
    }
    assert not {"set-cookie", "x-account"} & set(whole)
    assert "x-litellm-model-api-base" not in mock


@pytest.mark.parametrize("shape", SHAPES)
async def test_retries_and_fallbacks_are_counted(stack: StartGateway, fake_provider: FakeProvider, shape: str) -> None:
    """On a gateway of its own: deployments that fail rest afterwards."""
    gateway = await stack(CONFIG.format(base=fake_provider.base_url), shape=shape)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        for stream in (False, True):
            fake_provider.behave("spare", BROKEN, Behaviour())
            retried = (
                await client.post("/v1/chat/completions", json={**CHAT, "model": "spare", "stream": stream})
            ).headers
            assert (retried["x-litellm-attempted-retries"], retried["x-litellm-attempted-fallbacks"]) == ("1", "0")
            fake_provider.behave("up", BROKEN)
            moved = (await client.post("/v1/chat/completions", json={**CHAT, "stream": stream})).headers
            assert (moved["x-litellm-attempted-retries"], moved["x-litellm-attempted-fallbacks"]) == ("0", "1")
            assert (moved["x-litellm-model-group"], moved["x-litellm-model-id"]) == ("spare", "d-spare")


async def test_a_key_with_a_budget_is_told_what_it_has_spent(gateway: Gateway, fake_provider: FakeProvider) -> None:
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:

        async def spend_of(budget: float | None, stream: bool = False) -> str | None:
            headers = {"Authorization": f"Bearer {keys[budget]}"}
            answer = await client.post("/v1/chat/completions", json={**CHAT, "stream": stream}, headers=headers)
            assert answer.headers.get("x-tollhouse-key-spend") == answer.headers.get("x-litellm-key-spend")
            return answer.headers.get("x-litellm-key-spend")

        keys = {
            budget: (await client.post("/key/generate", json={"max_budget": budget})).json()["key"]
            for budget in (5.0, None)
        }
        assert await spend_of(5.0) == "0.000023"
        # The settlement of a call is not waited for by its answer.
        async with asyncio.timeout(10):
            while (spent := await spend_of(5.0, stream=True)) == "0":
                pass
        assert float(spent or 0) >= 0.000023
        assert await spend_of(None) is None


@pytest.mark.parametrize(("capture", "members"), [("chat_nonstream", {}), ("chat_stream", {"stream": True})])
async def test_the_headers_are_litellms(
    gateway: Gateway, fake_provider: FakeProvider, golden: Golden, capture: str, members: dict[str, object]
) -> None:
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        headers = (await client.post("/v1/chat/completions", json={**CHAT, **members})).headers
    expected = {name for name in golden(capture, "headers") if not name.startswith(NOT_HERE)}
    assert expected - set(headers) == set()
