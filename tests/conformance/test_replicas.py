"""Routers that come and go under an edge, over both transports: what is open ends, what is new goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import structlog
from gateway.v1 import common_pb2, router_pb2

from edge.exchange import RouterCall, Routers
from router.call import Caller
from router.live import LiveHolds
from router.service import InferenceService
from services.errors import GatewayError
from services.inprocess import InProcessChannel
from services.methods import INFERENCE
from services.resolve import Replicas
from services.rpc import GrpcChannel, GrpcServer
from services.transport import Channel, Handlers

LOG = structlog.get_logger()
CATALOG = common_pb2.Catalog(models=[common_pb2.CatalogModel(name="m")])


class Watched:
    """A channel that tells when it has been closed."""

    def __init__(self, channel: Channel) -> None:
        self.call = channel.call
        self.exchange = channel.exchange
        self.closed = asyncio.Event()
        self._channel = channel

    async def close(self) -> None:
        await self._channel.close()
        self.closed.set()


@dataclass
class Fleet:
    """Routers `a` and `b`, which answer with their names once `go` is set; `there` says which of them exist."""

    routers: Routers
    there: asyncio.Queue[set[str]]
    channels: dict[str, Watched] = field(default_factory=dict)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> RouterCall:
        """A call at whichever router the edge chooses."""
        link = await self.routers.wait_for_router()
        return link.open(router_pb2.Open(dispatch_id=b"d" * 16, model="m", body_bytes=2), b"{}")

    async def until(self, *addresses: str) -> None:
        """Until these are the routers that take calls."""
        async with asyncio.timeout(10):
            while sorted(link.address for link in self.routers._links if link.usable) != list(addresses):
                await asyncio.sleep(0.01)


async def answer(call: RouterCall) -> bytes:
    """The whole of it."""
    body = b""
    async with asyncio.timeout(10):
        while not call.over:
            await call.wait()
            body += call.take()
    body += call.take()
    call.close()
    return body


def handlers(name: str, fleet: Fleet) -> Handlers:
    async def run(caller: Caller) -> None:
        await caller.body()
        caller.head(router_pb2.Head(content_type="text/plain"))
        await fleet.go.wait()
        await caller.data(name.encode())
        caller.result(router_pb2.Result())

    return {INFERENCE: InferenceService(run, lambda: CATALOG, LiveHolds(), LOG).exchange}


@pytest.fixture(params=["inprocess", "grpc"])
async def fleet(request: pytest.FixtureRequest) -> AsyncIterator[Fleet]:
    there: asyncio.Queue[set[str]] = asyncio.Queue()

    async def watch() -> AsyncIterator[frozenset[str]]:
        while True:
            yield frozenset(await there.get())

    made = Fleet(Routers(Replicas(watch, lambda address: open_channel(address)), LOG), there)
    servers: dict[str, GrpcServer] = {}
    for name in ("a", "b") if request.param == "grpc" else ():
        servers[name] = GrpcServer(handlers(name, made), address="127.0.0.1:0", token="t", log=LOG)
        await servers[name].start()

    def open_channel(name: str) -> Channel:
        made.channels[name] = Watched(
            GrpcChannel(f"127.0.0.1:{servers[name].port}", "t")
            if servers
            else InProcessChannel(handlers(name, made), LOG)
        )
        return made.channels[name]

    await made.routers.start()
    yield made
    made.go.set()
    await made.routers.stop()
    for server in servers.values():
        await server.stop(0.2)


async def test_a_router_that_comes_takes_calls(fleet: Fleet) -> None:
    with pytest.raises(GatewayError, match="No router"):
        await fleet.routers.wait_for_router()
    fleet.go.set()
    await fleet.there.put({"a"})
    assert await answer(await fleet.open()) == b"a"
    await fleet.there.put({"a", "b"})
    await fleet.until("a", "b")


async def test_a_router_that_goes_ends_its_open_calls_and_gets_no_new_ones(fleet: Fleet) -> None:
    await fleet.there.put({"a"})
    old = await fleet.open()
    await fleet.there.put({"b"})
    await fleet.until("b")
    new = await fleet.open()
    assert not fleet.channels["a"].closed.is_set()
    fleet.go.set()
    assert (await answer(old), await answer(new)) == (b"a", b"b")
    await asyncio.wait_for(fleet.channels["a"].closed.wait(), 10)


async def test_an_idle_router_that_goes_is_left_at_once(fleet: Fleet) -> None:
    await fleet.there.put({"a", "b"})
    await fleet.until("a", "b")
    await fleet.there.put({"b"})
    await asyncio.wait_for(fleet.channels["a"].closed.wait(), 10)


async def test_a_router_that_comes_back_while_its_last_calls_end_takes_calls_again(fleet: Fleet) -> None:
    await fleet.there.put({"a"})
    old = await fleet.open()
    first = fleet.channels["a"]
    await fleet.there.put(set())
    await fleet.until()
    await fleet.there.put({"a"})
    new = await fleet.open()
    assert fleet.channels["a"] is not first
    fleet.go.set()
    assert (await answer(old), await answer(new)) == (b"a", b"a")
    await asyncio.wait_for(first.closed.wait(), 10)


async def test_an_edge_that_stops_leaves_every_router(fleet: Fleet) -> None:
    await fleet.there.put({"a"})
    await fleet.open()
    await fleet.there.put({"b"})
    await fleet.until("b")
    async with asyncio.timeout(10):
        await fleet.routers.stop()
    assert [channel.closed.is_set() for channel in fleet.channels.values()] == [True, True]
