"""Streams whose holds grow with them: no cap is ever passed, and what it does not pay for ends with `length`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.fake_provider import INPUT_TOKENS, Behaviour, FakeProvider
from tests.stack import SHAPES, Gateway, ShareGateway

# $0.001 a token of output; the model is known to show all that it writes, at most 16,384 tokens.
CONFIG = """
model_list:
  - model_name: gpt
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: "{base}"
      api_key: k
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.001
"""
BODY = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}], "stream": True}


async def _key(client: httpx.AsyncClient, budget: float) -> str:
    answer = await client.post("/key/generate", json={"max_budget": budget})
    assert answer.status_code == 200, answer.text
    key: str = answer.json()["key"]
    return key


async def _stream(client: httpx.AsyncClient, key: str, **members: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return await client.post("/v1/chat/completions", json={**BODY, **members}, headers=headers)


async def _state(client: httpx.AsyncClient, key: str) -> tuple[float, float]:
    info = (await client.get("/key/info", params={"key": key})).json()["info"]
    return info["spend"], info["held"]


async def _settled(client: httpx.AsyncClient, key: str) -> float:
    for _ in range(200):
        spent, held = await _state(client, key)
        if not held:
            return spent
        await asyncio.sleep(0.05)
    raise AssertionError("money stays held")


def _chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    *events, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def _words(chunks: list[dict[str, Any]]) -> int:
    return sum(bool(choice["delta"].get("content")) for chunk in chunks for choice in chunk["choices"])


def _finishes(chunks: list[dict[str, Any]]) -> list[str]:
    return [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]


@pytest.fixture(scope="module", params=SHAPES)
async def gateway(request, shared_stack: ShareGateway, provider_server: FakeProvider) -> AsyncIterator[Gateway]:
    """Shared: every test has keys of its own."""
    async with shared_stack(CONFIG.format(base=provider_server.base_url), shape=request.param) as gateway:
        yield gateway


async def test_a_stream_goes_on_for_as_long_as_its_budget_does(gateway: Gateway, fake_provider: FakeProvider) -> None:
    words = ("x",) * 5_000
    # The second one slowly: what it has written when it is left must not be all.
    fake_provider.behave("gpt-4o-mini", Behaviour(words=words), Behaviour(words=words, gap_seconds=0.0005))
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=60) as client:
        rich, poor = await _key(client, 20), await _key(client, 2.5)
        whole = _chunks(await _stream(client, rich))
        assert (_words(whole), _finishes(whole)) == (5_000, ["stop"])
        assert await _settled(client, rich) == pytest.approx(5 + INPUT_TOKENS * 1e-6)

        answer = await _stream(client, poor, stream_options={"include_usage": True})
        *chunks, last = _chunks(answer)
        got = _words(chunks)
        assert 2_480 <= got <= 2_500
        assert _finishes(chunks) == ["length"]
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert {chunk["id"] for chunk in chunks} == {"chatcmpl-fake"}
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] == got
        assert got / 1_000 < await _settled(client, poor) <= 2.5
        for seen in fake_provider.seen:
            assert "max_tokens" not in seen.body
            assert "max_completion_tokens" not in seen.body
        async with asyncio.timeout(10):
            await fake_provider.seen[1].ended.wait()
        assert fake_provider.seen[1].aborted
        logged = (await client.get("/spend/logs", params={"api_key": poor})).json()
        assert [entry["completion_tokens"] for entry in logged] == [got]


@pytest.mark.parametrize("gateway", ["one"], indirect=True)
async def test_a_caller_who_did_not_ask_for_the_usage_gets_none(gateway: Gateway, fake_provider: FakeProvider) -> None:
    fake_provider.behave("gpt-4o-mini", Behaviour(words=("x",) * 3_000, burst=True))
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=60) as client:
        key = await _key(client, 1.5)
        chunks = _chunks(await _stream(client, key))
        assert 1_480 <= _words(chunks) <= 1_500
        assert _finishes(chunks) == ["length"]
        assert not any("usage" in chunk for chunk in chunks)
        # So that the sums of the next test are its own.
        await _settled(client, key)


async def test_streams_that_grow_at_once_never_pass_their_cap(gateway: Gateway, fake_provider: FakeProvider) -> None:
    """Twelve, each with $3 worth of text, under a cap of $16: all begin, and not all can end by themselves."""
    fake_provider.behave("gpt-4o-mini", Behaviour(words=("x",) * 3_000))
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=120) as client:
        before = (await client.get("/global/spend")).json()["spend"]
        key = await _key(client, 16)
        streams = asyncio.gather(*(_stream(client, key) for _ in range(12)))
        seen: list[float] = []
        while not streams.done():
            seen.append(sum(await _state(client, key)))
            await asyncio.sleep(0.01)
        answers = await streams
        assert max(seen) <= 16 + 1e-9
        spent = await _settled(client, key)
        assert spent <= 16
        finishes = [_finishes(_chunks(answer)) for answer in answers]
        assert ["length"] in finishes
        assert all(each in (["length"], ["stop"]) for each in finishes)
        total = (await client.get("/global/spend")).json()["spend"]
        assert total - before == pytest.approx(spent, abs=1e-9)


@pytest.mark.parametrize("gateway", ["one"], indirect=True)
async def test_a_limit_of_the_caller_s_is_the_end_of_growing(gateway: Gateway, fake_provider: FakeProvider) -> None:
    fake_provider.behave("gpt-4o-mini", Behaviour(words=("longer",) * 3_000))
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=60) as client:
        key = await _key(client, 1.2)
        chunks = _chunks(await _stream(client, key, max_tokens=1_100))
        # Reckoned by its bytes it is twice as long; but the provider keeps to its limit, and that is held.
        assert (_words(chunks), _finishes(chunks)) == (1_100, ["stop"])
        assert await _settled(client, key) == pytest.approx(1.1 + INPUT_TOKENS * 1e-6)


async def test_an_answer_with_an_open_end_is_limited_to_what_is_held(stack, fake_provider: FakeProvider) -> None:
    config = CONFIG.format(base=fake_provider.base_url).replace("gpt-4o-mini", "unheard-of")
    gateway = await stack(config)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        for stream in (False, True):
            key = await _key(client, 50)
            assert (await _stream(client, key, stream=stream)).status_code == 200
            assert fake_provider.seen[-1].body["max_tokens"] == 16_384
        assert (await _stream(client, gateway.master_key)).status_code == 200
        assert "max_tokens" not in fake_provider.seen[-1].body
