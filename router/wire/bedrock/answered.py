"""What Converse's answers hold, whole or in a stream: usage, reasons to stop, citations."""

from __future__ import annotations

import msgspec
from gateway.v1 import common_pb2

from router.wire.chat import Annotation, Count, UrlCitation, count
from router.wire.tiers import tier_of
from services.decoding import NOT_DECODED

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    # The model wrote a call, or an answer, that is none; what can be read of it is there.
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    # Anthropic's word, should it come through.
    "refusal": "content_filter",
}


class _CacheDetail(msgspec.Struct, rename="camel", gc=False):
    input_tokens: Count = None
    ttl: str | None = None


class ServiceTier(msgspec.Struct, gc=False):
    """Which one was served."""

    type: str | None = None


class Usage(msgspec.Struct, rename="camel", gc=False):
    """Bedrock's count: inputTokens are those neither read from the cache nor written to it."""

    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_write_input_tokens: Count = None
    cache_details: list[_CacheDetail] | None = None

    def tokens(self, tier: ServiceTier | None = None) -> common_pb2.TokenUsage | None:
        """As OpenAI counts, parts included in the totals; None when there is no count of the output."""
        if self.output_tokens is None:
            return None
        reads, writes = count(self.cache_read_input_tokens), count(self.cache_write_input_tokens)
        hour = sum(count(each.input_tokens) for each in self.cache_details or () if each.ttl == "1h")
        return common_pb2.TokenUsage(
            input_tokens=count(self.input_tokens) + reads + writes,
            output_tokens=count(self.output_tokens),
            cache_read_tokens=reads,
            cache_write_tokens=writes,
            cache_write_1h_tokens=min(hour, writes),
            service_tier=tier_of(tier.type if tier else None),
        )


class Reasoning(msgspec.Struct, rename="camel", gc=False):
    """Thinking in a stream: a piece of its text, its signature, or what only the provider can read (in base64)."""

    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Web(msgspec.Struct, gc=False):
    url: str = ""


class _Location(msgspec.Struct, gc=False):
    web: _Web | None = None


class _Cited(msgspec.Struct, gc=False):
    title: str | None = None
    location: _Location | None = None


_cited_decoder = msgspec.json.Decoder(_Cited)


class Citations(msgspec.Struct):
    """What a text cites: all of it in Converse's form, and pages of the web in OpenAI's too."""

    raw: list[msgspec.Raw] = []
    annotations: list[Annotation] = []

    def add(self, citation: msgspec.Raw, start: int, end: int) -> None:
        """A citation that stands behind the characters from start to end. What is no JSON is passed over."""
        try:
            # Written anew: in a stream a line feed between two members would end the event.
            written = msgspec.Raw(msgspec.json.encode(msgspec.json.decode(citation)))
            cited = _cited_decoder.decode(citation)
        except NOT_DECODED:
            return
        self.raw.append(written)
        web = cited.location.web if cited.location else None
        if web is not None and web.url:
            self.annotations.append(Annotation("url_citation", UrlCitation(start, end, cited.title or "", web.url)))
