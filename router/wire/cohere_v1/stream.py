"""Streams of version 1, a line of JSON for each event, as streams of Chat Completions.

Calls of tools come in pieces and then whole: the whole ones are taken. `stream-end` is the terminator, and has the
whole answer in it, of which the usage is new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.chat import Delta
from router.wire.cohere.answered import Usage
from router.wire.cohere.errors import decode_stream_error, unfinished
from router.wire.cohere_v1.answered import Answered, Call, Citations
from router.wire.cohere_v1.request import PREFIX
from router.wire.cohere_v1.response import finish_reason_of
from router.wire.ndjson import LineCutter
from router.wire.translated import TranslatedStream
from services.decoding import NOT_DECODED


class _Event(msgspec.Struct, gc=False):
    """message: of an error, which has no type."""

    event_type: str = ""
    generation_id: str | None = None
    text: str | None = None
    tool_calls: list[Call] | None = None
    citations: list[msgspec.Raw] | None = None
    documents: list[dict[str, object]] | None = None
    finish_reason: str | None = None
    response: Answered | None = None
    message: str | None = None


class CohereV1Stream(TranslatedStream):
    """`router.wire.base.StreamDecoder` for version 1. created: now, in seconds since 1970."""

    def __init__(self, deployment: Deployment, *, show_usage: bool, created: int) -> None:
        super().__init__(deployment, LineCutter(), show_usage=show_usage, created=created)
        self._id = ""
        self._calls = 0
        self._documents: list[dict[str, object]] = []
        self._usage = Usage()

    def read(self, event: bytes) -> None:
        """One line."""
        found = _event_in(event)
        if found is None:
            self.broken("a line of its stream is no event of the Chat API")
        else:
            self._read(found, event)

    def read_rest(self, rest: bytes) -> None:
        """What came without its line end, if it is whole. A piece of a line is no line."""
        found = _event_in(rest)
        if found is not None:
            self._read(found, rest)

    def usage(self) -> common_pb2.TokenUsage | None:
        """What is paid for; None when Cohere has not reported it."""
        return self._usage.billed()

    def shown_usage(self) -> common_pb2.TokenUsage | None:
        """All that the model read and wrote."""
        return self._usage.counted()

    def _read(self, event: _Event, line: bytes) -> None:
        if not event.event_type and event.message is not None:
            self.error = decode_stream_error(line, self.deployment)
            return
        handler = _HANDLERS.get(event.event_type)
        if handler is not None:
            handler(self, event)

    def _start(self, event: _Event) -> None:
        if self.has_begun:
            return
        self.has_begun = True
        self._id = event.generation_id or ""
        self.chunks.name(self._id, self.deployment.provider_model.removeprefix(PREFIX))
        self.chunks.begin()

    def _say(self, event: _Event) -> None:
        if event.text:
            self.say(event.text)

    def _call(self, event: _Event) -> None:
        if not self.chunks.content_events:
            # The plan, where it did not come in pieces before.
            self._say(event)
        for call in event.tool_calls or ():
            self.has_content = True
            self.chunks.call(self._calls, call.made_id(self._id, self._calls), call.name)
            self.chunks.arguments(self._calls, call.arguments())
            self._calls += 1

    def _find(self, event: _Event) -> None:
        # One event has them all; the size of an event is limited.
        self._documents = event.documents or self._documents

    def _cite(self, event: _Event) -> None:
        citations = Citations.of(event.citations or (), self._documents)
        if citations.raw:
            self.chunks.add(Delta(annotations=citations.annotations, citations=citations.raw))

    def _finish(self, event: _Event) -> None:
        response = event.response or Answered()
        self._usage = response.meta or self._usage
        self.error = unfinished(event.finish_reason, None, self.deployment)
        if self.error is not None:
            return
        self.has_content = True
        self.finish_reason = finish_reason_of(event.finish_reason, calls=self._calls > 0)
        self.chunks.finish(self.finish_reason)
        self.done = True


def _event_in(line: bytes) -> _Event | None:
    try:
        return _decoder.decode(line)
    except NOT_DECODED:
        return None


_decoder = msgspec.json.Decoder(_Event)

_HANDLERS: Mapping[str, Callable[[CohereV1Stream, _Event], None]] = {
    "stream-start": CohereV1Stream._start,
    "text-generation": CohereV1Stream._say,
    # The plan that comes before a call; the call's own pieces are not read.
    "tool-calls-chunk": CohereV1Stream._say,
    "tool-calls-generation": CohereV1Stream._call,
    "search-results": CohereV1Stream._find,
    "citation-generation": CohereV1Stream._cite,
    "stream-end": CohereV1Stream._finish,
}
