"""The attempt loop and credentials: when a request is signed, and what follows when it cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from gateway.v1 import ledger_pb2

from services.errors import GatewayError, Reason
from tests.unit.router.test_engine import Bench, Script


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield (bench := Bench())
    assert bench.providers.open_now == 0


def signs(bench: Bench, **members: Any) -> None:
    bench.deployments = [replace(each, auth="signer", **members) for each in bench.deployments]


async def test_a_request_is_signed_before_anything_is_told_of_it(bench: Bench) -> None:
    signs(bench)
    await bench.engine.run(bench.caller())
    assert bench.events[:3] == ["sign a", "opened", "sent a"]
    assert bench.providers.headers[0]["api-key"] == "signed-for-you"


async def test_a_deployment_without_a_signer_is_asked_as_its_wire_says(bench: Bench) -> None:
    await bench.engine.run(bench.caller())
    assert "sign a" not in bench.events
    assert "api-key" not in bench.providers.headers[0]


async def test_a_mock_needs_no_credential(bench: Bench) -> None:
    signs(bench, mock_response="hi")
    caller = bench.caller()
    await bench.engine.run(caller)
    assert "sign a" not in bench.events
    assert b"hi" in caller.out


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "reason",
    [
        Reason.ERROR_REASON_PROVIDER_AUTHENTICATION,
        Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        Reason.ERROR_REASON_PROVIDER_TIMEOUT,
    ],
)
async def test_without_a_credential_another_deployment_is_asked(bench: Bench, reason: Reason, stream: bool) -> None:
    signs(bench)
    bench.signer.failures["a"] = GatewayError(reason, "no credential")
    caller = bench.caller(stream=stream)
    await bench.engine.run(caller)
    assert bench.events[:4] == ["sign a", "sign b", "opened", "sent b"]
    # Nothing was sent to the first, so it is no attempt that a provider could bill.
    assert [attempt.deployment_id for attempt in bench.entry.attempts] == ["b"]


async def test_no_credential_anywhere_costs_nothing(bench: Bench) -> None:
    signs(bench)
    for name in "ab":
        bench.signer.failures[name] = GatewayError(Reason.ERROR_REASON_PROVIDER_AUTHENTICATION, f"none for {name}")
    assert (await bench.fails(bench.caller())).message == "none for b"
    assert bench.events == ["sign a", "sign b", "entry"]
    assert bench.entry.error_reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert (list(bench.entry.attempts), bench.entry.cost_nano_usd) == ([], 0)


async def test_waiting_for_a_credential_ends_with_the_attempts_time(bench: Bench) -> None:
    signs(bench, timeout_seconds=0.01)
    bench.signer.hangs = True
    bench.deployments = bench.deployments[:1]
    error = await asyncio.wait_for(bench.fails(bench.caller(timeout_ms=20)), 5)
    assert error.reason == Reason.ERROR_REASON_PROVIDER_TIMEOUT
    assert bench.entry.cost_nano_usd == 0


async def test_a_caller_who_leaves_before_there_is_a_credential_pays_nothing(bench: Bench) -> None:
    signs(bench)
    bench.signer.hangs = True
    await bench.cancelled(bench.caller(), lambda: "sign a" in bench.events)
    assert bench.entry.status == ledger_pb2.ENTRY_STATUS_CANCELLED
    assert (list(bench.entry.attempts), bench.entry.cost_nano_usd) == ([], 0)


@pytest.mark.parametrize(("status", "is_told"), [(401, True), (429, False), (500, False)])
async def test_a_signer_is_told_when_its_credential_was_not_taken(bench: Bench, status: int, is_told: bool) -> None:
    signs(bench)
    bench.deployments = bench.deployments[:1]
    bench.providers.scripts["a"] = Script([b'{"error":{"message":"Not with signed-for-you!"}}'], status=status)
    error = await bench.fails(bench.caller(timeout_ms=1))
    assert ("refused a" in bench.events) == is_told
    assert error.message == "Not with ***!"
