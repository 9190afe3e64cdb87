"""Limits of a key hold exactly, over all processes, and callers are told how they stand."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import httpx

from tests.fake_provider import INPUT_TOKENS, PRICED_CONFIG, Behaviour, FakeProvider
from tests.stack import Gateway

MESSAGES = [{"role": "user", "content": "hi"}]
# What one call of the fake provider comes to: its input, and an answer of six tokens.
TOKENS = INPUT_TOKENS + 6


async def early_in_a_minute(seconds: float = 20) -> None:
    """Counts of a minute begin anew with the next: a test must not be cut in two by that."""
    left = 60 - time.time() % 60
    if left < seconds:
        await asyncio.sleep(left + 0.1)


async def new_key(gateway: Gateway, **members: object) -> str:
    async with httpx.AsyncClient(headers=gateway.headers, timeout=20) as admin:
        answer = await admin.post(f"{gateway.base_url}/key/generate", json=members)
        assert answer.status_code == 200, answer.text
    key: str = answer.json()["key"]
    return key


async def call(client: httpx.AsyncClient, url: str, key: str, **members: object) -> httpx.Response:
    return await client.post(
        f"{url}/v1/chat/completions",
        json={"model": "gpt", "messages": MESSAGES, **members},
        headers={"Authorization": f"Bearer {key}"},
    )


async def test_five_requests_a_minute_are_five_over_two_of_everything(stack, fake_provider: FakeProvider) -> None:
    gateway = await stack(
        PRICED_CONFIG.format(base=fake_provider.base_url), shape="split", edges=2, routers=2, keystores=2
    )
    key = await new_key(gateway, rpm_limit=5)
    urls = [gateway.url("edge"), gateway.url("edge-2")]
    await early_in_a_minute()
    async with httpx.AsyncClient(timeout=30) as client:
        answers = await asyncio.gather(*(call(client, urls[n % 2], key, stream=n % 3 == 0) for n in range(20)))
        assert Counter(answer.status_code for answer in answers) == {200: 5, 429: 15}
        assert len(fake_provider.seen) == 5
        refused = next(answer for answer in answers if answer.status_code == 429)
        error = refused.json()["error"]
        assert (error["type"], error["code"], error["param"]) == ("throttling_error", "429", None)
        # The time that it names is true: the same call passes then.
        assert 0 < int(refused.headers["retry-after"]) <= 60
        await asyncio.sleep(60 - time.time() % 60 + 0.1)
        assert (await call(client, urls[0], key)).status_code == 200


async def test_calls_at_once_end_with_their_answers_also_when_they_fail(stack, fake_provider: FakeProvider) -> None:
    gateway = await stack(
        PRICED_CONFIG.format(base=fake_provider.base_url) + "router_settings: {num_retries: 0}\n",
        shape="split",
        edges=2,
        keystores=2,
    )
    key = await new_key(gateway, max_parallel_requests=2)
    urls = [gateway.url("edge"), gateway.url("edge-2")]
    async with httpx.AsyncClient(timeout=30) as client:
        for behaviour, status in (
            (Behaviour(head_delay_seconds=1), 200),
            (Behaviour(head_delay_seconds=1, status=400, body=b"{}"), 400),
        ):
            fake_provider.behave("upstream", behaviour)
            answers = await asyncio.gather(*(call(client, urls[n % 2], key) for n in range(6)))
            assert Counter(answer.status_code for answer in answers) == {status: 2, 429: 4}
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert refused.headers["rate_limit_type"] == "max_parallel_requests"
            assert refused.headers["x-ratelimit-api_key-remaining-max_parallel_requests"] == "0"
            # They are settled off the path of their answers.
            await asyncio.sleep(1)


async def test_an_answer_says_how_it_stands_with_the_key_s_limits(stack, fake_provider: FakeProvider) -> None:
    gateway = await stack(PRICED_CONFIG.format(base=fake_provider.base_url))
    key = await new_key(gateway, rpm_limit=9, tpm_limit=10_000, max_budget=1)
    free = await new_key(gateway)
    await early_in_a_minute()
    async with httpx.AsyncClient(timeout=30) as client:
        for number, stream in enumerate((False, True, False), start=1):
            headers = (await call(client, gateway.base_url, key, max_tokens=100, stream=stream)).headers
            assert headers["x-ratelimit-limit-requests"] == headers["x-ratelimit-api_key-limit-requests"] == "9"
            assert headers["x-ratelimit-remaining-requests"] == str(9 - number)
            assert headers["x-ratelimit-limit-tokens"] == "10000"
            # Ended calls count by what they came to, this one by its estimate.
            estimate = 10_000 - (number - 1) * TOKENS - int(headers["x-ratelimit-remaining-tokens"])
            assert 100 < estimate < 150
            assert 0 < float(headers["x-ratelimit-reset-tokens"].removesuffix("s")) <= 60
            assert "x-ratelimit-api_key-limit-max_parallel_requests" not in headers
            # Beside what the answer says of itself and of the key's budget.
            assert headers["x-litellm-model-group"] == "gpt"
            assert float(headers["x-litellm-key-spend"]) > 0
            await asyncio.sleep(0.5)
        assert not [name for name in (await call(client, gateway.base_url, free)).headers if "ratelimit" in name]
        # A failure says it too.
        fake_provider.behave("upstream", Behaviour(status=400, body=b"{}"))
        failed = await call(client, gateway.base_url, key)
        assert (failed.status_code, failed.headers["x-ratelimit-remaining-requests"]) == (400, "5")
