"""Streams: Anthropic's events as chunks of a chat completion, each made from a fixed frame and one small delta.

    message_start        the role
    content_block_start  the id and name of a tool call
    content_block_delta  a piece of text, of thinking, or of a call's arguments
    content_block_stop   what only the whole block tells: signed thinking, citations, arguments that stayed empty
    message_delta        the end of the choice, and the usage
    message_stop         the terminator; before it the usage event, for a caller who asked

`ping`, and events and blocks that are not known yet, are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from router.catalog import Deployment
from router.wire.anthropic.chat import (
    FINISH_REASONS,
    Annotation,
    ChatUsage,
    Citations,
    Function,
    ThinkingBlock,
    ToolCall,
    Usage,
    arguments_of,
)
from router.wire.anthropic.errors import decode_stream_error
from router.wire.anthropic.events import Event, GivenBlock, data_of, event_in
from router.wire.base import StreamEnd, StreamStep, invalid_response
from router.wire.sse import EventTooLarge, Splitter
from services.errors import GatewayError, Reason

_DONE = b"data: [DONE]\n\n"
_AFTER_DELTA = b',"finish_reason":null}]}\n\n'

# Thinking and citations are kept until their block ends. The longest thinking is some 128,000 tokens.
_MAX_KEPT_BYTES = 4 * 1024 * 1024
# A message has a block for every text, thought or call, and they end before the next begins.
_MAX_OPEN_BLOCKS = 1024

_encode = msgspec.json.encode


class _Head(msgspec.Struct, gc=False):
    id: str
    object: str
    created: int
    model: str


class _Delta(msgspec.Struct, omit_defaults=True, gc=False):
    """What a chunk adds to the answer."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[ThinkingBlock] | None = None
    annotations: list[Annotation] = []
    citations: list[msgspec.Raw] = []


class _OpenBlock:
    """A block that has begun. tool_index: which call it is; start: where its text begins in the content."""

    __slots__ = ("citations", "given", "has_arguments", "signature", "start", "thoughts", "tool_index")

    def __init__(self, given: GivenBlock, tool_index: int, start: int) -> None:
        self.given = given
        self.tool_index = tool_index
        self.start = start
        self.has_arguments = False
        self.signature = given.signature or ""
        self.thoughts: list[str] = []
        self.citations: list[msgspec.Raw] = []


class MessageStream:
    """`router.wire.base.StreamDecoder` for Anthropic's Messages.

    created: now, in seconds since 1970, which Anthropic does not tell.
    """

    def __init__(self, deployment: Deployment, *, show_usage: bool, created: int) -> None:
        self._deployment = deployment
        self._show_usage = show_usage
        self._created = created
        self._splitter = Splitter()
        self._out: list[bytes] = []
        self._frame("", "")
        self._blocks: dict[int, _OpenBlock] = {}
        self._kept_bytes = 0
        self._tools = 0
        self._content_chars = 0
        self._has_begun = False
        self._has_content = False
        self._done = False
        self._error: GatewayError | None = None
        self._finish_reason = ""
        self._usage = Usage()
        # What message_start counts is not yet what the answer comes to.
        self._has_final_usage = False
        self._content_events = 0
        self._content_bytes = 0

    def feed(self, data: bytes) -> StreamStep:
        """The next bytes, as the network gave them."""
        if self._done or self._error is not None:
            return StreamStep(b"", self._has_content, self._error, self._done)
        events: list[bytes] = []
        try:
            events = self._splitter.feed(data)
        except EventTooLarge:
            self._break("an event of its stream has no end")
        for each in events:
            said = data_of(each)
            if said is None:
                continue
            event = event_in(said)
            if event is None:
                self._break("an event of its stream is no event of the Messages API")
            else:
                self._read(event, said)
            if self._done or self._error is not None:
                break
        return StreamStep(self._taken(), self._has_content, self._error, self._done)

    def close(self) -> StreamEnd:
        """The end, or as far as it got."""
        if not self._done and self._error is None:
            self._read_rest()
        if self._error is None and not self._finish_reason:
            self._error = self._cut_off()
        if self._error is None and not self._done:
            # Its end has come, but not its terminator, which says nothing new.
            self._show_the_usage()
        usage = self._usage.tokens() if self._has_final_usage else None
        return StreamEnd(
            out=self._taken(),
            last=_DONE if self._error is None else b"",
            usage=usage,
            content_events=self._content_events if usage is None else 0,
            content_bytes=self._content_bytes if usage is None else 0,
            finish_reason=self._finish_reason,
            error=self._error,
        )

    def _read(self, event: Event, said: bytes) -> None:
        if event.type == "error":
            # What follows the end of the answer takes nothing from it.
            if not self._finish_reason:
                self._error = decode_stream_error(said, self._deployment)
            return
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event)

    def _read_rest(self) -> None:
        """What came without its final blank line, if it is whole. A piece of an event is no event."""
        rest = self._splitter.rest()
        said = rest if rest.startswith(b"{") and not self._has_begun else data_of(rest)
        # Asked for a stream, a host may tell of its error in plain JSON, with status 200.
        event = event_in(said) if said is not None else None
        if event is not None and said is not None:
            self._read(event, said)

    def _start(self, event: Event) -> None:
        message = event.message
        if message is None or self._has_begun:
            return
        self._has_begun = True
        self._frame(message.id, message.model)
        self._usage = message.usage or self._usage
        self._emit(_encode(_Delta(role="assistant", content="")))

    def _start_block(self, event: Event) -> None:
        given = event.content_block
        if given is None:
            return
        if event.index in self._blocks:
            self._stop_block(event)
        if len(self._blocks) >= _MAX_OPEN_BLOCKS:
            self._break("its stream has too many open blocks")
            return
        block = self._blocks[event.index] = _OpenBlock(given, self._tools, self._content_chars)
        if given.type == "tool_use":
            self._tools += 1
            self._has_content = True
            call = ToolCall("function", Function("", given.name or ""), block.tool_index, given.id or "")
            self._emit(_encode(_Delta(tool_calls=[call])))
        elif given.type == "text" and given.text:
            self._say(given.text)
        elif given.type == "thinking" and given.thinking:
            self._think(block, given.thinking)

    def _add(self, event: Event) -> None:
        delta = event.delta
        if delta is None:
            return
        if delta.text:
            self._say(delta.text)
            return
        block = self._blocks.get(event.index)
        if block is None:
            return
        if delta.partial_json:
            self._call(block, delta.partial_json)
        elif delta.thinking:
            self._think(block, delta.thinking)
        elif delta.signature:
            block.signature += delta.signature
            self._keep(len(delta.signature))
        elif delta.citation is not msgspec.UNSET:
            block.citations.append(delta.citation)
            self._keep(len(bytes(delta.citation)))

    def _say(self, text: str) -> None:
        self._content_chars += len(text)
        self._emit(b'{"content":' + _encode(text) + b"}")
        self._generated(text)

    def _think(self, block: _OpenBlock, thought: str) -> None:
        block.thoughts.append(thought)
        self._keep(len(thought))
        self._emit(b'{"reasoning_content":' + _encode(thought) + b"}")
        self._generated(thought)

    def _call(self, block: _OpenBlock, piece: str) -> None:
        # Servers' own tools are called in the same way; the caller has no part in them.
        if block.given.type == "tool_use":
            block.has_arguments = True
            self._emit(_encode(_Delta(tool_calls=[ToolCall("function", Function(piece), block.tool_index)])))
            self._generated(piece)

    def _stop_block(self, event: Event) -> None:
        block = self._blocks.pop(event.index, None)
        if block is not None:
            self._end(block)

    def _end(self, block: _OpenBlock) -> None:
        given = block.given
        if given.type == "tool_use" and not block.has_arguments:
            self._call(block, arguments_of(given.input))
        elif given.type == "thinking" and (block.thoughts or block.signature):
            thinking = ThinkingBlock("thinking", "".join(block.thoughts), block.signature or None)
            self._emit(_encode(_Delta(thinking_blocks=[thinking])))
        elif given.type == "redacted_thinking":
            self._emit(_encode(_Delta(thinking_blocks=[ThinkingBlock("redacted_thinking", data=given.data)])))
        elif block.citations:
            citations = Citations()
            for citation in block.citations:
                citations.add(citation, block.start, self._content_chars)
            self._emit(_encode(_Delta(annotations=citations.annotations, citations=citations.raw)))

    def _finish(self, event: Event) -> None:
        if event.usage is not None:
            self._usage = event.usage.over(self._usage)
            self._has_final_usage = True
        if event.delta is None or event.delta.stop_reason is None or self._finish_reason:
            return
        for block in self._blocks.values():
            self._end(block)
        self._blocks.clear()
        self._has_content = True
        self._finish_reason = FINISH_REASONS.get(event.delta.stop_reason, "stop")
        details = event.delta.stop_details
        delta = _encode(_Delta(refusal=details.explanation if details else None))
        self._out.append(self._before_delta + delta + b',"finish_reason":"%s"}]}\n\n' % self._finish_reason.encode())

    def _stop(self, event: Event) -> None:
        self._done = True
        if self._finish_reason:
            self._show_the_usage()

    def _show_the_usage(self) -> None:
        tokens = self._usage.tokens() if self._show_usage and self._has_final_usage else None
        if tokens is not None:
            self._out.append(self._head + b'"choices":[],"usage":' + _encode(ChatUsage.of(tokens)) + b"}\n\n")

    def _frame(self, message_id: str, model: str) -> None:
        """What every chunk begins with."""
        head = _Head(message_id, "chat.completion.chunk", self._created, model)
        self._head = b"data: " + _encode(head)[:-1] + b","
        self._before_delta = self._head + b'"choices":[{"index":0,"delta":'

    def _emit(self, delta: bytes) -> None:
        self._out.append(self._before_delta + delta + _AFTER_DELTA)

    def _generated(self, text: str) -> None:
        self._has_content = True
        self._content_events += 1
        self._content_bytes += len(text.encode())

    def _keep(self, size: int) -> None:
        self._kept_bytes += size
        if self._kept_bytes > _MAX_KEPT_BYTES:
            self._break("its thinking or its citations have no end")

    def _taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _break(self, what: str) -> None:
        self._error = invalid_response(self._deployment, what)

    def _cut_off(self) -> GatewayError:
        if not self._has_begun:
            return invalid_response(self._deployment, "its stream has no message")
        return GatewayError(
            Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
            f"{self._deployment.provider} broke off its stream before the end.",
            provider=self._deployment.provider,
        )


_HANDLERS: Mapping[str, Callable[[MessageStream, Event], None]] = {
    "message_start": MessageStream._start,
    "content_block_start": MessageStream._start_block,
    "content_block_delta": MessageStream._add,
    "content_block_stop": MessageStream._stop_block,
    "message_delta": MessageStream._finish,
    "message_stop": MessageStream._stop,
}
