"""Streams: forwarded as whole events, decoded only where it matters.

    bytes -> Splitter -> events -> forwarded
                            \\-> decoded while no content has come yet, and where one carries usage, an error or the
                                end of a choice

Finding out that nothing in a read matters costs a few searches over its bytes; nothing is parsed and written again.
"""

from __future__ import annotations

import re

import msgspec

from router.catalog import Deployment
from router.wire.base import StreamEnd, StreamStep, invalid_response
from router.wire.openai.answer import AnswerFixes
from router.wire.openai.errors import decode_stream_error
from router.wire.openai.response import ABSENT, Content, is_nothing, usage_of
from router.wire.sse import EventTooLarge, Splitter, fields_of
from services.decoding import NOT_DECODED
from services.errors import GatewayError, Reason

_DONE = b"data: [DONE]\n\n"

# Forwarded bytes are kept this far, to count what was generated in case the provider reports no usage: most streams
# end, with their usage, before they have filled it, and are never counted at all.
_UNCOUNTED_BYTES = 16 * 1024

# What makes an event matter. In text the quotes would be escaped, so a quoted name is a member, or a whole value.
_MARKS = (b'"error"', b"[DONE]", b"event:")
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"').search
_USAGE = re.compile(rb'"usage"\s*:\s*\{').search
# Strings that a model generates, in deltas of every host seen. Possessive, so that no input makes it slow.
_GENERATED = re.compile(
    rb'"(?:content|refusal|reasoning_content|reasoning|arguments|text)"\s*:\s*"((?:[^"\\]++|\\.)*+)"', re.DOTALL
)


class _Choice(msgspec.Struct, gc=False):
    delta: Content | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct, gc=False):
    usage: msgspec.Raw = ABSENT


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    object: msgspec.Raw = ABSENT
    # Where Groq reports to callers who have not asked, and hosts in front of it still do.
    x_groq: _Usage | None = None


_decode_json = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_chunk_decoder = msgspec.json.Decoder(_Chunk)


class ChatStream:
    """`router.wire.base.StreamDecoder` for Chat Completions."""

    def __init__(self, deployment: Deployment, *, show_usage: bool) -> None:
        self._deployment = deployment
        self._show_usage = show_usage
        self._splitter = Splitter()
        quirks = deployment.quirks
        self._fixes = AnswerFixes(quirks.answer) if quirks is not None and quirks.answer else None
        self._has_choices = False
        self._has_content = False
        self._done = False
        self._error: GatewayError | None = None
        self._usage = ABSENT
        self._service_tier = ABSENT
        self._finish_reason = ""
        self._content_events = 0
        self._content_bytes = 0
        self._uncounted: list[bytes] = []
        self._uncounted_size = 0

    def feed(self, data: bytes) -> StreamStep:
        """The next bytes, as the network gave them."""
        if self._done or self._error is not None:
            return StreamStep(b"", self._has_content, self._error, self._done)
        if self._has_content and self._splitter.is_plain(data) and not _matters(data) and self._leaves(data):
            return StreamStep(self._passed(data), True)
        events: list[bytes] = []
        try:
            events = self._splitter.feed(data)
        except EventTooLarge as broken:
            self._error = invalid_response(self._deployment, broken.what)
        if self._fixes is not None and not self._fixes.leaves(b"\n\n".join(events)):
            events = [self._fixes.event(event) for event in events]
        return StreamStep(self._forward(events), self._has_content, self._error, self._done)

    def close(self) -> StreamEnd:
        """The end, or as far as it got."""
        out = b"" if self._done or self._error is not None else self._last_event()
        complete = self._done or self._finish_reason != ""
        error = self._error
        if error is None and not (complete and self._has_choices):
            error = self._cut_off()
        usage = usage_of(self._usage, self._service_tier)
        if usage is None:
            self._count()
        return StreamEnd(
            out=out,
            last=_DONE if error is None else b"",
            usage=usage,
            content_events=self._content_events if usage is None else 0,
            content_bytes=self._content_bytes if usage is None else 0,
            finish_reason=self._finish_reason,
            error=error,
        )

    def _leaves(self, block: bytes) -> bool:
        """Whether no quirk of the host's speaks of these events."""
        return self._fixes is None or self._fixes.leaves(block)

    def _forward(self, events: list[bytes]) -> bytes:
        forwarded, rest = ([], events) if self._has_content else self._read_until_content(events)
        clean = _events_before_the_first_that_matters(rest)
        forwarded += rest[:clean]
        for event in rest[clean:]:
            if kept := self._read(event):
                forwarded.append(kept)
            if self._done or self._error is not None:
                break
        return self._passed(b"\n\n".join(forwarded) + b"\n\n") if forwarded else b""

    def _read_until_content(self, events: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """The events to forward up to the first with content, and those after it."""
        forwarded = []
        for at, event in enumerate(events, start=1):
            if kept := self._read(event):
                forwarded.append(kept)
            if self._done or self._error is not None:
                break
            if self._has_content:
                return forwarded, events[at:]
        return forwarded, []

    def _passed(self, block: bytes) -> bytes:
        """Whole events, on their way to the caller."""
        self._uncounted.append(block)
        self._uncounted_size += len(block)
        if self._uncounted_size > _UNCOUNTED_BYTES:
            self._count()
        return block

    def _read(self, event: bytes) -> bytes:
        """Learn what one event says; what the caller gets of it."""
        fields = fields_of(event)
        if fields.data is None:
            return event
        if fields.data.strip() == b"[DONE]":
            self._done = True
            return b""
        try:
            chunk = _chunk_decoder.decode(fields.data)
        except NOT_DECODED:
            self._error = invalid_response(self._deployment, "an event of its stream is no chat completion chunk")
            return b""
        has_usage = not is_nothing(chunk.usage)
        if not is_nothing(chunk.service_tier):
            self._service_tier = chunk.service_tier
        if chunk.x_groq is not None and not is_nothing(chunk.x_groq.usage) and self._usage is ABSENT:
            self._usage = chunk.x_groq.usage
        if has_usage:
            # Some hosts report in every event what it has come to so far: the last one counts.
            self._usage = chunk.usage
        if fields.event == b"error" or not is_nothing(chunk.error) or bytes(chunk.object) == b'"error"':
            # After the end of the answer, OpenRouter says once more, as an error, that the limit was reached.
            if not self._finish_reason:
                self._error = decode_stream_error(fields.data, self._deployment)
                return b""
            return _usage_alone(fields.data) if has_usage and self._show_usage else b""
        for choice in chunk.choices or ():
            self._read_choice(choice)
        return event if self._show_usage or not has_usage or chunk.choices else b""

    def _read_choice(self, choice: _Choice) -> None:
        self._has_choices = True
        if choice.finish_reason:
            self._finish_reason = choice.finish_reason
        if choice.finish_reason or (choice.delta is not None and choice.delta.size()):
            self._has_content = True

    def _last_event(self) -> bytes:
        """What came without its final blank line, if it is whole. A piece of an event is no event."""
        event = self._splitter.rest()
        if self._fixes is not None:
            event = self._fixes.event(event)
        if not self._has_choices and event.startswith(b"{") and b'"error"' in event:
            # Asked for a stream, some hosts tell of their errors in plain JSON, with status 200.
            self._error = decode_stream_error(event, self._deployment)
            return b""
        kept = b"" if fields_of(event).data is None else self._read(event)
        if not kept:
            # A piece that follows the end of the answer takes nothing from it.
            self._error = None if self._finish_reason else self._error
            return b""
        return self._passed(kept + b"\n\n")

    def _cut_off(self) -> GatewayError:
        if not self._has_choices:
            return invalid_response(self._deployment, "its stream has no choices")
        return GatewayError(
            Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
            f"{self._deployment.provider} broke off its stream before the end.",
            provider=self._deployment.provider,
        )

    def _count(self) -> None:
        pieces = [piece for block in self._uncounted for piece in _GENERATED.findall(block) if piece]
        self._uncounted, self._uncounted_size = [], 0
        self._content_events += len(pieces)
        self._content_bytes += sum(map(len, pieces))


def _usage_alone(data: bytes) -> bytes:
    """A chunk without its error and its choices: the event that callers who ask for usage wait for."""
    chunk = _decode_json(data)
    chunk.pop("error", None)
    chunk["choices"] = msgspec.Raw(b"[]")
    return b"data: " + msgspec.json.encode(chunk)


def _matters(block: bytes) -> bool:
    """Whether some event of these does."""
    for mark in _MARKS:
        if mark in block:
            return True
    return _FINISH(block) is not None or _USAGE(block) is not None


def _events_before_the_first_that_matters(events: list[bytes]) -> int:
    block = b"\n\n".join(events)
    places = [place for mark in _MARKS if (place := block.find(mark)) >= 0]
    places += [found.start() for search in (_FINISH, _USAGE) if (found := search(block)) is not None]
    return block.count(b"\n\n", 0, min(places)) if places else len(events)
