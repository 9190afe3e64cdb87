"""A thousand calls at once, over two edges, keystores and routers: a cap is never passed, and all of it is usable."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.fake_provider import Behaviour, FakeProvider
from tests.stack import Gateway

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params:
      model: openai/upstream
      api_base: "{base}"
      api_key: k
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.001
general_settings:
  apply_user_budget_to_team_keys: true
"""
NANO = 1_000_000_000
CAP_USD = 5.0
CALLS = 1_000
# What is held for the least useful answer: 16 tokens of output, and the body's bytes of input.
LEAST_OUTPUT_USD = 16 * 0.001
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 20))]

_REFUSED = re.compile(
    r"(?:Current cost: |Spend=)([\d.]+), (?:Max budget: |Budget=)([\d.]+)(?:, held for calls under way: ([\d.]+))?"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call: how it ended, what it asked for and got, in tokens; of a refusal what the gateway says is left."""

    status: int
    asked: int
    got: int = 0
    left_usd: float = 0.0
    least_usd: float = 0.0


def words_of(text: str, *, stream: bool) -> int:
    """Tokens of an answer of the fake provider's: each is an x."""
    if not stream:
        return json.loads(text)["choices"][0]["message"]["content"].count("x")
    events = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
    deltas = (choice["delta"].get("content") or "" for event in events for choice in json.loads(event)["choices"])
    return "".join(deltas).count("x")


async def call(client: aiohttp.ClientSession, base_url: str, key: str, max_tokens: int, *, stream: bool) -> Outcome:
    body = json.dumps(
        {"model": "gpt", "messages": [{"role": "user", "content": "hi"}], "max_tokens": max_tokens, "stream": stream}
    )
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with client.post(f"{base_url}/v1/chat/completions", data=body, headers=headers) as answer:
        text = await answer.text()
    if answer.status == 200:
        return Outcome(200, max_tokens, words_of(text, stream=stream))
    assert answer.status == 422, text
    said = _REFUSED.search(text)
    assert said, text
    spent, cap, held = (float(each or 0) for each in said.groups())
    return Outcome(422, max_tokens, left_usd=cap - spent - held, least_usd=LEAST_OUTPUT_USD + len(body) * 1e-6)


async def post(client: aiohttp.ClientSession, gateway: Gateway, path: str, **body: object) -> dict[str, Any]:
    async with client.post(f"{gateway.base_url}{path}", json=body, headers=gateway.headers) as answer:
        made: dict[str, Any] = await answer.json()
        assert answer.status == 200, made
    return made


async def key_of(client: aiohttp.ClientSession, gateway: Gateway, **members: object) -> str:
    return str((await post(client, gateway, "/key/generate", **members))["key"])


async def settled_nano_usd(client: aiohttp.ClientSession, gateway: Gateway, key: str) -> int:
    """What was spent once nothing is held any more."""
    for _ in range(200):
        async with client.get(f"{gateway.base_url}/key/info", params={"key": key}, headers=gateway.headers) as answer:
            info = (await answer.json())["info"]
        if not info["held"]:
            return round(info["spend"] * NANO)
        await asyncio.sleep(0.05)
    raise AssertionError("money stays held")


async def a_thousand_at_once(
    client: aiohttp.ClientSession, edges: list[str], keys: list[str], chance: random.Random
) -> list[Outcome]:
    """Each asks for 50 to 150 tokens at $0.001, and the provider always writes as much as it may."""
    return await asyncio.gather(
        *(
            call(
                client, chance.choice(edges), chance.choice(keys), chance.randint(50, 150), stream=chance.random() < 0.5
            )
            for _ in range(CALLS)
        )
    )


def assert_right(outcomes: list[Outcome]) -> None:
    """No refusal while what is left pays for the least useful answer, and no answer short of sixteen tokens."""
    assert [each for each in outcomes if each.status == 422 and each.left_usd >= each.least_usd] == []
    assert all(each.got >= min(16, each.asked) for each in outcomes if each.status == 200)


@pytest.fixture
async def gateway(stack, fake_provider: FakeProvider) -> Gateway:
    gateway: Gateway = await stack(
        CONFIG.format(base=fake_provider.base_url), shape="split", edges=2, routers=2, keystores=2
    )
    fake_provider.behave("upstream", Behaviour(words=("x",) * 400, burst=True, head_delay_seconds=0.1))
    return gateway


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_thousand_calls_at_once_never_pass_a_cap_and_leave_none_of_it_unusable(
    gateway: Gateway, seed: int
) -> None:
    edges = [gateway.url("edge"), gateway.url("edge-2")]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        key = await key_of(client, gateway, max_budget=CAP_USD)
        outcomes = await a_thousand_at_once(client, edges, [key], random.Random(seed))
        spent = await settled_nano_usd(client, gateway, key)
        assert spent <= CAP_USD * NANO
        assert_right(outcomes)
        short = [each for each in outcomes if each.status == 200 and each.got < each.asked]
        if short:  # what was left was gone: as much was held or spent as the cap allows, but for less than an answer
            assert sum(each.asked for each in outcomes if each.status == 200) * 0.001 > CAP_USD - 2 * LEAST_OUTPUT_USD
        while (each := await call(client, edges[0], key, 100, stream=False)).status == 200:
            spent = await settled_nano_usd(client, gateway, key)
        assert each.left_usd < each.least_usd
        assert 4.90 * NANO <= spent <= CAP_USD * NANO
        print(f"seed {seed}: {Counter(each.status for each in outcomes)}, {len(short)} short, spent {spent / NANO}")


@pytest.mark.parametrize("seed", SEEDS)
async def test_caps_of_a_team_its_user_and_a_key_hold_together(gateway: Gateway, seed: int) -> None:
    """The team may spend $5, the user, all of whose keys are the team's, $4, and one of the three keys $1."""
    edges = [gateway.url("edge"), gateway.url("edge-2")]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        await post(client, gateway, "/user/new", user_id="u", max_budget=4, auto_create_key=False)
        await post(client, gateway, "/team/new", team_id="t", max_budget=CAP_USD)
        await post(client, gateway, "/team/member_add", team_id="t", member={"role": "user", "user_id": "u"})
        poor = await key_of(client, gateway, team_id="t", user_id="u", max_budget=1)
        mine = [poor, *[await key_of(client, gateway, team_id="t", user_id="u") for _ in range(2)]]
        others = await key_of(client, gateway, team_id="t")
        outcomes = await a_thousand_at_once(client, edges, [*mine, others], random.Random(seed))
        assert_right(outcomes)
        got = sum(each.got for each in outcomes if each.status == 200)
        for key in (mine[1], others):  # what is left, in series
            while (await call(client, edges[0], key, 100, stream=False)).status == 200:
                await settled_nano_usd(client, gateway, key)
        # Of keys without a budget the ledger is asked, which the last entries reach within a second or so.
        for _ in range(100):
            async with client.get(
                f"{gateway.base_url}/team/info", params={"team_id": "t"}, headers=gateway.headers
            ) as answer:
                of_team = round((await answer.json())["team_info"]["spend"] * NANO)
            spent = [await settled_nano_usd(client, gateway, key) for key in (*mine, others)]
            if sum(spent) == of_team:
                break
            await asyncio.sleep(0.1)
        print(f"seed {seed}: {Counter(each.status for each in outcomes)}, {got} tokens at once, spent {spent}")
        assert sum(spent) == of_team
        assert spent[0] <= 1 * NANO
        assert sum(spent[:3]) <= 4 * NANO
        assert 4.98 * NANO <= sum(spent) <= CAP_USD * NANO
