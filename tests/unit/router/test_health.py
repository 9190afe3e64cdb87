"""Checks of deployments: who is asked, with what, and what becomes of each."""

from __future__ import annotations

import asyncio

import pytest
from gateway.v1 import router_pb2

from router.call import Caller
from router.catalog import Catalog, Deployment
from router.health import HEALTH_TAG, MAX_CHECKS, HealthChecks
from services.errors import GatewayError, Reason
from services.ids import IdMint

REFUSED = GatewayError(Reason.ERROR_REASON_PROVIDER_AUTHENTICATION, "Invalid key.")


def deployment(name: str, group: str = "g", **other) -> Deployment:
    return Deployment(
        id=name, group=group, provider="openai", provider_model=f"up-{name}", api_base="http://up/v1", **other
    )


def checks(run, *deployments: Deployment) -> HealthChecks:
    groups: dict[str, tuple[Deployment, ...]] = {}
    for each in deployments:
        groups[each.group] = (*groups.get(each.group, ()), each)
    return HealthChecks(lambda: Catalog(groups), run, IdMint())


async def ask(health: HealthChecks, **request: str) -> dict[str, str]:
    """What is wrong with each."""
    answer = await health.check(router_pb2.CheckHealthRequest(**request))
    return {each.deployment_id: each.error.message for each in answer.deployments}


async def well(deployment: Deployment, caller: Caller) -> None:
    pass


async def test_each_is_asked_once_and_has_its_row() -> None:
    async def run(deployment: Deployment, caller: Caller) -> None:
        if deployment.id == "b":
            raise REFUSED

    health = checks(run, deployment("a"), deployment("b"), deployment("c", "h", mock_response="hi"))
    rows = (await health.check(router_pb2.CheckHealthRequest())).deployments
    assert [row.deployment_id for row in rows] == ["a", "b", "c"]
    assert [row.provider_model for row in rows] == ["openai/up-a", "openai/up-b", "openai/up-c"]
    assert [row.api_base for row in rows] == ["http://up/v1", "http://up/v1", ""]
    assert [row.error.message for row in rows if row.HasField("error")] == ["Invalid key."]


async def test_only_those_that_are_named() -> None:
    health = checks(well, deployment("a"), deployment("b"), deployment("c", "h"))
    assert list(await ask(health, model="g")) == ["a", "b"]
    assert list(await ask(health, deployment_id="c")) == ["c"]
    assert await ask(health, model="g", deployment_id="c") == {}
    assert await ask(health, model="nobody") == {}


async def test_a_check_is_one_token_by_the_master_key_under_a_tag_and_in_time() -> None:
    seen: list[router_pb2.Open] = []

    async def run(deployment: Deployment, caller: Caller) -> None:
        seen.append(caller.request)
        assert len(await caller.body()) == caller.request.body_bytes

    await ask(checks(run, deployment("a"), deployment("b")))
    assert len({request.dispatch_id for request in seen}) == 2
    for request in seen:
        assert (request.model, request.hold.output_tokens_limit, request.hold.epoch) == ("g", 1, "")
        assert (request.principal.master, list(request.principal.tags)) == (True, [HEALTH_TAG])
        assert 0 < request.timeout_ms <= 10_000


async def test_no_more_than_so_many_at_once() -> None:
    running, most = 0, 0

    async def run(deployment: Deployment, caller: Caller) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    names = [str(number) for number in range(3 * MAX_CHECKS)]
    assert list(await ask(checks(run, *map(deployment, names)))) == names
    assert most == MAX_CHECKS


async def test_whoever_asks_and_leaves_ends_the_checks() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def run(deployment: Deployment, caller: Caller) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    asking = asyncio.create_task(ask(checks(run, deployment("a"))))
    await asyncio.wait_for(began.wait(), 5)
    asking.cancel()
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_router_that_stops_breaks_checks_off_and_begins_none() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def run(deployment: Deployment, caller: Caller) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    health = checks(run, deployment("a"))
    asking = asyncio.create_task(ask(health))
    await asyncio.wait_for(began.wait(), 5)
    await health.stop()
    assert ended.is_set()
    for question in (asking, ask(health)):
        with pytest.raises(GatewayError) as refused:
            await asyncio.wait_for(question, 5)
        assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE


async def test_a_mistake_of_ours_is_not_the_deployments() -> None:
    async def run(deployment: Deployment, caller: Caller) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await ask(checks(run, deployment("a")))
