"""What only a transport between processes can meet: a wrong token, a batch on the wire, a peer that dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from gateway.v1 import router_pb2
from structlog.typing import FilteringBoundLogger

from services.errors import GatewayError, Reason
from services.link import MAX_BATCH_BYTES, MAX_DATA_BYTES, Link, LinkClosed
from services.methods import INFERENCE, SUM_SPEND
from services.rpc import GrpcChannel, GrpcServer

Start = Callable[..., Awaitable[GrpcServer]]
EdgeFrame, Data = router_pb2.EdgeFrame, router_pb2.Data

# A server of its own in a process of its own; it says its port and answers nothing.
_PEER = """
import asyncio, structlog
from services.methods import INFERENCE
from services.rpc import GrpcServer

async def main():
    async def read(link):
        while True:
            await link.receive()
    server = GrpcServer({INFERENCE: read}, address="127.0.0.1:0", token="right", log=structlog.get_logger())
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def peer() -> AsyncIterator[tuple[asyncio.subprocess.Process, GrpcChannel]]:
    """Another process with a server, and the way to it."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PEER, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    port = int(await asyncio.wait_for(process.stdout.readline(), 30))
    channel = GrpcChannel(f"127.0.0.1:{port}", "right")
    yield process, channel
    if process.returncode is None:
        process.kill()
    await process.wait()
    await channel.close()


@pytest.fixture
async def start(log: FilteringBoundLogger) -> AsyncIterator[Start]:
    """`await start(handlers)` makes a server that the test need not stop; its token is `right`."""
    servers: list[GrpcServer] = []

    async def start_one(handlers: Any, address: str = "127.0.0.1:0") -> GrpcServer:
        server = GrpcServer(handlers, address=address, token="right", log=log)
        await server.start()
        servers.append(server)
        return server

    yield start_one
    for server in servers:
        await server.stop(0)


async def _end_of(link: Link[Any, Any], timeout_seconds: float) -> LinkClosed:
    async with asyncio.timeout(timeout_seconds):
        try:
            while True:
                await link.receive()
        except LinkClosed as closed:
            return closed


@pytest.mark.parametrize("token", ["wrong", ""])
async def test_a_wrong_token_is_refused_before_any_handler_runs(start: Start, token: str) -> None:
    called: list[Any] = []

    async def handler(given: Any) -> None:
        called.append(given)

    server = await start({INFERENCE: handler, SUM_SPEND: handler})
    channel = GrpcChannel(f"127.0.0.1:{server.port}", token)
    try:
        with pytest.raises(GatewayError):
            await channel.call(SUM_SPEND, SUM_SPEND.request(), timeout_seconds=5)
        with pytest.raises(GatewayError):
            await channel.exchange(INFERENCE, timeout_seconds=5)
    finally:
        await channel.close()
    assert called == []


def test_a_server_without_a_token_is_not_built(log: FilteringBoundLogger) -> None:
    with pytest.raises(ValueError, match="token"):
        GrpcServer({}, address="127.0.0.1:0", token="", log=log)


async def test_a_taken_port_is_an_error(start: Start) -> None:
    first = await start({})
    with pytest.raises(OSError, match="cannot listen"):
        await start({}, address=f"127.0.0.1:{first.port}")


async def test_no_message_on_the_wire_exceeds_a_batch(start: Start) -> None:
    """Large frames and very small ones, of which a batch has room for fewer than their own bytes say."""
    sizes: list[int] = []
    done = asyncio.Event()

    async def measure(link: Link[Any, Any]) -> None:
        count = 0
        while count < 100 + 300_000:
            frames = await link.receive()
            count += len(frames)
            sizes.append(router_pb2.EdgeBatch(frames=frames).ByteSize())
        done.set()

    server = await start({INFERENCE: measure})
    channel = GrpcChannel(f"127.0.0.1:{server.port}", "right")
    link = await channel.exchange(INFERENCE, timeout_seconds=5)
    for number in range(100):
        link.send(EdgeFrame(call=number, data=Data(body=bytes(MAX_DATA_BYTES))))
    for _ in range(300_000):
        link.send(EdgeFrame(call=1))
    await asyncio.wait_for(done.wait(), 60)
    await channel.close()
    assert max(sizes) <= MAX_BATCH_BYTES


async def test_a_killed_peer_ends_the_link_as_unavailable(
    peer: tuple[asyncio.subprocess.Process, GrpcChannel],
) -> None:
    process, channel = peer
    link = await channel.exchange(INFERENCE, timeout_seconds=5)
    process.kill()
    closed = await _end_of(link, timeout_seconds=5)
    assert closed.as_error().reason == Reason.ERROR_REASON_UNAVAILABLE
    assert link.closed
    with pytest.raises(LinkClosed):
        link.send(EdgeFrame(call=1))


@pytest.mark.slow
async def test_a_peer_that_stands_still_ends_the_link_as_unavailable(
    peer: tuple[asyncio.subprocess.Process, GrpcChannel],
) -> None:
    """A stopped process resets nothing: only keepalive (10 s + 5 s) tells. gRPC's own values make it 70 s."""
    process, channel = peer
    link = await channel.exchange(INFERENCE, timeout_seconds=5)
    os.kill(process.pid, signal.SIGSTOP)
    closed = await _end_of(link, timeout_seconds=45)
    assert closed.as_error().reason == Reason.ERROR_REASON_UNAVAILABLE


async def test_a_call_whose_channel_is_closed_under_it_is_unavailable(start: Start) -> None:
    """Else it would look like the caller's own cancellation, and end the caller's task."""
    began = asyncio.Event()

    async def hang(_: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    server = await start({SUM_SPEND: hang})
    channel = GrpcChannel(f"127.0.0.1:{server.port}", "right")
    calling = asyncio.create_task(channel.call(SUM_SPEND, SUM_SPEND.request(), timeout_seconds=10))
    await asyncio.wait_for(began.wait(), 5)
    await channel.close()
    for call in (calling, channel.call(SUM_SPEND, SUM_SPEND.request(), timeout_seconds=10)):
        with pytest.raises(GatewayError) as caught:
            await call
        assert caught.value.reason == Reason.ERROR_REASON_UNAVAILABLE


async def test_a_link_whose_channel_is_closed_under_it_ends_as_unavailable(start: Start) -> None:
    """As when the name service forgets a replica that still answers: who keeps links open must open another."""

    async def read(link: Link[Any, Any]) -> None:
        while True:
            await link.receive()

    server = await start({INFERENCE: read})
    channel = GrpcChannel(f"127.0.0.1:{server.port}", "right")
    link = await channel.exchange(INFERENCE, timeout_seconds=5)
    ending = asyncio.create_task(_end_of(link, timeout_seconds=10))
    await asyncio.sleep(0.05)
    await channel.close()
    closed = await ending
    assert closed.as_error().reason == Reason.ERROR_REASON_UNAVAILABLE
    await link.close()


async def test_a_link_that_is_not_open_yet_when_its_channel_is_closed_is_unavailable() -> None:
    """As when a replica that does not answer is forgotten while it is waited for."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        channel = GrpcChannel(f"127.0.0.1:{nobody.getsockname()[1]}", "right")
        opening = asyncio.create_task(channel.exchange(INFERENCE, timeout_seconds=30))
        await asyncio.sleep(0.05)
        await channel.close()
        with pytest.raises(GatewayError) as caught:
            await opening
    assert caught.value.reason == Reason.ERROR_REASON_UNAVAILABLE


async def test_a_caller_that_is_cancelled_stays_so(start: Start) -> None:
    async def hang(_: Any) -> None:
        await asyncio.Event().wait()

    server = await start({SUM_SPEND: hang})
    channel = GrpcChannel(f"127.0.0.1:{server.port}", "right")
    calling = asyncio.create_task(channel.call(SUM_SPEND, SUM_SPEND.request(), timeout_seconds=10))
    await asyncio.sleep(0.05)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await channel.close()
