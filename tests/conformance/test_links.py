"""What `services/link.py` promises of a link, held to both transports.

Every wait has a bound five times what is promised, so that a promise broken is a failure and no hanging suite.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway.v1 import router_pb2
from structlog.testing import capture_logs

from services.errors import GatewayError, Reason
from services.link import MAX_BACKLOG_BYTES, MAX_DATA_BYTES, MAX_FRAME_BYTES, Link, LinkClosed
from services.methods import INFERENCE

EdgeFrame, RouterFrame, Data = router_pb2.EdgeFrame, router_pb2.RouterFrame, router_pb2.Data
InferenceLink = Link[Any, Any]
Serve = Callable[[Any], Awaitable[Any]]

OPEN_SECONDS = 5
# Frames that lie in sockets and in gRPC's own windows, beyond our backlog.
TRANSPORT_BYTES = 16 * 1024 * 1024


def data(call: int, size: int = 0) -> router_pb2.EdgeFrame:
    """A frame that says which it is."""
    return EdgeFrame(call=call, data=Data(body=bytes(size)))


async def echo(link: InferenceLink) -> None:
    """Answer every frame with one of the same number and body."""
    while True:
        for frame in await link.receive():
            link.send(RouterFrame(call=frame.call, data=frame.data))


async def received(link: InferenceLink, count: int) -> list[Any]:
    """The next `count` frames."""
    frames: list[Any] = []
    async with asyncio.timeout(30):
        while len(frames) < count:
            frames += await link.receive()
    return frames


async def read_to_end(link: InferenceLink) -> tuple[list[Any], LinkClosed]:
    """Every frame until the link ends, and how it ended."""
    frames: list[Any] = []
    async with asyncio.timeout(15):
        try:
            while True:
                frames += await link.receive()
        except LinkClosed as closed:
            return frames, closed


async def fill(link: InferenceLink, frame: Callable[[int], Any], until_bytes: int) -> int:
    """Send until the link refuses; how many bytes of body it took."""
    for number in range(until_bytes // MAX_DATA_BYTES):
        try:
            link.send(frame(number))
        except LinkClosed:
            return number * MAX_DATA_BYTES
        await asyncio.sleep(0)
    raise AssertionError(f"the link took {until_bytes} bytes that nobody reads")


async def test_ten_thousand_frames_arrive_whole_once_and_in_order(serve: Serve) -> None:
    served = await serve({INFERENCE: echo})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    for number in range(10_000):
        link.send(data(number, number % 700))
        if number % 97 == 0:
            await asyncio.sleep(0)
    frames = await received(link, 10_000)
    assert [frame.call for frame in frames] == list(range(10_000))
    assert all(len(frame.data.body) == frame.call % 700 for frame in frames)


async def test_with_many_calls_open_frames_that_are_ready_together_arrive_together(serve: Serve) -> None:
    served = await serve({INFERENCE: echo})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    link.open_calls = 64
    for number in range(100):
        link.send(data(number))
    batches = []
    while sum(map(len, batches)) < 100:
        async with asyncio.timeout(OPEN_SECONDS):
            batches.append(await link.receive())
    assert len(batches) < 10


async def test_an_oversize_frame_is_its_senders_error_and_the_link_lives_on(serve: Serve) -> None:
    served = await serve({INFERENCE: echo})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    with pytest.raises(ValueError, match="exceeds"):
        link.send(data(1, MAX_FRAME_BYTES))
    link.send(data(2, MAX_FRAME_BYTES - 64))
    assert [frame.call for frame in await received(link, 1)] == [2]


async def test_more_than_a_batch_is_split_and_all_of_it_arrives(serve: Serve) -> None:
    served = await serve({INFERENCE: echo})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    for number in range(100):
        link.send(data(number, MAX_DATA_BYTES))
    assert [frame.call for frame in await received(link, 100)] == list(range(100))


async def test_a_frame_handed_over_is_not_changed(serve: Serve) -> None:
    arrived: list[Any] = []

    async def keep(link: InferenceLink) -> None:
        while True:
            arrived.extend(await link.receive())
            link.send(RouterFrame(call=1))

    served = await serve({INFERENCE: keep})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    frame = EdgeFrame(call=7, open=router_pb2.Open(model="m", call_id="c", body_bytes=3))
    before = frame.SerializeToString(deterministic=True)
    link.send(frame)
    await received(link, 1)
    assert frame.SerializeToString(deterministic=True) == before
    assert arrived[0].SerializeToString(deterministic=True) == before


async def test_a_server_that_does_not_read_breaks_the_link_and_costs_bounded_memory(serve: Serve) -> None:
    wake = asyncio.Event()
    seen: asyncio.Future[tuple[list[Any], LinkClosed]] = asyncio.get_running_loop().create_future()

    async def sleep_then_read(link: InferenceLink) -> None:
        await wake.wait()
        seen.set_result(await read_to_end(link))

    served = await serve({INFERENCE: sleep_then_read})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    taken = await fill(link, lambda number: data(number, MAX_DATA_BYTES), 2 * MAX_BACKLOG_BYTES + TRANSPORT_BYTES)
    assert MAX_BACKLOG_BYTES - MAX_DATA_BYTES <= taken <= MAX_BACKLOG_BYTES + TRANSPORT_BYTES
    _, closed = await read_to_end(link)
    assert closed.error is not None
    assert closed.error.reason == Reason.ERROR_REASON_UNAVAILABLE
    wake.set()
    frames, _ = await asyncio.wait_for(seen, 15)
    assert [frame.call for frame in frames] == list(range(len(frames)))


async def test_a_client_that_does_not_read_breaks_the_link_and_the_handler_learns_of_it(serve: Serve) -> None:
    """The handler waits in `receive` meanwhile, as handlers do: it must be woken."""
    outcome: asyncio.Future[LinkClosed] = asyncio.get_running_loop().create_future()

    async def flood(link: InferenceLink) -> None:
        reading = asyncio.create_task(read_to_end(link))
        await fill(
            link,
            lambda number: RouterFrame(call=number, data=Data(body=bytes(MAX_DATA_BYTES))),
            2 * MAX_BACKLOG_BYTES + TRANSPORT_BYTES,
        )
        _, closed = await reading
        outcome.set_result(closed)

    served = await serve({INFERENCE: flood})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    closed = await asyncio.wait_for(outcome, 15)
    assert closed.error is not None
    assert closed.error.reason == Reason.ERROR_REASON_UNAVAILABLE
    frames, closed = await read_to_end(link)
    assert [frame.call for frame in frames] == list(range(len(frames)))
    assert closed.error is not None


async def test_a_handlers_error_reaches_the_client_whole(serve: Serve) -> None:
    async def refuse(link: InferenceLink) -> None:
        await link.receive()
        raise GatewayError(
            Reason.ERROR_REASON_RATE_LIMITED, "slow down", param="messages[0]", provider="p", retry_after_seconds=1.5
        )

    served = await serve({INFERENCE: refuse})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    link.send(data(1))
    _, closed = await read_to_end(link)
    error = closed.error
    assert error is not None
    assert (error.reason, error.message, error.param) == (Reason.ERROR_REASON_RATE_LIMITED, "slow down", "messages[0]")
    assert (error.provider, error.retry_after_seconds) == ("p", 1.5)


async def test_an_unforeseen_failure_is_logged_whole_and_tells_the_client_nothing(serve: Serve) -> None:
    async def fail(link: InferenceLink) -> None:
        await link.receive()
        raise RuntimeError("the password is swordfish")

    served = await serve({INFERENCE: fail})
    with capture_logs() as logs:
        link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
        link.send(data(1))
        _, closed = await read_to_end(link)
    assert closed.error is not None
    assert closed.error.reason == Reason.ERROR_REASON_INTERNAL
    assert "swordfish" not in str(closed.error)
    assert [entry["event"] for entry in logs] == ["exchange_failed"]
    assert logs[0]["exc_info"]


async def test_what_a_server_sent_before_it_ended_in_order_is_received_first(serve: Serve) -> None:
    async def answer_and_go(link: InferenceLink) -> None:
        await link.receive()
        for number in range(500):
            link.send(RouterFrame(call=number, data=Data(body=bytes(5_000))))

    served = await serve({INFERENCE: answer_and_go})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    link.send(data(1))
    frames, closed = await read_to_end(link)
    assert [frame.call for frame in frames] == list(range(500))
    assert closed.error is None
    with pytest.raises(LinkClosed):
        link.send(data(2))


async def test_what_a_client_sent_before_it_closed_is_received_first(serve: Serve) -> None:
    seen: asyncio.Future[tuple[list[Any], LinkClosed]] = asyncio.get_running_loop().create_future()

    async def read(link: InferenceLink) -> None:
        seen.set_result(await read_to_end(link))

    served = await serve({INFERENCE: read})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    for number in range(500):
        link.send(data(number, 5_000))
    await link.close()
    frames, closed = await asyncio.wait_for(seen, 15)
    assert [frame.call for frame in frames] == list(range(500))
    assert closed.error is None
    assert link.closed


async def test_a_client_that_waits_in_receive_is_woken_when_it_closes(serve: Serve) -> None:
    served = await serve({INFERENCE: echo})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    reading = asyncio.create_task(read_to_end(link))
    await asyncio.sleep(0)
    await link.close()
    frames, _ = await asyncio.wait_for(reading, 15)
    assert frames == []


async def test_a_handler_sees_none_of_the_callers_context(serve: Serve) -> None:
    secret = contextvars.ContextVar("secret", default="empty")
    secret.set("of the caller")
    seen: list[str] = []

    async def look(link: InferenceLink) -> None:
        seen.append(secret.get())

    served = await serve({INFERENCE: look})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    await read_to_end(link)
    assert seen == ["empty"]


async def test_many_links_share_a_channel_and_none_disturbs_another(serve: Serve) -> None:
    served = await serve({INFERENCE: echo})
    links = [await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS) for _ in range(20)]
    for index, link in enumerate(links):
        for number in range(50):
            link.send(data(index * 100 + number))
    await links[0].close()
    for index, link in enumerate(links[1:], start=1):
        assert [frame.call for frame in await received(link, 50)] == [index * 100 + number for number in range(50)]
    assert not any(link.closed for link in links[1:])


async def test_a_server_that_stops_ends_its_open_links_on_both_sides(serve: Serve) -> None:
    seen: asyncio.Future[LinkClosed] = asyncio.get_running_loop().create_future()

    async def read(link: InferenceLink) -> None:
        _, closed = await read_to_end(link)
        seen.set_result(closed)

    served = await serve({INFERENCE: read})
    link = await served.channel.exchange(INFERENCE, timeout_seconds=OPEN_SECONDS)
    link.send(data(1))
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(served.stop())
    await read_to_end(link)
    await asyncio.wait_for(stopping, 15)
    await asyncio.wait_for(seen, 15)
    with pytest.raises(GatewayError) as refused:
        await served.channel.exchange(INFERENCE, timeout_seconds=0.5)
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
