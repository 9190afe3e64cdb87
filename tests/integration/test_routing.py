"""Retries, fallbacks, aliases, deployments that rest: what a caller never sees of a provider's failures."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import httpx
import pytest

from tests.fake_provider import Behaviour, FakeProvider

MESSAGES = [{"role": "user", "content": "hi"}]
CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/first, api_base: "{base}", api_key: k, input_cost_per_token: 0.000001, output_cost_per_token: 0.000001}}
  - model_name: claude
    litellm_params: {{model: openai/second, api_base: "{base}", api_key: k, input_cost_per_token: 0.000001, output_cost_per_token: 0.000001}}
  - model_name: local
    litellm_params: {{model: openai/third, api_base: "{base}", api_key: k, input_cost_per_token: 0.000001, output_cost_per_token: 0.000001}}
  - model_name: pair
    litellm_params: {{model: openai/dead, api_base: "http://127.0.0.1:9/v1", api_key: k}}
  - model_name: pair
    litellm_params: {{model: openai/alive, api_base: "{base}", api_key: k}}
  - model_name: busy
    litellm_params: {{model: openai/left, api_base: "{base}", api_key: k}}
  - model_name: busy
    litellm_params: {{model: openai/right, api_base: "{base}", api_key: k}}
router_settings:
  routing_strategy: least-busy
  model_group_alias: {{"gpt-4-fallback": ["gpt-4o", "claude", "local"], short: claude, secret: {{model: local, hidden: true}}}}
  num_retries: 1
  fallbacks: [{{gpt-4o: [claude, local]}}]
"""  # noqa: E501 (one deployment a line reads best)
BROKEN = Behaviour(500, {"content-type": "application/json"}, b'{"error": {"message": "broken"}}')
REFUSING = Behaviour(400, {"content-type": "application/json"}, b'{"error": {"message": "too creative"}}')


@pytest.fixture
async def gateway(stack, fake_provider: FakeProvider):
    return await stack(CONFIG.format(base=fake_provider.base_url))


@pytest.fixture
async def client(gateway):
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        yield client


async def ask(client: httpx.AsyncClient, model: str, **members: object) -> httpx.Response:
    return await client.post("/v1/chat/completions", json={"model": model, "messages": MESSAGES, **members})


def asked(provider: FakeProvider) -> list[str]:
    return [seen.body["model"] for seen in provider.seen]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_is_tried_again_after_a_pause(client, fake_provider: FakeProvider, stream: bool) -> None:
    fake_provider.behave("second", BROKEN, Behaviour())
    began = time.monotonic()
    answer = await ask(client, "claude", stream=stream)
    assert answer.status_code == 200
    assert asked(fake_provider) == ["second", "second"]
    assert time.monotonic() - began >= 0.5


async def test_fallback_groups_answer_when_retries_are_used_up(client, fake_provider: FakeProvider) -> None:
    fake_provider.behave("first", BROKEN)
    fake_provider.behave("second", BROKEN)
    answer = await ask(client, "gpt-4o")
    assert answer.status_code == 200
    assert asked(fake_provider) == ["first", "first", "second", "second", "third"]
    entry = await entry_of(client)
    assert (entry["status"], entry["model_group"], entry["model"]) == ("success", "gpt-4o", "openai/third")
    assert [attempt["provider_status"] for attempt in entry["metadata"]["attempts"]] == [500, 500, 500, 500, 200]


async def test_a_refusal_is_not_repeated_but_may_fall_back(client, fake_provider: FakeProvider) -> None:
    fake_provider.behave("first", REFUSING)
    assert (await ask(client, "gpt-4o")).status_code == 200
    assert asked(fake_provider) == ["first", "second"]


async def test_when_all_fail_the_first_failure_is_told(client, fake_provider: FakeProvider) -> None:
    for model in ("first", "second", "third"):
        fake_provider.behave(model, REFUSING if model == "first" else BROKEN)
    answer = await ask(client, "gpt-4o")
    assert answer.status_code == 400
    assert "too creative" in answer.json()["error"]["message"]
    assert answer.headers["x-litellm-call-id"]


async def test_an_alias_may_stand_for_one_group_several_or_a_hidden_one(client, fake_provider: FakeProvider) -> None:
    fake_provider.behave("first", REFUSING)
    for alias, models in {"gpt-4-fallback": ["first", "second"], "short": ["second"], "secret": ["third"]}.items():
        fake_provider.seen.clear()
        assert (await ask(client, alias)).status_code == 200
        assert asked(fake_provider) == models
    listed = {model["id"] for model in (await client.get("/v1/models")).json()["data"]}
    assert {"gpt-4-fallback", "short"} <= listed
    assert "secret" not in listed


async def test_a_dead_deployment_is_passed_over(client, fake_provider: FakeProvider) -> None:
    for _ in range(20):
        assert (await ask(client, "pair")).status_code == 200
    entries = (await client.get("/spend/logs?limit=100")).json()
    # It rests after its first failure, and is asked again at most when its 5 s are over.
    failed = [row for row in entries if len(row["metadata"]["attempts"]) > 1]
    assert len(failed) <= 3


async def test_least_busy_spreads_calls_that_are_under_way(client, fake_provider: FakeProvider) -> None:
    for model in ("left", "right"):
        fake_provider.behave(model, Behaviour(head_delay_seconds=1))
    await asyncio.gather(*(ask(client, "busy") for _ in range(10)))
    assert Counter(asked(fake_provider)) == {"left": 5, "right": 5}


async def test_a_busy_provider_is_waited_for_as_it_asks(client, fake_provider: FakeProvider) -> None:
    busy = Behaviour(429, {"content-type": "application/json", "retry-after": "1"}, b'{"error": {"message": "busy"}}')
    fake_provider.behave("second", busy, Behaviour())
    began = time.monotonic()
    assert (await ask(client, "claude")).status_code == 200
    assert time.monotonic() - began >= 1


async def test_a_budget_holds_over_fallbacks(client, fake_provider: FakeProvider) -> None:
    """Attempts that are billed and the one that answers together cost no more than the hold."""
    fake_provider.behave("first", Behaviour(words=("x",) * 500, cut_after=0), REFUSING)
    fake_provider.behave("second", Behaviour(words=("x",) * 5000))
    key = (await client.post("/key/generate", json={"max_budget": 0.001})).json()["key"]
    answer = await client.post(
        "/v1/chat/completions",
        json={"model": "gpt-4o", "messages": MESSAGES},
        headers={"Authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 200
    info = (await client.get("/key/info", params={"key": key})).json()["info"]
    assert 0 < info["spend"] + info["held"] <= 0.001
    assert json.loads(answer.content)["usage"]["completion_tokens"] < 1000


async def entry_of(client: httpx.AsyncClient) -> dict:
    for _ in range(100):
        rows = (await client.get("/spend/logs")).json()
        if rows:
            return rows[0]
    raise AssertionError("no entry has come")
