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
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.anthropic.answered import FINISH_REASONS, Citations, Usage
from router.wire.anthropic.errors import decode_stream_error
from router.wire.anthropic.events import Event, GivenBlock, data_of, event_in
from router.wire.chat import Delta, ThinkingBlock, arguments_of
from router.wire.json_tool import JSON_TOOL
from router.wire.sse import Splitter
from router.wire.translated import TranslatedStream

# A message has a block for every text, thought or call, and they end before the next begins.
_MAX_OPEN_BLOCKS = 1024


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

    @property
    def is_call(self) -> bool:
        """Whether it is a call for the caller."""
        return self.given.type == "tool_use" and self.given.name != JSON_TOOL

    @property
    def is_answer(self) -> bool:
        """Whether it is a call of the tool that stands in for the answer."""
        return self.given.type == "tool_use" and self.given.name == JSON_TOOL


class MessageStream(TranslatedStream):
    """`router.wire.base.StreamDecoder` for Anthropic's Messages.

    created: now, in seconds since 1970, which Anthropic does not tell.
    """

    def __init__(self, deployment: Deployment, *, show_usage: bool, created: int) -> None:
        super().__init__(deployment, Splitter(), show_usage=show_usage, created=created)
        self._blocks: dict[int, _OpenBlock] = {}
        self._tools = 0
        self._answers_by_tool = False
        self._usage = Usage()
        # What message_start counts is not yet what the answer comes to.
        self._has_final_usage = False

    def read(self, event: bytes) -> None:
        """One event."""
        said = data_of(event)
        if said is None:
            return
        found = event_in(said)
        if found is None:
            self.broken("an event of its stream is no event of the Messages API")
        else:
            self._read(found, said)

    def read_rest(self, rest: bytes) -> None:
        """What came without its final blank line, if it is whole. A piece of an event is no event."""
        said = rest if rest.startswith(b"{") and not self.has_begun else data_of(rest)
        # Asked for a stream, a host may tell of its error in plain JSON, with status 200.
        event = event_in(said) if said is not None else None
        if event is not None and said is not None:
            self._read(event, said)

    def usage(self) -> common_pb2.TokenUsage | None:
        """As the provider has reported it; None when it has not."""
        return self._usage.tokens() if self._has_final_usage else None

    def _read(self, event: Event, said: bytes) -> None:
        if event.type == "error":
            # What follows the end of the answer takes nothing from it.
            if not self.finish_reason:
                self.error = decode_stream_error(said, self.deployment)
            return
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event)

    def _start(self, event: Event) -> None:
        message = event.message
        if message is None or self.has_begun:
            return
        self.has_begun = True
        self.chunks.name(message.id, message.model)
        self._usage = message.usage or self._usage
        self.chunks.begin()

    def _start_block(self, event: Event) -> None:
        given = event.content_block
        if given is None:
            return
        if event.index in self._blocks:
            self._stop_block(event)
        if len(self._blocks) >= _MAX_OPEN_BLOCKS:
            self.broken("its stream has too many open blocks")
            return
        block = self._blocks[event.index] = _OpenBlock(given, self._tools, self.content_chars)
        self._answers_by_tool |= block.is_answer
        if block.is_call:
            self._tools += 1
            self.has_content = True
            self.chunks.call(block.tool_index, given.id or "", given.name or "")
        elif given.type == "text" and given.text:
            self.say(given.text)
        elif given.type == "thinking" and given.thinking:
            self._think(block, given.thinking)

    def _add(self, event: Event) -> None:
        delta = event.delta
        if delta is None:
            return
        if delta.text:
            self.say(delta.text)
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
            self.keep(len(delta.signature))
        elif delta.citation is not msgspec.UNSET:
            block.citations.append(delta.citation)
            self.keep(len(bytes(delta.citation)))

    def _think(self, block: _OpenBlock, thought: str) -> None:
        block.thoughts.append(thought)
        self.keep(len(thought))
        self.think(thought)

    def _call(self, block: _OpenBlock, piece: str) -> None:
        # Servers' own tools are called in the same way; the caller has no part in them.
        block.has_arguments = True
        if block.is_call:
            self.chunks.arguments(block.tool_index, piece)
        elif block.is_answer:
            self.say(piece)

    def _stop_block(self, event: Event) -> None:
        block = self._blocks.pop(event.index, None)
        if block is not None:
            self._end_block(block)

    def _end_block(self, block: _OpenBlock) -> None:
        given = block.given
        if given.type == "tool_use" and not block.has_arguments:
            self._call(block, arguments_of(given.input))
        elif given.type == "thinking" and (block.thoughts or block.signature):
            thinking = ThinkingBlock("thinking", "".join(block.thoughts), block.signature or None)
            self.chunks.add(Delta(thinking_blocks=[thinking]))
        elif given.type == "redacted_thinking":
            self.chunks.add(Delta(thinking_blocks=[ThinkingBlock("redacted_thinking", data=given.data)]))
        elif block.citations:
            citations = Citations()
            for citation in block.citations:
                citations.add(citation, block.start, self.content_chars)
            self.chunks.add(Delta(annotations=citations.annotations, citations=citations.raw))

    def _finish(self, event: Event) -> None:
        if event.usage is not None:
            self._usage = event.usage.over(self._usage)
            self._has_final_usage = True
        if event.delta is None or event.delta.stop_reason is None or self.finish_reason:
            return
        for block in self._blocks.values():
            self._end_block(block)
        self._blocks.clear()
        self.has_content = True
        self.finish_reason = FINISH_REASONS.get(event.delta.stop_reason, "stop")
        if self.finish_reason == "tool_calls" and self._answers_by_tool and not self._tools:
            self.finish_reason = "stop"
        details = event.delta.stop_details
        self.chunks.finish(self.finish_reason, Delta(refusal=details.explanation) if details else None)

    def _stop(self, event: Event) -> None:
        self.done = True


_HANDLERS: Mapping[str, Callable[[MessageStream, Event], None]] = {
    "message_start": MessageStream._start,
    "content_block_start": MessageStream._start_block,
    "content_block_delta": MessageStream._add,
    "content_block_stop": MessageStream._stop_block,
    "message_delta": MessageStream._finish,
    "message_stop": MessageStream._stop,
}
