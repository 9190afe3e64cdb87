"""Operators are told over every channel: once, whatever is down meanwhile and however many processes notice it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tests.alert_receivers import Told, until
from tests.fake_provider import PRICED_CONFIG, Behaviour, FakeProvider
from tests.stack import Gateway

PROMPT = "nobody may be told of this"
CHAT = {"model": "gpt", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 200}
# Most of what is held for a call is what it costs: 11 tokens in, 200 out.
LONG = Behaviour(words=(" a",) * 200)
CALL_USD = 0.000411
ALERTING = """
general_settings:
  alerting: [slack, webhook, email]
  alerting_args: {{email_to: [ops@example.com]}}
"""


def config_of(provider: FakeProvider, more: str = "") -> str:
    return PRICED_CONFIG.format(base=provider.base_url) + ALERTING.format() + more


async def made(client: httpx.AsyncClient, path: str, **members: Any) -> dict[str, Any]:
    answer = await client.post(path, json=members)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def chat(client: httpx.AsyncClient, key: str, times: int) -> list[int]:
    answers = []
    for _ in range(times):
        answers.append(await client.post("/v1/chat/completions", json=CHAT, headers={"Authorization": f"Bearer {key}"}))
    return [answer.status_code for answer in answers]


def client_of(gateway: Gateway) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30)


async def test_budgets_that_near_their_end_are_told_of_once(stack, fake_provider, told: Told) -> None:
    told.status = 503
    fake_provider.behave("upstream", LONG)
    gateway = await stack(
        config_of(fake_provider), shape="split", edges=2, keystores=2, ledgers=2, environ=told.environ
    )
    async with client_of(gateway) as client, httpx.AsyncClient(base_url=gateway.url("edge-2"), timeout=30) as other:
        budget = round(CALL_USD * 20, 9)
        await made(client, "/team/new", team_id="t1", soft_budget=CALL_USD * 5)
        one = await made(client, "/key/generate", max_budget=budget, budget_duration="1d", team_id="t1")
        key = one["key"]
        for each in (client, other, client):
            assert await chat(each, key, 6) == [200] * 6
        # Nobody takes it at first.
        await until(lambda: told.refused >= 3)
        assert not told.slack + told.webhook
        told.status = 200
        await until(lambda: told.events("threshold_crossed") and told.events("soft_budget_crossed"))
        # What is left does not pay for many more.
        statuses = [*await chat(client, key, 4), *await chat(other, key, 4)]
        assert 422 in statuses
        await until(lambda: told.events("budget_crossed"))
        # Keystores that know of nothing notice the same again, both of them.
        for name in ("keystore", "keystore-2"):
            await gateway.kill(name)
        for name in ("keystore", "keystore-2"):
            await gateway.start(name)
        for each in (client, other):
            assert 422 in await chat(each, key, 3)
        await asyncio.sleep(8)
        await until(lambda: len(told.slack) == len(told.webhook) == len(told.mails))
        kept = (await client.get("/alerts")).json()["alerts"]
        page = (await client.get("/alerts?page_size=2&type=budget_alerts")).json()["alerts"]
        refused = await client.get("/alerts", headers={"Authorization": f"Bearer {key}"})
    (near, *nearer), (used,), (soft,) = map(told.events, ("threshold_crossed", "budget_crossed", "soft_budget_crossed"))
    # Of several thresholds that are crossed between two looks the highest is told: the next may have been one apart.
    assert [each["percent"] for each in nearer] in ([], [95])
    assert (near["event_group"], near["key_name"], near["percent"]) == ("key", one["key_name"], 85)
    assert near["max_budget"] == budget
    assert 0.85 * budget <= near["spend"] < budget
    assert near["token"] is None
    assert near["event_message"] == f"Key {one['key_name']}: 85 % of the budget is spent"
    assert used["percent"] == 100
    assert (soft["event_group"], soft["team_id"], soft["max_budget"]) == ("team", "t1", None)
    assert len(told.webhook) == len({each["event_message"] for each in told.webhook})
    titles = sorted(each["event_message"] for each in told.webhook)
    assert sorted(each["text"].split("\n")[0] for each in told.slack) == [f"*{title}*" for title in titles]
    assert sorted(mail["Subject"] for mail in told.mails) == titles
    assert {(mail["To"], mail["From"]) for mail in told.mails} == {("ops@example.com", "gateway@example.com")}
    assert len(told.logins) == len(told.mails)
    # Its log: each on each channel, the first ones in vain at first.
    assert len(kept) == 3 * len(told.webhook)
    assert all(row["delivered_at"] and not row["given_up"] and row["last_error"] is None for row in kept)
    assert max(row["attempts"] for row in kept if row["channel"] != "email") > 1
    assert page == kept[:2]
    assert refused.status_code in (401, 403)
    secrets = (key, one["token"], gateway.master_key, PROMPT, "very-secret", "internal-token-of-this-test")
    assert not [secret for secret in secrets if secret in told.everything() + str(kept)]


ROUTER_CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/upstream, api_base: "{base}", api_key: sk-of-the-provider}}
  - model_name: pair
    litellm_params: {{model: openai/first, api_base: "{base}", api_key: sk-of-the-provider}}
  - model_name: pair
    litellm_params: {{model: openai/second, api_base: "{base}", api_key: sk-of-the-provider}}
router_settings: {{cooldown_time: 1, num_retries: 1}}
general_settings:
  alerting: [slack, webhook, email]
  alerting_threshold: 1
  alerting_args: {{ledger_lag_threshold: 2}}
"""


async def test_what_routers_notice_is_told(stack, fake_provider, told: Told) -> None:
    """One after the other: a call that hangs and is slow, a group that is out and comes back, a ledger that is away."""
    gateway = await stack(ROUTER_CONFIG.format(base=fake_provider.base_url), shape="split", environ=told.environ)
    async with client_of(gateway) as client:

        async def call(model: str) -> int:
            return (await client.post("/v1/chat/completions", json={**CHAT, "model": model})).status_code

        fake_provider.behave("upstream", Behaviour(head_delay_seconds=5), Behaviour())
        assert await asyncio.gather(call("gpt"), call("pair")) == [200, 200]
        await until(lambda: told.events("slow_request") and told.events("hanging_requests"))
        (slow,), (hanging,) = map(told.events, ("slow_request", "hanging_requests"))
        assert (slow["model_group"], hanging["model_group"], hanging["calls"]) == ("gpt", "gpt", 1)
        assert slow["seconds"] >= 5
        assert slow["request_id"] == hanging["request_id"]

        out = Behaviour(status=401, body=b'{"error": {"message": "sk-of-the-provider is wrong"}}')
        fake_provider.behave("first", out)
        while not told.events("deployment_out"):
            assert await call("pair") == 200
            await asyncio.sleep(0.2)
        assert told.events("deployment_out")[0]["model"] == "openai/first"
        assert not told.events("group_out")
        fake_provider.behave("second", out)
        while not told.events("group_out"):
            assert await call("pair") != 200
            await asyncio.sleep(0.2)
        fake_provider.behave("first", Behaviour())
        fake_provider.behave("second", Behaviour())
        while not (told.events("group_back") and told.events("deployment_back")):
            await call("pair")
            await asyncio.sleep(0.2)

        assert await gateway.stop("ledger") == 0
        assert await call("gpt") == 200
        # No ledger is there to tell it.
        await until(lambda: told.events("ledger_lag") and [each for each in told.mails if "lags" in each["Subject"]])
        await gateway.start("ledger")
        await until(lambda: told.events("ledger_lag_over"))
        await until(lambda: len(told.slack) == len(told.webhook) == len(told.mails))
        kept = (await client.get("/alerts?type=ledger_lag")).json()["alerts"]
    assert sorted(row["channel"] for row in kept) == ["email", "email", "slack", "slack", "webhook", "webhook"]
    assert all(row["delivered_at"] for row in kept)
    once = ("slow_request", "hanging_requests", "group_out", "group_back", "ledger_lag", "ledger_lag_over")
    assert {name: len(told.events(name)) for name in once} == dict.fromkeys(once, 1)
    assert {mail["To"] for mail in told.mails} == {"gateway@example.com"}
    secrets = ("sk-of-the-provider", gateway.master_key, PROMPT, "very-secret", fake_provider.base_url)
    assert not [secret for secret in secrets if secret in told.everything()]
