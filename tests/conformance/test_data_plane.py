"""The data plane, edge half against router half, over both transports: what the protocol in router.proto promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import structlog
from gateway.v1 import common_pb2, router_pb2

from edge.exchange import RouterCall, RouterLink, Routers
from router.call import Caller
from router.live import LiveHolds
from router.service import InferenceService
from services.credit import CALL_BYTES, LINK_BYTES
from services.errors import GatewayError, Reason
from services.inprocess import InProcessChannel
from services.link import MAX_DATA_BYTES
from services.methods import INFERENCE
from services.resolve import fixed
from services.rpc import GrpcChannel, GrpcServer
from services.transport import Channel

LOG = structlog.get_logger()
CATALOG = common_pb2.Catalog(models=[common_pb2.CatalogModel(name="m")])
HEAD = router_pb2.Head(content_type="text/event-stream", deployment_id="d")

Run = Callable[[Caller], Awaitable[None]]


@dataclass
class Plane:
    """An edge's half and a router's half, linked."""

    routers: Routers
    service: InferenceService
    live: LiveHolds

    async def open(self, body: bytes = b"{}", epoch: str = "", wants_sent: bool = True) -> RouterCall:
        link = await self.routers.wait_for_router()
        request = router_pb2.Open(
            dispatch_id=b"d" * 16,
            model="m",
            body_bytes=len(body),
            hold=common_pb2.Hold(epoch=epoch, held_nano_usd=5),
            wants_sent=wants_sent,
        )
        call = link.open(request, body)
        if call.needs_body:
            await call.send_body(body)
        return call


@pytest.fixture(params=["inprocess", "grpc"])
def plane(request: pytest.FixtureRequest) -> Callable[[Run], AsyncIterator[Plane]]:
    @asynccontextmanager
    async def make(run: Run) -> AsyncIterator[Plane]:
        live = LiveHolds()
        service = InferenceService(run, lambda: CATALOG, live, LOG)
        handlers = {INFERENCE: service.exchange}
        server = None
        channel: Channel
        if request.param == "grpc":
            server = GrpcServer(handlers, address="127.0.0.1:0", token="t", log=LOG)
            await server.start()
            channel = GrpcChannel(f"127.0.0.1:{server.port}", "t")
        else:
            channel = InProcessChannel(handlers, LOG)
        routers = Routers(fixed({"there": channel}), LOG)
        await routers.start()
        try:
            yield Plane(routers, service, live)
        finally:
            await routers.stop()
            await channel.close()
            if server is not None:
                await server.stop(0.2)

    return make  # type: ignore[return-value]


async def gather(call: RouterCall) -> bytes:
    """Everything that the call answers, acknowledged as it comes."""
    body = b""
    while True:
        over = call.over
        if part := call.take():
            body += part
            call.consumed(len(part))
        elif over:
            return body
        else:
            await arrival(call)


async def arrival(call: RouterCall) -> None:
    """The next thing; not by `wait_for`, whose extra task would begin to wait too late."""
    async with asyncio.timeout(10):
        await call.wait()


async def test_a_call_carries_its_body_there_and_its_answer_back(plane) -> None:
    async def run(caller: Caller) -> None:
        body = await caller.body()
        caller.sent("d")
        caller.head(HEAD)
        await caller.data(body[::-1])
        caller.result(router_pb2.Result(cost_nano_usd=7))

    async with plane(run) as made:
        call = await made.open(b"abc")
        assert await gather(call) == b"cba"
        assert call.sent
        assert call.head == HEAD
        assert call.result is not None
        assert call.result.cost_nano_usd == 7
        call.close()


@pytest.mark.parametrize("size", [1, MAX_DATA_BYTES, MAX_DATA_BYTES + 1, 3 * CALL_BYTES])
async def test_a_whole_answer_arrives_whole_whatever_its_size(plane, size: int) -> None:
    """In one frame while it fits into one, else in parts; the edge acknowledges both alike."""

    async def run(caller: Caller) -> None:
        await caller.answer(HEAD, await caller.body(), router_pb2.Result(cost_nano_usd=7))

    async with plane(run) as made:
        for _ in range(3):
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            call = await made.open(body)
            assert await gather(call) == body
            assert call.head == HEAD
            assert call.result is not None
            assert call.result.cost_nano_usd == 7
            call.close()
        link = await made.routers.wait_for_router()
        assert link.window.available == LINK_BYTES


async def test_only_who_wants_to_know_is_told_that_a_request_was_sent(plane) -> None:
    async def run(caller: Caller) -> None:
        caller.sent("d")
        await caller.answer(HEAD, b"{}", router_pb2.Result())

    async with plane(run) as made:
        for wants_sent in (False, True):
            call = await made.open(wants_sent=wants_sent)
            await gather(call)
            assert call.sent == wants_sent
            call.close()


async def test_bodies_larger_than_every_window_pass_both_ways(plane) -> None:
    big = bytes(range(256)) * 8 * 1024 * 10  # 20 MiB: more than a call's window and more than the link's

    async def run(caller: Caller) -> None:
        body = await caller.body()
        caller.head(HEAD)
        await caller.data(body)
        caller.result(router_pb2.Result())

    async with plane(run) as made:
        call = await made.open(big)
        assert await gather(call) == big
        call.close()


async def test_a_slow_reader_stops_its_own_sender_and_nobody_elses(plane) -> None:
    sent = 0

    async def run(caller: Caller) -> None:
        nonlocal sent
        slow = await caller.body() == b"slow"
        caller.head(HEAD)
        for _ in range(100):
            await caller.data(b"x" * MAX_DATA_BYTES)
            if slow:
                sent += MAX_DATA_BYTES
        caller.result(router_pb2.Result())

    async with plane(run) as made:
        slow = await made.open(b"slow")
        fast = await made.open(b"fast")
        assert len(await gather(fast)) == 100 * MAX_DATA_BYTES
        assert sent <= CALL_BYTES + MAX_DATA_BYTES
        assert len(await gather(slow)) == 100 * MAX_DATA_BYTES
        slow.close()
        fast.close()


async def test_calls_that_end_unread_leave_the_links_window_whole(plane) -> None:
    """200 calls that are closed with a full window each would use 50 MiB of the link's 16."""

    async def run(caller: Caller) -> None:
        await caller.body()
        caller.head(HEAD)
        while True:
            await caller.data(b"x" * MAX_DATA_BYTES)

    async with plane(run) as made:
        for _ in range(200):
            call = await made.open()
            while call.head is None:
                await arrival(call)
            call.close()
        call = await made.open()
        while len(call.take()) < MAX_DATA_BYTES:
            await arrival(call)
        call.close()


async def test_cancel_reaches_the_engine(plane) -> None:
    cancelled = asyncio.Event()

    async def run(caller: Caller) -> None:
        await caller.body()
        caller.sent("d")
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async with plane(run) as made:
        call = await made.open()
        while not call.sent:
            await asyncio.sleep(0.01)
        call.close()
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_call_cancelled_in_the_same_breath_still_reaches_the_engine(plane) -> None:
    """Its hold is to be settled by the engine's own end."""
    ended = asyncio.Event()

    async def run(caller: Caller) -> None:
        try:
            await caller.body()
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with plane(run) as made:
        call = await made.open(epoch="e")
        call.close()
        await asyncio.wait_for(ended.wait(), 5)
        await asyncio.sleep(0.05)
        assert made.live.ids() == []


async def test_an_edge_that_goes_away_cancels_its_calls(plane) -> None:
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def run(caller: Caller) -> None:
        running.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async with plane(run) as made:
        await made.open()
        await asyncio.wait_for(running.wait(), 5)
        await made.routers.stop()
        await asyncio.wait_for(cancelled.wait(), 5)


@pytest.mark.parametrize("after_head", [False, True])
async def test_an_error_crosses_whole_before_and_after_the_head(plane, after_head: bool) -> None:
    async def run(caller: Caller) -> None:
        await caller.body()
        if after_head:
            caller.head(HEAD)
            await caller.data(b"part")
        raise GatewayError(
            Reason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            "slow down",
            param="p",
            provider="openai",
            provider_status=429,
            retry_after_seconds=7,
        )

    async with plane(run) as made:
        call = await made.open()
        assert await gather(call) == (b"part" if after_head else b"")
        assert call.error is not None
        assert call.error.reason == Reason.ERROR_REASON_PROVIDER_RATE_LIMITED
        assert (call.error.message, call.error.param, call.error.provider) == ("slow down", "p", "openai")
        assert (call.error.provider_status, call.error.retry_after_seconds) == (429, 7)
        call.close()


async def test_an_untyped_failure_tells_nothing(plane) -> None:
    async def run(caller: Caller) -> None:
        raise RuntimeError("a secret")

    async with plane(run) as made:
        call = await made.open()
        await gather(call)
        assert call.error is not None
        assert call.error.reason == Reason.ERROR_REASON_INTERNAL
        assert "secret" not in call.error.message
        call.close()


async def test_drain_lets_open_calls_end_and_takes_no_new_ones(plane) -> None:
    go = asyncio.Event()

    async def run(caller: Caller) -> None:
        await caller.body()
        caller.head(HEAD)
        await go.wait()
        await caller.data(b"done")
        caller.result(router_pb2.Result())

    async with plane(run) as made:
        call = await made.open()
        while call.head is None:
            await arrival(call)
        draining = asyncio.create_task(made.service.drain(10))
        while made.routers.choose() is not None:
            await asyncio.sleep(0.01)
        with pytest.raises(GatewayError, match="No router"):
            await made.routers.wait_for_router()
        assert not draining.done()
        go.set()
        assert await gather(call) == b"done"
        await asyncio.wait_for(draining, 5)
        call.close()


async def test_a_call_that_was_on_its_way_when_the_drain_began_is_waited_for(plane) -> None:
    going = {name: asyncio.Event() for name in (b"first", b"second")}

    async def run(caller: Caller) -> None:
        name = await caller.body()
        caller.head(HEAD)
        await going[name].wait()
        await caller.data(name)
        caller.result(router_pb2.Result())

    async with plane(run) as made:
        first = await made.open(b"first")
        while first.head is None:
            await arrival(first)
        link = made.routers.choose()
        assert link is not None
        draining = asyncio.create_task(made.service.drain(10))
        while not link.draining:
            await asyncio.sleep(0.01)
        # As from an edge that has not been told yet.
        request = router_pb2.Open(dispatch_id=b"e" * 16, model="m", body_bytes=6)
        second = link.open(request, b"second")
        while second.head is None:
            await arrival(second)
        going[b"first"].set()
        assert await gather(first) == b"first"
        await asyncio.sleep(0.05)
        assert not draining.done()
        going[b"second"].set()
        assert await gather(second) == b"second"
        assert second.result is not None
        await asyncio.wait_for(draining, 5)


async def test_a_call_that_comes_after_the_drain_is_lost_at_once_so_that_it_moves(plane) -> None:
    async def run(caller: Caller) -> None:
        raise AssertionError("nobody is to serve it")

    async with plane(run) as made:
        link = await made.routers.wait_for_router()
        draining = asyncio.create_task(made.service.drain(10))
        call = None
        while not draining.done():
            call = call or link.open(router_pb2.Open(dispatch_id=b"e" * 16, model="m", body_bytes=2), b"{}")
            await asyncio.sleep(0)
        assert call is not None
        assert await gather(call) == b""
        assert call.lost
        assert call.error is None


async def test_holds_are_live_while_their_calls_run(plane) -> None:
    go = asyncio.Event()

    async def run(caller: Caller) -> None:
        await go.wait()
        caller.result(router_pb2.Result())

    async with plane(run) as made:
        call = await made.open(epoch="e")
        while not made.live.ids():
            await asyncio.sleep(0.01)
        assert made.live.ids() == [b"d" * 16]
        assert [hold.held_nano_usd for hold in made.live.report()] == [5]
        go.set()
        await gather(call)
        await asyncio.sleep(0.05)
        assert made.live.ids() == []
        call.close()


async def test_a_broken_link_ends_its_calls_and_is_opened_again(plane) -> None:
    async def run(caller: Caller) -> None:
        await caller.body()
        caller.sent("d")
        await asyncio.sleep(60)

    async with plane(run) as made:
        call = await made.open()
        while not call.sent:
            await asyncio.sleep(0.01)
        router: RouterLink = made.routers._links[0]
        assert router._link is not None
        await router._link.close(GatewayError(Reason.ERROR_REASON_UNAVAILABLE, "cut"))
        await gather(call)
        assert call.lost
        assert call.sent
        call.close()
        again = await made.open()
        assert not again.over
        again.close()
