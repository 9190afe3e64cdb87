"""A load generator: Chat Completions calls over keep-alive connections, each answer read and checked to its end.

Closed loop: every connection sends its next call when the last one has been answered. Open loop (`--rate`): calls are
due at fixed times whatever the answers do, and latency counts from when a call was due.

    python -m bench.load --port 4000 --key sk-... --model bench --connections 64 --seconds 3    prints one JSON line
"""

from __future__ import annotations

import argparse
import asyncio
from collections import deque
from time import perf_counter

import httptools
import msgspec
import uvloop

# How long calls that are under way at the end may still take; a call that hangs is an error, not a hanging bench.
_GRACE_SECONDS = 15.0
_DONE = b"data: [DONE]"
_USAGE = b'"completion_tokens"'


class Outcome(msgspec.Struct):
    """What a run came to. finished: answers that were right to the end; all others are failed.

    failures: up to five different ones, in words. first_*: until the first byte of a body.
    """

    finished: int = 0
    failed: int = 0
    seconds: float = 0
    p50_ms: float = 0
    p99_ms: float = 0
    first_p50_ms: float = 0
    first_p99_ms: float = 0
    failures: list[str] = []


class Run:
    """What all connections share: the request, the clock, the tally."""

    def __init__(self, request: bytes, *, streamed: bool, rate: float, seconds: float) -> None:
        self.request = request
        self.marker = _DONE if streamed else _USAGE
        self.loop = asyncio.get_running_loop()
        self.start = perf_counter()
        self.end = self.start + seconds
        self.rate = rate
        self.under_way = 0
        self.latencies: list[float] = []
        self.firsts: list[float] = []
        self.failures: list[str] = []
        self.failed = 0
        # Open loop: when calls were due that no connection was free for, and the connections that are.
        self.due: deque[float] = deque()
        self.idle: deque[Connection] = deque()

    def next(self, connection: Connection) -> None:
        """A connection is free: give it the next call."""
        now = perf_counter()
        if self.rate:
            if self.due:
                connection.send(self.due.popleft())
            else:
                self.idle.append(connection)
        elif now < self.end:
            connection.send(now)

    async def pace(self) -> None:
        """Open loop: calls become due at the rate, until the end."""
        count = 0
        while (now := perf_counter()) < self.end:
            while (due := self.start + count / self.rate) <= now:
                count += 1
                if self.idle:
                    self.idle.popleft().send(due)
                else:
                    self.due.append(due)
            await asyncio.sleep(0.001)

    def fail(self, words: str) -> None:
        """Count a call that was not answered as it should be."""
        self.failed += 1
        if len(self.failures) < 5 and words not in self.failures:
            self.failures.append(words)

    def outcome(self) -> Outcome:
        """The tally."""
        latencies, firsts = sorted(self.latencies), sorted(self.firsts)
        return Outcome(
            finished=len(latencies),
            failed=self.failed,
            seconds=perf_counter() - self.start,
            p50_ms=percentile(latencies, 0.50) * 1000,
            p99_ms=percentile(latencies, 0.99) * 1000,
            first_p50_ms=percentile(firsts, 0.50) * 1000,
            first_p99_ms=percentile(firsts, 0.99) * 1000,
            failures=self.failures,
        )


def percentile(ordered: list[float], part: float) -> float:
    """Nearest rank; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


class Connection(asyncio.Protocol):
    """One connection with at most one call under way."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._since: float | None = None
        self._first: float | None = None
        self._seen = False
        self._tail = b""
        self._last = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def send(self, since: float) -> None:
        """Begin a call that counts from `since`."""
        assert self._transport is not None
        self._since, self._first, self._seen, self._tail = since, None, False, b""
        self._parser = httptools.HttpResponseParser(self)
        self._run.under_way += 1
        self._last = b""
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._since is not None:
            self._run.under_way -= 1
            self._run.fail(f"the connection was lost: {exc}")

    def on_body(self, body: bytes) -> None:
        """httptools: a part of the answer. The marker that proves it whole may lie across two parts."""
        if self._first is None:
            self._first = perf_counter()
        self._last = body
        if not self._seen:
            joined = self._tail + body
            self._seen = self._run.marker in joined
            self._tail = joined[-len(self._run.marker) :]

    def on_message_complete(self) -> None:
        """httptools: the answer is whole."""
        assert self._since is not None
        run, status = self._run, self._parser.get_status_code()
        run.under_way -= 1
        if status == 200 and self._seen and self._first is not None:
            run.latencies.append(perf_counter() - self._since)
            run.firsts.append(self._first - self._since)
        else:
            run.fail(f"status {status}, {self._last[:200]!r}")
        self._since = None
        # Not from within the parser, which `send` replaces.
        run.loop.call_soon(run.next, self)


def request_bytes(port: int, key: str, model: str, *, streamed: bool) -> bytes:
    """One Chat Completions request, ready to be written again and again."""
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": "How far is the moon?"}]}
    if streamed:
        body["stream"] = True
    encoded = msgspec.json.encode(body)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(encoded)}\r\n\r\n"
    )
    return head.encode() + encoded


async def _drive(arguments: argparse.Namespace) -> Outcome:
    request = request_bytes(arguments.port, arguments.key, arguments.model, streamed=arguments.stream)
    run = Run(request, streamed=arguments.stream, rate=arguments.rate, seconds=arguments.seconds)
    connections: list[Connection] = []
    for _ in range(arguments.connections):
        _, connection = await run.loop.create_connection(lambda: Connection(run), "127.0.0.1", arguments.port)
        connections.append(connection)
    run.start = perf_counter()
    run.end = run.start + arguments.seconds
    for connection in connections:
        run.next(connection)
    if arguments.rate:
        await run.pace()
    else:
        await asyncio.sleep(run.end - perf_counter())
    latest = perf_counter() + _GRACE_SECONDS
    while (run.under_way or run.due) and perf_counter() < latest:
        await asyncio.sleep(0.002)
    for _ in range(run.under_way + len(run.due)):
        run.fail("not answered when the run was over")
    return run.outcome()


def main() -> None:
    """One run, told as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", default="sk-none")
    parser.add_argument("--model", required=True)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0, help="calls a second, open loop; 0: closed loop")
    parser.add_argument("--seconds", type=float, default=3)
    print(msgspec.json.encode(uvloop.run(_drive(parser.parse_args()))).decode())


if __name__ == "__main__":
    main()
