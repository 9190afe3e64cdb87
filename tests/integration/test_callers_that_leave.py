"""A caller that closes its connection is noticed at once, whatever it had sent, and its call is cancelled."""

from __future__ import annotations

import asyncio
import json

import pytest

from router.call import Caller
from tests.edge_scene import MASTER_KEY, Scene


class Running:
    """Calls that run until they are cancelled."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[int] = asyncio.Queue()
        self.cancelled: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, caller: Caller) -> None:
        size = len(await caller.body())
        self.started.put_nowait(size)
        try:
            await asyncio.sleep(60)
        finally:
            self.cancelled.put_nowait(size)


def request(content_bytes: int) -> tuple[bytes, bytes]:
    """Head and body of a call."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * content_bytes}]}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {MASTER_KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body


@pytest.mark.parametrize("content_bytes", [10, 90_000])
async def test_a_caller_that_leaves_is_noticed_whatever_the_size_of_its_body(scene: Scene, content_bytes: int) -> None:
    """uvicorn stops reading at 64 KiB of a body; it must go on, or nobody would see the end of the connection."""
    scene.run = running = Running()
    _, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    head, body = request(content_bytes)
    writer.write(head)
    # The edge waits for the body, which then comes at once.
    await asyncio.sleep(0.1)
    writer.write(body)
    size = await asyncio.wait_for(running.started.get(), 5)
    writer.close()
    assert await asyncio.wait_for(running.cancelled.get(), 5) == size


async def test_of_pipelined_calls_the_one_that_runs_is_cancelled_and_the_next_never_begins(scene: Scene) -> None:
    scene.run = running = Running()
    _, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    writer.write(b"".join(request(10) + request(20)))
    size = await asyncio.wait_for(running.started.get(), 5)
    writer.close()
    assert await asyncio.wait_for(running.cancelled.get(), 5) == size
    await asyncio.sleep(0.1)
    assert running.started.empty()
