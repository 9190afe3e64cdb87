"""Every process tells a scraper what it does: each role's metrics on an address of its own, for its token only."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fake_provider import FakeProvider
from tests.stack import ROLES, Gateway

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/upstream, api_base: "{base}", api_key: sk-of-the-provider}}
"""
TOKEN = "token-of-the-scraper"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "metrics.md"


@pytest.fixture
async def gateway(stack, fake_provider: FakeProvider) -> Gateway:
    return await stack(
        CONFIG.format(base=fake_provider.base_url),
        shape="split",
        environ={"TOLLHOUSE_METRICS_LISTEN": "127.0.0.1:0", "TOLLHOUSE_METRICS_TOKEN": TOKEN},
    )


async def scrape(gateway: Gateway, name: str, token: str = TOKEN, path: str = "/metrics") -> httpx.Response:
    url = f"http://127.0.0.1:{gateway.metrics_ports[name]}{path}"
    async with httpx.AsyncClient() as client:
        return await client.get(url, headers={"Authorization": f"Bearer {token}"})


def samples(text: str) -> dict[str, float]:
    """The sum over all labels of each sample."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


async def text_with(gateway: Gateway, role: str, *names: str) -> str:
    """A role's metrics, once each of these has counted something: a ledger gathers, the lag is looked at in turns."""
    async with asyncio.timeout(20):
        while True:
            text = (await scrape(gateway, role)).text
            if all(samples(text).get(name, 0) > 0 for name in names):
                return text
            await asyncio.sleep(0.1)


async def test_each_role_counts_a_call_in_its_place_and_tells_no_secret(gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=20) as client:
        key = (await client.post("/key/generate", json={"max_budget": 1})).json()["key"]
        body = {"model": "gpt", "messages": [{"role": "user", "content": "a word of the caller"}]}
        answer = await client.post("/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
    counted = {
        "edge": "tollhouse_http_calls_total",
        "keystore": "tollhouse_admissions_total",
        "router": "tollhouse_calls_total",
        "ledger": "tollhouse_ledger_entries_total",
    }
    for role in ROLES:
        text = await text_with(gateway, role, counted[role], "tollhouse_event_loop_lag_seconds_count")
        assert samples(text)[counted[role]] == 1, role
        for secret in (key, gateway.master_key, "sk-of-the-provider", TOKEN, "a word of the caller"):
            assert secret not in text


async def test_nothing_else_is_there_and_nobody_else_is_answered(gateway: Gateway) -> None:
    assert (await scrape(gateway, "router", token="wrong")).status_code == 401
    assert (await scrape(gateway, "router", token=gateway.master_key)).status_code == 401
    assert (await scrape(gateway, "router", path="/")).status_code == 404


async def test_the_page_of_metrics_names_every_one_and_no_other(gateway: Gateway) -> None:
    told = set(re.findall(r"^\| `(tollhouse_\w+)`", PAGE.read_text(), re.MULTILINE))
    there = {
        family.name
        for role in ROLES
        for family in text_string_to_metric_families((await scrape(gateway, role)).text)
        if family.name.startswith("tollhouse_") and not family.name.endswith("_created")
    }
    assert told == there
