"""What `services/transport.py` promises of one request and one response, held to both transports."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway.v1 import ledger_pb2
from structlog.testing import capture_logs

from services.errors import GatewayError, Reason
from services.methods import SUM_SPEND

Serve = Callable[[Any], Awaitable[Any]]
Request, Response = ledger_pb2.SumSpendRequest, ledger_pb2.SumSpendResponse


async def test_a_request_is_answered(serve: Serve) -> None:
    async def answer(request: ledger_pb2.SumSpendRequest) -> ledger_pb2.SumSpendResponse:
        return Response(entries=len(request.key_id))

    served = await serve({SUM_SPEND: answer})
    response = await served.channel.call(SUM_SPEND, Request(key_id="four"), timeout_seconds=5)
    assert response == Response(entries=4)


async def test_a_handlers_error_reaches_the_caller_whole(serve: Serve) -> None:
    async def refuse(_: Any) -> Any:
        raise GatewayError(
            Reason.ERROR_REASON_PROVIDER_REJECTED,
            "größer als erlaubt",
            param="max_tokens",
            provider="p",
            provider_status=422,
            retry_after_seconds=2,
        )

    served = await serve({SUM_SPEND: refuse})
    with pytest.raises(GatewayError) as raised:
        await served.channel.call(SUM_SPEND, Request(), timeout_seconds=5)
    error = raised.value
    assert (error.reason, error.message) == (Reason.ERROR_REASON_PROVIDER_REJECTED, "größer als erlaubt")
    assert (error.param, error.provider, error.provider_status) == ("max_tokens", "p", 422)
    assert error.retry_after_seconds == 2


async def test_an_unforeseen_failure_is_logged_whole_and_tells_the_caller_nothing(serve: Serve) -> None:
    async def fail(_: Any) -> Any:
        raise RuntimeError("the password is swordfish")

    served = await serve({SUM_SPEND: fail})
    with capture_logs() as logs, pytest.raises(GatewayError) as raised:
        await served.channel.call(SUM_SPEND, Request(), timeout_seconds=5)
    assert raised.value.reason == Reason.ERROR_REASON_INTERNAL
    assert "swordfish" not in str(raised.value)
    assert [entry["event"] for entry in logs] == ["rpc_failed"]


async def test_a_deadline_ends_the_call_on_both_sides(serve: Serve) -> None:
    cancelled = asyncio.Event()

    async def sleep(_: Any) -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    served = await serve({SUM_SPEND: sleep})
    with pytest.raises(GatewayError) as raised:
        await asyncio.wait_for(served.channel.call(SUM_SPEND, Request(), timeout_seconds=0.2), 5)
    assert raised.value.reason == Reason.ERROR_REASON_DEADLINE_EXCEEDED
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_cancelled_caller_cancels_the_handler(serve: Serve) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def sleep(_: Any) -> Any:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    served = await serve({SUM_SPEND: sleep})
    call = asyncio.create_task(served.channel.call(SUM_SPEND, Request(), timeout_seconds=60))
    await asyncio.wait_for(begun.wait(), 5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_handler_sees_none_of_the_callers_context(serve: Serve) -> None:
    secret = contextvars.ContextVar("secret", default="empty")
    secret.set("of the caller")
    seen: list[str] = []

    async def look(_: Any) -> Any:
        seen.append(secret.get())
        return Response()

    served = await serve({SUM_SPEND: look})
    await served.channel.call(SUM_SPEND, Request(), timeout_seconds=5)
    assert seen == ["empty"]


async def test_a_stopped_server_is_unavailable(serve: Serve) -> None:
    async def answer(_: Any) -> Any:
        return Response()

    served = await serve({SUM_SPEND: answer})
    await served.stop()
    with pytest.raises(GatewayError) as raised:
        await served.channel.call(SUM_SPEND, Request(), timeout_seconds=5)
    assert raised.value.reason == Reason.ERROR_REASON_UNAVAILABLE
