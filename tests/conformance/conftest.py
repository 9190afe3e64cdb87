"""The two transports behind one fixture: what the conformance suite says, it says of both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import structlog
from structlog.typing import FilteringBoundLogger

from services.inprocess import InProcessChannel
from services.rpc import GrpcChannel, GrpcServer
from services.transport import Channel, Handlers

TOKEN = "conformance"


@dataclass(frozen=True, slots=True)
class Served:
    """Handlers that can be reached. `stop` ends the side that offers them, as a process that shuts down does."""

    channel: Channel
    stop: Callable[[], Awaitable[None]]


@pytest.fixture
def log() -> FilteringBoundLogger:
    """The log of the serving side; `structlog.testing.capture_logs` sees it."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


async def _over_grpc(handlers: Handlers, log: FilteringBoundLogger) -> Served:
    server = GrpcServer(handlers, address="127.0.0.1:0", token=TOKEN, log=log)
    await server.start()

    async def stop() -> None:
        await server.stop(grace_seconds=1)

    return Served(GrpcChannel(f"127.0.0.1:{server.port}", TOKEN), stop)


async def _in_process(handlers: Handlers, log: FilteringBoundLogger) -> Served:
    channel = InProcessChannel(handlers, log)
    return Served(channel, channel.close)


@pytest.fixture(params=[_over_grpc, _in_process], ids=["grpc", "inprocess"])
async def serve(
    request: pytest.FixtureRequest, log: FilteringBoundLogger
) -> AsyncIterator[Callable[[Handlers], Awaitable[Served]]]:
    """`await serve(handlers)` offers them over the transport under test."""
    started: list[Served] = []

    async def start(handlers: Handlers) -> Served:
        served: Served = await request.param(handlers, log)
        started.append(served)
        return served

    yield start
    for served in started:
        await served.channel.close()
        await served.stop()
