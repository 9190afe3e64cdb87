"""Streams of Cohere's Chat as streams of Chat Completions.

Text, thinking and the tool plan come in pieces, a call with its id first and its arguments after, a citation behind
the text that it stands behind; `message-end` is the terminator and tells the usage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.chat import Delta
from router.wire.cohere.answered import FINISH_REASONS, Citations, Usage, logprobs_of
from router.wire.cohere.errors import decode_stream_error, unfinished
from router.wire.cohere.events import Event, GivenCall, GivenContent, GivenFunction, GivenMessage, event_in
from router.wire.sse import Splitter, fields_of
from router.wire.translated import TranslatedStream

# A message has a block for every text, thought or call.
_MAX_BLOCKS = 1024


class _OpenCall:
    """A call that has begun. at: which of the answer's calls it is."""

    __slots__ = ("at", "has_arguments")

    def __init__(self, at: int) -> None:
        self.at = at
        self.has_arguments = False


class CohereStream(TranslatedStream):
    """`router.wire.base.StreamDecoder` for Cohere's Chat.

    created: now, in seconds since 1970, which Cohere does not tell.
    """

    def __init__(self, deployment: Deployment, *, show_usage: bool, created: int) -> None:
        super().__init__(deployment, Splitter(), show_usage=show_usage, created=created)
        self._starts: dict[int, int] = {}
        self._calls: dict[int, _OpenCall] = {}
        self._begun_calls = 0
        self._usage = Usage()

    def read(self, event: bytes) -> None:
        """One event."""
        said = fields_of(event).data
        if said is None or said == b"[DONE]":
            return
        found = event_in(said)
        if found is None:
            self.broken("an event of its stream is no event of the Chat API")
        else:
            self._read(found, said)

    def read_rest(self, rest: bytes) -> None:
        """What came without its final blank line, if it is whole. A piece of an event is no event."""
        # Asked for a stream, a host may tell of its error in plain JSON, with status 200.
        said = rest if rest.startswith(b"{") and not self.has_begun else fields_of(rest).data
        event = event_in(said) if said is not None else None
        if event is not None and said is not None:
            self._read(event, said)

    def usage(self) -> common_pb2.TokenUsage | None:
        """What is paid for; None when Cohere has not reported it."""
        return self._usage.billed()

    def shown_usage(self) -> common_pb2.TokenUsage | None:
        """All that the model read and wrote."""
        return self._usage.counted()

    def _read(self, event: Event, said: bytes) -> None:
        if not event.type and event.message is not None:
            self.error = decode_stream_error(said, self.deployment)
            return
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event)

    def _start(self, event: Event) -> None:
        if self.has_begun:
            return
        self.has_begun = True
        self.chunks.name(event.id or "", self.deployment.provider_model)
        self.chunks.begin()

    def _start_block(self, event: Event) -> None:
        if len(self._starts) >= _MAX_BLOCKS:
            self.broken("its stream has too many blocks")
            return
        self._starts[event.index] = self.content_chars
        self._add(event)

    def _add(self, event: Event) -> None:
        content = _message_of(event).content
        if not isinstance(content, GivenContent):
            return
        if content.text:
            self.say(content.text)
        if content.thinking:
            self.think(content.thinking)
        logprobs = None if event.logprobs is None else logprobs_of([event.logprobs])
        if logprobs is not None:
            self.chunks.weigh(logprobs)

    def _plan(self, event: Event) -> None:
        plan = _message_of(event).tool_plan
        if plan:
            self.say(plan)

    def _start_call(self, event: Event) -> None:
        call = _message_of(event).tool_calls
        if not isinstance(call, GivenCall):
            return
        self._end_call(event)
        if self._begun_calls >= _MAX_BLOCKS:
            self.broken("its stream has too many calls")
            return
        self._calls[event.index] = _OpenCall(self._begun_calls)
        self.has_content = True
        self.chunks.call(self._begun_calls, call.id or "", (call.function or GivenFunction()).name or "")
        self._begun_calls += 1
        self._add_arguments(event)

    def _add_arguments(self, event: Event) -> None:
        open_call, call = self._calls.get(event.index), _message_of(event).tool_calls
        if open_call is None or not isinstance(call, GivenCall):
            return
        piece = (call.function or GivenFunction()).arguments
        if piece:
            open_call.has_arguments = True
            self.chunks.arguments(open_call.at, piece)

    def _end_call(self, event: Event) -> None:
        self._end(self._calls.pop(event.index, None))

    def _end(self, call: _OpenCall | None) -> None:
        if call is not None and not call.has_arguments:
            self.chunks.arguments(call.at, "{}")

    def _cite(self, event: Event) -> None:
        citation = _message_of(event).citations
        if citation is not msgspec.UNSET:
            citations = Citations()
            citations.add(citation, self._starts)
            if citations.raw:
                self.chunks.add(Delta(annotations=citations.annotations, citations=citations.raw))

    def _finish(self, event: Event) -> None:
        delta = event.delta
        if delta is None:
            return
        self._usage = delta.usage or self._usage
        self.error = unfinished(delta.finish_reason, delta.error, self.deployment)
        if self.error is not None or delta.finish_reason is None:
            return
        for call in self._calls.values():
            self._end(call)
        self.has_content = True
        self.finish_reason = FINISH_REASONS.get(delta.finish_reason, "stop")
        self.chunks.finish(self.finish_reason)
        self.done = True


def _message_of(event: Event) -> GivenMessage:
    return (event.delta.message if event.delta else None) or GivenMessage()


_HANDLERS: Mapping[str, Callable[[CohereStream, Event], None]] = {
    "message-start": CohereStream._start,
    "content-start": CohereStream._start_block,
    "content-delta": CohereStream._add,
    "tool-plan-delta": CohereStream._plan,
    "tool-call-start": CohereStream._start_call,
    "tool-call-delta": CohereStream._add_arguments,
    "tool-call-end": CohereStream._end_call,
    "citation-start": CohereStream._cite,
    "message-end": CohereStream._finish,
}
