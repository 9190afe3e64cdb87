"""Streams: each event is a piece of an answer, in the same words as a whole one; chunks are made of its parts.

No event ends the stream: it ends with its bytes. Some models say in every piece why they stop, so that only then the
last of these reasons holds, and the ends of choices are written.
"""

from __future__ import annotations

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.chat import Delta, Function, ToolCall, arguments_of
from router.wire.gemini import media, signatures
from router.wire.gemini.answered import (
    MAX_CHOICES,
    Answered,
    GivenBlob,
    GivenCall,
    GivenCandidate,
    GivenPart,
    Usage,
    blocked_usage,
    call_id,
    decoder,
    finish_reason_of,
    logprobs_of,
)
from router.wire.gemini.cutter import StreamCutter
from router.wire.gemini.errors import decode_stream_error
from router.wire.gemini.grounding import Grounds, metadata_of
from router.wire.sse import fields_of
from router.wire.translated import TranslatedStream
from services.decoding import NOT_DECODED

# The text is kept until its grounds are told, which are measured in it. The longest answer is some 65,000 tokens.
_MAX_KEPT_CHARS = 4 * 1024 * 1024
_BLOCKED = "content_filter"


class _OpenChoice:
    """A choice that has begun. reason: why it stopped, in Gemini's word; empty while it has not."""

    __slots__ = ("calls", "grounds", "images", "message", "reason", "texts")

    def __init__(self) -> None:
        self.calls = 0
        self.images = 0
        self.reason = ""
        self.message: str | None = None
        self.grounds = Grounds()
        self.texts: list[str] = []

    def finish_reason(self) -> str:
        return finish_reason_of(self.reason, has_calls=self.calls > 0)


class ContentStream(TranslatedStream):
    """`router.wire.base.StreamDecoder` for streamGenerateContent.

    created: now, in seconds since 1970, which Gemini does not always tell.
    """

    def __init__(self, deployment: Deployment, *, show_usage: bool, created: int) -> None:
        super().__init__(deployment, StreamCutter(), show_usage=show_usage, created=created)
        self._answer_id = str(created)
        self._choices: dict[int, _OpenChoice] = {}
        self._calls = 0
        self._kept_chars = 0
        self._usage = Usage()
        self._is_blocked = False

    def read(self, event: bytes) -> None:
        """One event, or one object of an array."""
        said = event if event.startswith(b"{") else fields_of(event).data
        if said is None:
            return
        if said == b"[DONE]":
            # Gemini has no such thing; proxies do.
            self.done = True
            return
        try:
            answered = decoder.decode(said)
        except NOT_DECODED:
            self.broken("an event of its stream is no piece of an answer of Gemini's")
            return
        if answered.error is not msgspec.UNSET:
            # What follows the end of the answer takes nothing from it.
            if not self.finish_reason:
                self.error = decode_stream_error(said, self.deployment)
            return
        self._read(answered)

    def conclude(self) -> None:
        """The ends of all choices."""
        for index, choice in self._choices.items():
            reason = choice.finish_reason()
            refusal = choice.message if reason == _BLOCKED else None
            self.chunks.finish(reason, Delta(refusal=refusal) if refusal else None, index)

    def usage(self) -> common_pb2.TokenUsage | None:
        """As the provider has reported it; None before the end, when a part of the prompt may not be counted yet."""
        if not self.finish_reason:
            return None
        usage = self._usage.tokens()
        return blocked_usage(usage) if self._is_blocked else usage

    def _read(self, answered: Answered) -> None:
        if answered.usage_metadata is not None:
            self._usage = answered.usage_metadata.over(self._usage)
        if not self.has_begun and (answered.candidates or answered.is_blocked()):
            self.has_begun = True
            self._answer_id = answered.response_id or self._answer_id
            self.chunks.name(answered.response_id, answered.model_version or self.deployment.provider_model)
        if answered.is_blocked() and not self._choices:
            self._is_blocked = True
            choice = self._choice(0)
            choice.reason, choice.message = "SAFETY", answered.refusal()
        for at, candidate in enumerate(answered.candidates or ()):
            index = at if candidate.index is None else candidate.index
            if not 0 <= index < MAX_CHOICES:
                self.broken("its stream has too many choices")
                return
            self._read_candidate(self._choice(index), candidate, index)
        if self._choices and all(choice.reason for choice in self._choices.values()):
            self.has_content = True
            self.finish_reason = self._choices[min(self._choices)].finish_reason()

    def _choice(self, index: int) -> _OpenChoice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _OpenChoice()
            self.chunks.begin(index)
        return choice

    def _read_candidate(self, choice: _OpenChoice, candidate: GivenCandidate, index: int) -> None:
        for part in candidate.parts():
            self._read_part(choice, part, index)
        if candidate.logprobs_result is not None:
            self.chunks.weigh(logprobs_of(candidate.logprobs_result), index)
        annotations = choice.grounds.annotations(candidate, choice.texts, in_pieces=True)
        extra = metadata_of(candidate)
        if annotations or extra:
            self.chunks.add(Delta(annotations=annotations, provider_specific_fields=extra or None), index)
        choice.reason = candidate.finish_reason or choice.reason
        choice.message = candidate.finish_message or choice.message

    def _read_part(self, choice: _OpenChoice, part: GivenPart, index: int) -> None:
        if part.function_call is not None:
            self._call(choice, part.function_call, part.thought_signature, index)
            return
        if part.text and part.thought:
            self.has_content = True
            self.chunks.think(part.text, index)
        elif part.text:
            self.has_content = True
            self._keep(choice, part.text)
            self.chunks.say(part.text, index)
        if part.inline_data is not None:
            self._show(choice, part.inline_data, index)
        if part.thought_signature:
            specific, extra = signatures.for_message(part.thought_signature)
            self.chunks.add(Delta(provider_specific_fields=specific, extra_content=extra), index)

    def _call(self, choice: _OpenChoice, given: GivenCall, signature: str | None, index: int) -> None:
        specific, extra = signatures.for_call(signature)
        identity = call_id(given, self._answer_id, self._calls)
        call = ToolCall("function", Function("", given.name), choice.calls, identity)
        call.provider_specific_fields, call.extra_content = specific, extra
        self.chunks.add(Delta(tool_calls=[call]), index)
        self.chunks.arguments(choice.calls, arguments_of(given.args), index)
        choice.calls += 1
        self._calls += 1
        self.has_content = True

    def _show(self, choice: _OpenChoice, blob: GivenBlob, index: int) -> None:
        image = media.image_of(blob, choice.images)
        audio = media.audio_of(blob, self._answer_id)
        if image is not None:
            choice.images += 1
        if image is not None or audio is not None:
            self.has_content = True
            self.chunks.add(Delta(images=[image] if image is not None else [], audio=audio), index)

    def _keep(self, choice: _OpenChoice, text: str) -> None:
        choice.texts.append(text)
        self._kept_chars += len(text)
        if self._kept_chars > _MAX_KEPT_CHARS:
            self.broken("its text has no end")
