"""What Anthropic's answers hold, whole or in a stream: usage, reasons to stop, citations."""

from __future__ import annotations

import msgspec
from gateway.v1 import common_pb2

from router.wire.chat import Annotation, Count, UrlCitation, count
from router.wire.tiers import tier_of
from services.decoding import NOT_DECODED

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    # The model pauses in the middle of a turn of server tools; sent back as it is, it goes on.
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


class Usage(msgspec.Struct, gc=False):
    """Anthropic's count: input_tokens are those neither read from the cache nor written to it."""

    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    output_tokens_details: _OutputDetails | None = None
    cache_creation: _CacheCreation | None = None
    # Texts, or what may come to be.
    service_tier: object = None
    speed: object = None

    def over(self, earlier: Usage) -> Usage:
        """This count, and an earlier one where this says nothing."""
        return Usage(*(getattr(earlier, name) if (own := getattr(self, name)) is None else own for name in _COUNTS))

    def tokens(self) -> common_pb2.TokenUsage | None:
        """As OpenAI counts, parts included in the totals; None when there is no count of the output."""
        if self.output_tokens is None:
            return None
        reads, writes = count(self.cache_read_input_tokens), count(self.cache_creation_input_tokens)
        details = self.output_tokens_details or _OutputDetails()
        written = self.cache_creation or _CacheCreation()
        return common_pb2.TokenUsage(
            input_tokens=count(self.input_tokens) + reads + writes,
            output_tokens=count(self.output_tokens),
            cache_read_tokens=reads,
            cache_write_tokens=writes,
            reasoning_tokens=count(details.thinking_tokens),
            cache_write_1h_tokens=min(count(written.ephemeral_1h_input_tokens), writes),
            # A fast answer is dearer, whatever the tier.
            service_tier=tier_of(self.speed) or tier_of(self.service_tier),
        )


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Count = None


class _CacheCreation(msgspec.Struct, gc=False):
    ephemeral_1h_input_tokens: Count = None


_COUNTS = Usage.__struct_fields__


class StopDetails(msgspec.Struct, gc=False):
    """Why the model refused."""

    explanation: str | None = None


class _Cited(msgspec.Struct, gc=False):
    url: str = ""
    title: str | None = None


class Citations(msgspec.Struct):
    """What a text cites: all of it in Anthropic's form, and pages of the web in OpenAI's too."""

    raw: list[msgspec.Raw] = []
    annotations: list[Annotation] = []

    def add(self, citation: msgspec.Raw, start: int, end: int) -> None:
        """A citation that stands behind the characters from start to end. What is no JSON is passed over."""
        try:
            # Written anew: in a stream a line feed between two members would end the event.
            self.raw.append(msgspec.Raw(msgspec.json.encode(msgspec.json.decode(citation))))
            cited = _cited_decoder.decode(citation)
        except NOT_DECODED:
            return
        if cited.url:
            self.annotations.append(Annotation("url_citation", UrlCitation(start, end, cited.title or "", cited.url)))


_cited_decoder = msgspec.json.Decoder(_Cited)
