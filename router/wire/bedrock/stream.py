"""Streams: Converse's events as chunks of a chat completion, each made from a fixed frame and one small delta.

    messageStart       the role
    contentBlockStart  the id and name of a tool call; other blocks begin with their first delta
    contentBlockDelta  a piece of text, of thinking, or of a call's arguments; a citation
    contentBlockStop   what only the whole block tells: signed thinking, citations, arguments that stayed empty
    messageStop        the end of the choice
    metadata           the usage, and the last of all events

An exception ends the stream. Events and blocks that are not known yet are passed over.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.base import BrokenStream, HttpRequest
from router.wire.bedrock.address import model_of
from router.wire.bedrock.answered import FINISH_REASONS, Citations, Reasoning, ServiceTier, Usage
from router.wire.bedrock.errors import decode_exception
from router.wire.bedrock.response import SERVER_TOOL
from router.wire.chat import Delta, ThinkingBlock, answer_id
from router.wire.eventstream import Message, MessageCutter, message_in
from router.wire.json_tool import JSON_TOOL
from router.wire.translated import TranslatedStream
from services.decoding import NOT_DECODED

# A message has a block for every text, thought or call, and they end before the next begins.
_MAX_OPEN_BLOCKS = 1024
# The end of a body is its newest part.
_SEED_BYTES = 1024


class _ToolUse(msgspec.Struct, rename="camel", gc=False):
    tool_use_id: str = ""
    name: str = ""
    type: str | None = None
    input: str | None = None


class _Start(msgspec.Struct, rename="camel", gc=False):
    tool_use: _ToolUse | None = None


class _Delta(msgspec.Struct, rename="camel", gc=False):
    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: Reasoning | None = None
    citation: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Event(msgspec.Struct, rename="camel", gc=False):
    """Any event: only the members that are read."""

    content_block_index: int = 0
    start: _Start | None = None
    delta: _Delta | None = None
    stop_reason: str | None = None
    usage: Usage | None = None
    service_tier: ServiceTier | None = None


_decoder = msgspec.json.Decoder(Event)


class _OpenBlock:
    """A block that has begun. start: where its text begins in the content."""

    __slots__ = ("citations", "has_arguments", "redacted", "signature", "start", "thoughts", "tool", "tool_index")

    def __init__(self, tool: _ToolUse | None, tool_index: int, start: int) -> None:
        self.tool = tool
        self.tool_index = tool_index
        self.start = start
        self.has_arguments = False
        self.signature = ""
        self.redacted: list[str] = []
        self.thoughts: list[str] = []
        self.citations: list[msgspec.Raw] = []


class ConverseStream(TranslatedStream):
    """`router.wire.base.StreamDecoder` for ConverseStream.

    created: now, in seconds since 1970, which Bedrock does not tell; seed: for the id, which it does not tell either.
    """

    def __init__(self, deployment: Deployment, *, show_usage: bool, created: int, seed: bytes) -> None:
        super().__init__(deployment, MessageCutter(), show_usage=show_usage, created=created)
        self.chunks.name(answer_id(seed), model_of(deployment))
        self._blocks: dict[int, _OpenBlock] = {}
        self._tools = 0
        self._usage: Usage | None = None
        self._service_tier: ServiceTier | None = None

    def read(self, event: bytes) -> None:
        """One whole message."""
        message = message_in(event)
        failure = exception_in(message)
        if failure is None:
            self.read_message(message)
        elif not self.finish_reason:
            # What follows the end of the answer takes nothing from it.
            self.error = decode_exception(*failure, self.deployment, message.headers.get(":error-message", ""))

    def read_message(self, message: Message) -> None:
        """A message that is no exception."""
        self.read_event(message.headers.get(":event-type", ""), message.payload)

    def read_event(self, name: str, payload: bytes) -> None:
        """An event by its name."""
        handler = _HANDLERS.get(name)
        if handler is None:
            return
        try:
            event = _decoder.decode(payload)
        except NOT_DECODED:
            raise BrokenStream("an event of its stream is no event of Converse") from None
        handler(self, event)

    def read_rest(self, rest: bytes) -> None:
        """A piece of a message is no message: without the end of the answer before it the stream was cut off."""

    def usage(self) -> common_pb2.TokenUsage | None:
        """As the provider has reported it; None when it has not."""
        return self._usage.tokens(self._service_tier) if self._usage is not None else None

    def _begin(self, event: Event) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.chunks.begin()

    def _start_block(self, event: Event) -> None:
        tool = event.start.tool_use if event.start else None
        if event.content_block_index in self._blocks:
            self._stop_block(event)
        is_call = tool is not None and tool.type != SERVER_TOOL and tool.name != JSON_TOOL
        block = self._open(event, tool)
        if block is not None and tool is not None and is_call:
            self._tools += 1
            self.has_content = True
            self.chunks.call(block.tool_index, tool.tool_use_id, tool.name)

    def _open(self, event: Event, tool: _ToolUse | None) -> _OpenBlock | None:
        self._begin(event)
        if len(self._blocks) >= _MAX_OPEN_BLOCKS:
            self.broken("its stream has too many open blocks")
            return None
        block = self._blocks[event.content_block_index] = _OpenBlock(tool, self._tools, self.content_chars)
        return block

    def _add(self, event: Event) -> None:
        delta = event.delta
        # Only calls are announced; everything else begins with its first piece.
        block = self._blocks.get(event.content_block_index) or self._open(event, None)
        if delta is None or block is None:
            return
        if delta.text:
            self.say(delta.text)
        elif delta.tool_use is not None and delta.tool_use.input:
            self._call(block, delta.tool_use.input)
        elif delta.reasoning_content is not None:
            self._think(block, delta.reasoning_content)
        elif delta.citation is not msgspec.UNSET:
            block.citations.append(delta.citation)
            self.keep(len(bytes(delta.citation)))

    def _think(self, block: _OpenBlock, reasoning: Reasoning) -> None:
        if reasoning.text:
            block.thoughts.append(reasoning.text)
            self.think(reasoning.text)
        block.signature += reasoning.signature or ""
        if reasoning.redacted_content:
            block.redacted.append(reasoning.redacted_content)
        self.keep(sum(len(each or "") for each in (reasoning.text, reasoning.signature, reasoning.redacted_content)))

    def _call(self, block: _OpenBlock, piece: str) -> None:
        tool = block.tool
        # Servers' own tools are called in the same way; the caller has no part in them.
        if tool is None or tool.type == SERVER_TOOL:
            return
        block.has_arguments = True
        if tool.name == JSON_TOOL:
            self.say(piece)
        else:
            self.chunks.arguments(block.tool_index, piece)

    def _stop_block(self, event: Event) -> None:
        block = self._blocks.pop(event.content_block_index, None)
        if block is not None:
            self._end_block(block)

    def _end_block(self, block: _OpenBlock) -> None:
        if block.tool is not None and not block.has_arguments:
            self._call(block, "{}")
        if block.redacted:
            data = _joined(block.redacted)
            self.chunks.add(Delta(thinking_blocks=[ThinkingBlock("redacted_thinking", data=data)]))
        if block.thoughts or block.signature:
            thinking = ThinkingBlock("thinking", "".join(block.thoughts), block.signature or None)
            self.chunks.add(Delta(thinking_blocks=[thinking]))
        if block.citations:
            citations = Citations()
            for citation in block.citations:
                citations.add(citation, block.start, self.content_chars)
            self.chunks.add(Delta(annotations=citations.annotations, citations=citations.raw))

    def _finish(self, event: Event) -> None:
        if self.finish_reason:
            return
        self._begin(event)
        for block in self._blocks.values():
            self._end_block(block)
        self._blocks.clear()
        self.has_content = True
        reason = FINISH_REASONS.get(event.stop_reason or "", "stop")
        # The only call may have been of the tool that stands in for the answer.
        self.finish_reason = "stop" if reason == "tool_calls" and not self._tools else reason
        self.chunks.finish(self.finish_reason)

    def _close(self, event: Event) -> None:
        self._usage = event.usage or self._usage
        self._service_tier = event.service_tier or self._service_tier
        # It comes last; without an end of the answer before it something was lost.
        self.done = bool(self.finish_reason)


def seed_of(request: HttpRequest, now: float) -> bytes:
    """What tells a call from others, for the id of its answer. now: in seconds since 1970."""
    return repr(now).encode() + request.url.encode(errors="replace") + request.body[-_SEED_BYTES:]


def exception_in(message: Message) -> tuple[str, bytes] | None:
    """What failed and what is said of it; None for a message that is an event."""
    headers = message.headers
    match headers.get(":message-type"):
        case "exception":
            return headers.get(":exception-type", ""), message.payload
        case "error":
            return headers.get(":error-code", ""), message.payload
    return None


def _joined(pieces: list[str]) -> str:
    """Pieces of one blob, each in base64, as one."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return b64encode(b"".join(b64decode(piece, validate=True) for piece in pieces)).decode()
    except (binascii.Error, ValueError):
        return "".join(pieces)


_HANDLERS: Mapping[str, Callable[[ConverseStream, Event], None]] = {
    "messageStart": ConverseStream._begin,
    "contentBlockStart": ConverseStream._start_block,
    "contentBlockDelta": ConverseStream._add,
    "contentBlockStop": ConverseStream._stop_block,
    "messageStop": ConverseStream._finish,
    "metadata": ConverseStream._close,
}
