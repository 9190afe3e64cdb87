"""The edge's HTTP surface, over real sockets, with scripted neighbours behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from gateway.v1 import keystore_pb2, ledger_pb2, router_pb2

from router.call import Caller
from services.errors import GatewayError, Reason
from tests.edge_scene import Scene

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
EVENT = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'


async def answer_whole(caller: Caller) -> None:
    await caller.body()
    caller.sent("d")
    caller.head(router_pb2.Head(content_type="application/json", deployment_id="dep"))
    await caller.data(b'{"choices":[]}')
    caller.result(router_pb2.Result(cost_nano_usd=72_500))


async def test_a_unary_answer_carries_its_bytes_and_its_cost(scene: Scene) -> None:
    scene.run = answer_whole
    async with scene.client() as client:
        for path in ("/v1/chat/completions", "/chat/completions"):
            answer = await client.post(path, json=CHAT, headers={"x-litellm-call-id": "mine-1"})
            assert (answer.status_code, answer.content) == (200, b'{"choices":[]}')
            assert answer.headers["x-litellm-call-id"] == "mine-1"
            assert answer.headers["x-litellm-model-id"] == "dep"
            assert answer.headers["x-litellm-response-cost"] == "0.0000725"


async def test_what_a_provider_was_not_asked_is_told_in_a_header_that_nothing_can_break_out_of(scene: Scene) -> None:
    async def run(caller: Caller) -> None:
        await caller.body()
        head = router_pb2.Head(content_type="application/json", dropped_params=["seed", "a\r\nx-evil: é", "z" * 5_000])
        await caller.answer(head, b"{}", router_pb2.Result())

    scene.run = run
    async with scene.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT)
    assert answer.headers["x-tollhouse-dropped-params"].startswith("seed, a??x-evil: ?, zzz")
    assert len(answer.headers["x-tollhouse-dropped-params"]) == 1024
    assert "x-evil" not in answer.headers


async def test_a_stream_is_written_as_it_comes(scene: Scene) -> None:
    go = asyncio.Event()

    async def run(caller: Caller) -> None:
        await caller.body()
        caller.head(router_pb2.Head(content_type="text/event-stream; charset=utf-8"))
        await caller.data(EVENT)
        await go.wait()
        await caller.data(b"data: [DONE]\n\n")
        caller.result(router_pb2.Result())

    scene.run = run
    async with (
        scene.client() as client,
        client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as s,
    ):
        assert s.headers["content-type"].startswith("text/event-stream")
        pieces = s.aiter_raw()
        assert await anext(pieces) == EVENT
        go.set()
        assert b"".join([piece async for piece in pieces]) == b"data: [DONE]\n\n"


async def test_a_failure_in_mid_stream_is_one_error_event_and_no_done(scene: Scene) -> None:
    async def run(caller: Caller) -> None:
        await caller.body()
        caller.head(router_pb2.Head(content_type="text/event-stream"))
        await caller.data(EVENT)
        raise GatewayError(Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "cut off")

    scene.run = run
    async with scene.client() as client:
        answer = await client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert answer.status_code == 200
    first, second, rest = answer.content.split(b"\n\n")
    assert first + b"\n\n" == EVENT
    assert json.loads(second.removeprefix(b"data: "))["error"]["message"] == "cut off"
    assert rest == b""


async def test_a_caller_that_leaves_cancels_its_call(scene: Scene) -> None:
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def run(caller: Caller) -> None:
        await caller.body()
        running.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    scene.run = run
    async with scene.client() as client:
        call = asyncio.create_task(client.post("/v1/chat/completions", json=CHAT))
        await asyncio.wait_for(running.wait(), 5)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_refusal_keeps_its_meaning(scene: Scene) -> None:
    scene.refusal = GatewayError(Reason.ERROR_REASON_BUDGET_EXCEEDED, "Budget has been exceeded!")
    async with scene.client() as client:
        answer = await client.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 422
    assert answer.json()["error"] == {
        "message": "Budget has been exceeded!",
        "type": "budget_exceeded",
        "param": None,
        "code": "422",
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{not json", "request_body"),
        (b"", "request_body"),
        (b'{"model":"m"}', "messages"),
        (b"\x00\xff", "request_body"),
    ],
)
async def test_a_bad_body_is_the_callers_error(scene: Scene, body: bytes, param: str) -> None:
    async with scene.client() as client:
        answer = await client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert scene.admits == []


async def test_a_body_over_the_limit_is_refused_announced_or_not(scene: Scene) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 10_000

    async with scene.client() as client:
        announced = await client.post("/v1/chat/completions", content=b" " * 100_001)
        assert announced.status_code == 413
        assert announced.json()["error"]["type"] == "invalid_request_error"
    async with scene.client() as client:
        chunked = await client.post("/v1/chat/completions", content=pieces())
        assert chunked.status_code == 413


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({}, "auth_error"),
        ({"Authorization": "Bearer nonsense"}, "auth_error"),
    ],
)
async def test_no_key_is_401(scene: Scene, headers: dict[str, str], kind: str) -> None:
    async with httpx.AsyncClient(base_url=scene.base_url, headers=headers) as client:
        for method, path in [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/spend/logs")]:
            answer = await client.request(method, path, json=CHAT if method == "POST" else None)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == kind


async def test_admin_routes_refuse_virtual_keys(scene: Scene) -> None:
    scene.add_key("sk-virtual", keystore_pb2.Key(key_id="k1"))
    async with scene.client() as client:
        for method, path in [
            ("POST", "/key/generate"),
            ("POST", "/key/block"),
            ("POST", "/key/unblock"),
            ("POST", "/key/delete"),
            ("GET", "/provider/budgets"),
            ("GET", "/health"),
            ("GET", "/metrics"),
        ]:
            answer = await client.request(method, path, headers={"Authorization": "Bearer sk-virtual"})
            assert answer.status_code == 401, path
            assert "proxy admin" in answer.json()["error"]["message"]


async def test_a_large_head_is_431_and_the_server_lives_on(scene: Scene) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 300_000)
    await writer.drain()
    assert (await asyncio.wait_for(reader.read(200), 5)).startswith(b"HTTP/1.1 431")
    writer.close()
    async with scene.client() as client:
        assert (await client.get("/health/liveliness")).json() == "I'm alive!"


async def test_health_models_and_spend_answer(scene: Scene) -> None:
    scene.spend = [ledger_pb2.SpendRow(cost_nano_usd=1_500_000_000)]
    async with scene.client() as client:
        ready = await client.get("/health/readiness")
        assert (ready.status_code, ready.json()["status"]) == (200, "healthy")
        models = (await client.get("/v1/models")).json()
        assert [model["id"] for model in models["data"]] == ["m", "org/large"]
        assert (await client.get("/global/spend?start_date=2026-01-01")).json() == {"spend": 1.5, "max_budget": 0.0}
        assert (await client.get("/spend/logs")).json() == []
        assert "tollhouse_http_calls" in (await client.get("/metrics")).text


async def test_unknown_routes_and_methods_are_404_and_405(scene: Scene) -> None:
    async with scene.client() as client:
        assert (await client.get("/nothing")).json() == {"detail": "Not Found"}
        assert (await client.get("/v1/chat/completions")).status_code == 405


async def test_a_limit_that_would_not_be_kept_is_refused_by_name(scene: Scene) -> None:
    async with scene.client() as client:
        answer = await client.post("/key/generate", json={"tpd_limit": 5, "models": [], "tpm_limit": None})
    assert answer.status_code == 400
    assert "tpd_limit" in answer.json()["error"]["message"]
    assert "tpm_limit" not in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_budget": -1}, "max_budget"),
        ({"duration": "soon"}, "duration"),
        ({"max_budget": "ten"}, "max_budget"),
        ({"models": "m"}, "models"),
    ],
)
async def test_a_bad_key_request_is_400(scene: Scene, body: dict[str, object], param: str | None) -> None:
    async with scene.client() as client:
        answer = await client.post("/key/generate", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
