"""Chunks of a chat completion as they are written: each a fixed frame around one small delta."""

from __future__ import annotations

import msgspec
from gateway.v1 import common_pb2

from router.wire.chat import ChatUsage, Delta, Function, ToolCall

_AFTER_DELTA = b',"finish_reason":null}]}\n\n'

_encode = msgspec.json.encode


class _Head(msgspec.Struct, gc=False):
    id: str
    object: str
    created: int
    model: str


class Chunks:
    """The chunks of one stream, gathered until they are taken.

    created: now, in seconds since 1970. content_events: pieces of text that were generated, which is about one a token
    with most providers; content_bytes: their size.
    """

    def __init__(self, created: int) -> None:
        self.content_events = 0
        self.content_bytes = 0
        self._created = created
        self._out: list[bytes] = []
        self.name("", "")

    def name(self, answer_id: str, model: str) -> None:
        """What every chunk from now on says it belongs to."""
        head = _Head(answer_id, "chat.completion.chunk", self._created, model)
        self._head = b"data: " + _encode(head)[:-1] + b","
        self._before_delta = self._head + b'"choices":[{"index":0,"delta":'

    def begin(self, index: int = 0) -> None:
        """The role, which comes first. index: of the choice, here and below."""
        self.add(Delta(role="assistant", content=""), index)

    def say(self, text: str, index: int = 0) -> None:
        """A piece of the answer's text."""
        self._write(b'{"content":' + _encode(text) + b"}", index)
        self._generated(text)

    def weigh(self, logprobs: object, index: int = 0) -> None:
        """How likely the tokens just said were, in OpenAI's form."""
        self._out.append(self._before(index) + b'{},"logprobs":' + _encode(logprobs) + _AFTER_DELTA)

    def think(self, text: str, index: int = 0) -> None:
        """A piece of visible thinking."""
        self._write(b'{"reasoning_content":' + _encode(text) + b"}", index)
        self._generated(text)

    def call(self, at: int, call_id: str, name: str, index: int = 0) -> None:
        """The beginning of a tool call, the `at`th of its choice."""
        self.add(Delta(tool_calls=[ToolCall("function", Function("", name), at, call_id)]), index)

    def arguments(self, at: int, text: str, index: int = 0) -> None:
        """A piece of a call's arguments."""
        self.add(Delta(tool_calls=[ToolCall("function", Function(text), at)]), index)
        self._generated(text)

    def add(self, delta: Delta, index: int = 0) -> None:
        """Anything else that an answer can hold."""
        self._write(_encode(delta), index)

    def finish(self, reason: str, delta: Delta | None = None, index: int = 0) -> None:
        """The end of a choice."""
        said = b"{}" if delta is None else _encode(delta)
        self._out.append(self._before(index) + said + b',"finish_reason":"%s"}]}\n\n' % reason.encode())

    def usage(self, tokens: common_pb2.TokenUsage) -> None:
        """The event for a caller who asked for the usage."""
        self._out.append(self._head + b'"choices":[],"usage":' + _encode(ChatUsage.of(tokens)) + b"}\n\n")

    def take(self) -> bytes:
        """All that was written since the last time."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _before(self, index: int) -> bytes:
        return self._before_delta if index == 0 else self._head + b'"choices":[{"index":%d,"delta":' % index

    def _write(self, delta: bytes, index: int) -> None:
        self._out.append(self._before(index) + delta + _AFTER_DELTA)

    def _generated(self, text: str) -> None:
        self.content_events += 1
        self.content_bytes += len(text.encode())
