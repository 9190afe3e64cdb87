"""What callers are answered in: the members of a chat completion, whole or in pieces, that Anthropic can fill."""

from __future__ import annotations

import msgspec
from gateway.v1 import common_pb2

# No model counts further; a larger number is a broken provider and must not become money.
MAX_TOKENS = 1 << 40

_Count = int | float | None

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

    input_tokens: _Count = None
    output_tokens: _Count = None
    cache_creation_input_tokens: _Count = None
    cache_read_input_tokens: _Count = None
    output_tokens_details: _OutputDetails | None = None

    def over(self, earlier: Usage) -> Usage:
        """This count, and an earlier one where this says nothing."""
        return Usage(*(getattr(earlier, name) if (own := getattr(self, name)) is None else own for name in _COUNTS))

    def tokens(self) -> common_pb2.TokenUsage | None:
        """As OpenAI counts, parts included in the totals; None when there is no count of the output."""
        if self.output_tokens is None:
            return None
        reads, writes = _count(self.cache_read_input_tokens), _count(self.cache_creation_input_tokens)
        details = self.output_tokens_details or _OutputDetails()
        return common_pb2.TokenUsage(
            input_tokens=_count(self.input_tokens) + reads + writes,
            output_tokens=_count(self.output_tokens),
            cache_read_tokens=reads,
            cache_write_tokens=writes,
            reasoning_tokens=_count(details.thinking_tokens),
        )


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: _Count = None


_COUNTS = Usage.__struct_fields__


class StopDetails(msgspec.Struct, gc=False):
    """Why the model refused."""

    explanation: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int
    cache_creation_tokens: int


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int


class ChatUsage(msgspec.Struct):
    """`usage` of a chat completion; the two last members are LiteLLM's."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _PromptDetails
    completion_tokens_details: _CompletionDetails
    cache_creation_input_tokens: int
    cache_read_input_tokens: int

    @classmethod
    def of(cls, tokens: common_pb2.TokenUsage) -> ChatUsage:
        return cls(
            prompt_tokens=tokens.input_tokens,
            completion_tokens=tokens.output_tokens,
            total_tokens=tokens.input_tokens + tokens.output_tokens,
            prompt_tokens_details=_PromptDetails(tokens.cache_read_tokens, tokens.cache_write_tokens),
            completion_tokens_details=_CompletionDetails(tokens.reasoning_tokens),
            cache_creation_input_tokens=tokens.cache_write_tokens,
            cache_read_input_tokens=tokens.cache_read_tokens,
        )


class Function(msgspec.Struct, omit_defaults=True, gc=False):
    """A called function; in a stream name comes first and arguments in pieces."""

    arguments: str
    name: str | None = None


class ToolCall(msgspec.Struct, omit_defaults=True, gc=False):
    """A call of a tool; `index` in streams only, where id and name come once."""

    type: str
    function: Function
    index: int | None = None
    id: str | None = None


class ThinkingBlock(msgspec.Struct, omit_defaults=True, gc=False):
    """A block of thinking as callers must send it back; `data` of a redacted one."""

    type: str
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class _UrlCitation(msgspec.Struct, gc=False):
    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(msgspec.Struct, gc=False):
    """A citation of a page of the web, in OpenAI's form: the characters of the content that it stands behind."""

    type: str
    url_citation: _UrlCitation


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
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if cited.url:
            self.annotations.append(Annotation("url_citation", _UrlCitation(start, end, cited.title or "", cited.url)))


_cited_decoder = msgspec.json.Decoder(_Cited)


def arguments_of(tool_input: msgspec.Raw | msgspec.UnsetType) -> str:
    """The input of a call as OpenAI's text of JSON; without any, an empty object."""
    text = "" if tool_input is msgspec.UNSET else bytes(tool_input).decode(errors="replace")
    return "{}" if text in ("", "null") else text


def _count(value: _Count) -> int:
    return int(value) if value is not None and 0 <= value <= MAX_TOKENS else 0
