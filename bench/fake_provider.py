"""A provider for the bench: Chat Completions, unary and streamed, faster than any gateway in Python can ask.

The model's name says how it answers: `fake-20x5-after50-pad40` gives 20 tokens, one every 5 ms, the first after 50 ms,
each 40 bytes longer than need be. `GET /stats` tells the truth about what was asked and sent.

    python -m bench.fake_provider        prints its port, then serves until its standard input closes
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from functools import lru_cache

import httptools
import msgspec
import uvloop

INPUT_TOKENS = 10

_NAME = re.compile(r"fake-(\d{1,4})x(\d{1,4})(?:-after(\d{1,5}))?(?:-pad(\d{1,5}))?")
_LAST_CHUNK = b"0\r\n\r\n"
# Enough for the longest body that a scenario sends, with room; more is a mistake in the bench.
_MAX_BODY_BYTES = 1024 * 1024


class StreamOptions(msgspec.Struct):
    """Whether the caller wants to know the usage of a stream."""

    include_usage: bool = False


class Question(msgspec.Struct):
    """The members of a request that decide the answer."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None


class Stats(msgspec.Struct):
    """The truth. aborted: callers that went away before their answer was complete."""

    requests: int = 0
    streams: int = 0
    tokens: int = 0
    aborted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """How one model answers. unary, events: the bytes of the answer, HTTP framing and all."""

    tokens: int
    gap_seconds: float
    first_seconds: float
    unary: bytes
    head: bytes
    events: tuple[bytes, ...]
    finish: bytes
    usage: bytes
    done: bytes


@lru_cache(maxsize=64)
def plan(model: str) -> Plan:
    """ValueError when the name says nothing."""
    match = _NAME.fullmatch(model)
    if match is None:
        raise ValueError(f"{model!r} is not fake-<tokens>x<gap ms>[-after<ms>][-pad<bytes>]")
    tokens, gap_ms, first_ms, pad = (int(group or 0) for group in match.groups())
    word = " word" + "." * pad
    usage = {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": tokens,
        "total_tokens": INPUT_TOKENS + tokens,
    }
    message = {"role": "assistant", "content": word * tokens}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = _object("chat.completion", model) | {"choices": [choice], "usage": usage}
    deltas = [{"role": "assistant", "content": word}, *({"content": word} for _ in range(tokens - 1))]
    chunk = _object("chat.completion.chunk", model)
    events = [chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    finish = chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return Plan(
        tokens=tokens,
        gap_seconds=gap_ms / 1000,
        first_seconds=first_ms / 1000,
        unary=_response(200, msgspec.json.encode(answer)),
        head=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        events=tuple(_event(event) for event in events),
        finish=_event(finish),
        usage=_event(chunk | {"choices": [], "usage": usage}),
        done=_event("[DONE]") + _LAST_CHUNK,
    )


def _object(kind: str, model: str) -> dict[str, object]:
    return {"id": "chatcmpl-fake", "object": kind, "created": 1_700_000_000, "model": model}


def _event(value: object) -> bytes:
    text = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    body = b"data: " + text + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(body), body)


def _response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d -\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


class Connection(asyncio.Protocol):
    """One connection; one answer at a time, as HTTP/1.1 has it."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._path = b""
        self._body = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._write(_response(400, b"{}"))
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._stats.aborted += 1

    def on_url(self, url: bytes) -> None:
        """httptools: a request begins."""
        self._path = url
        self._body.clear()

    def on_body(self, body: bytes) -> None:
        """httptools: a part of its body."""
        self._body += body
        if len(self._body) > _MAX_BODY_BYTES:
            self._close()

    def on_message_complete(self) -> None:
        """httptools: it is whole."""
        if self._path == b"/stats":
            self._write(_response(200, msgspec.json.encode(self._stats)))
            return
        try:
            question = msgspec.json.decode(self._body, type=Question)
            answer = plan(question.model)
        except ValueError:
            self._stats.refused += 1
            self._write(_response(400, b'{"error": {"message": "the fake provider does not know this"}}'))
            return
        self._stats.requests += 1
        if question.stream:
            self._stats.streams += 1
            wants_usage = question.stream_options is not None and question.stream_options.include_usage
            self._stream(answer, wants_usage)
        elif answer.first_seconds:
            self._later(answer.first_seconds, self._answer, answer)
        else:
            self._answer(answer)

    def _answer(self, answer: Plan) -> None:
        self._timer = None
        self._stats.tokens += answer.tokens
        self._write(answer.unary)

    def _stream(self, answer: Plan, wants_usage: bool) -> None:
        end = answer.finish + (answer.usage if wants_usage else b"") + answer.done
        if answer.gap_seconds or answer.first_seconds:
            self._write(answer.head)
            self._later(answer.first_seconds, self._next_event, answer, 0, end)
        else:
            self._stats.tokens += answer.tokens
            self._write(answer.head + b"".join(answer.events) + end)

    def _next_event(self, answer: Plan, index: int, end: bytes) -> None:
        self._timer = None
        self._stats.tokens += 1
        if index + 1 == answer.tokens:
            self._write(answer.events[index] + end)
        else:
            self._write(answer.events[index])
            self._later(answer.gap_seconds, self._next_event, answer, index + 1, end)

    def _later(self, seconds: float, then: object, *arguments: object) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, then, *arguments)  # type: ignore[arg-type]

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    stats = Stats()
    server = await loop.create_server(lambda: Connection(stats), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The bench holds the other end: when it is gone, however it went, so are we.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve())
