"""What Cohere's answers hold, whole or in a stream: usage, reasons to stop, citations, log probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from gateway.v1 import common_pb2

from router.wire.chat import Annotation, Count, UrlCitation, count
from services.decoding import NOT_DECODED

FINISH_REASONS = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "USER_CANCEL": "stop",
    "TOOL_CALL": "tool_calls",
    "MAX_TOKENS": "length",
    # The context is full.
    "ERROR_LIMIT": "length",
    "ERROR_TOXIC": "content_filter",
}


class _Units(msgspec.Struct, gc=False):
    input_tokens: Count = None
    output_tokens: Count = None
    reasoning_tokens: Count = None


class Usage(msgspec.Struct, gc=False):
    """Two counts: `tokens` are all that the model read and wrote, Cohere's own instructions and marks among them;
    `billed_units` are those that are paid for. Tokens from its cache are counted, but not paid for otherwise."""

    billed_units: _Units | None = None
    tokens: _Units | None = None
    cached_tokens: Count = None

    def billed(self) -> common_pb2.TokenUsage | None:
        """What is paid for; None when there is no count of the output."""
        billed, tokens = self.billed_units, self.tokens or _Units()
        if billed is None or billed.output_tokens is None:
            return self.counted()
        written = count(billed.output_tokens)
        return common_pb2.TokenUsage(
            input_tokens=count(billed.input_tokens),
            output_tokens=written,
            reasoning_tokens=min(count(tokens.reasoning_tokens), written),
        )

    def counted(self) -> common_pb2.TokenUsage | None:
        """What callers are told; None when there is no count of the output."""
        tokens = self.tokens
        if tokens is None or tokens.output_tokens is None:
            tokens = self.billed_units
        if tokens is None or tokens.output_tokens is None:
            return None
        read, written = count(tokens.input_tokens), count(tokens.output_tokens)
        return common_pb2.TokenUsage(
            input_tokens=read,
            output_tokens=written,
            cache_read_tokens=min(count(self.cached_tokens), read),
            reasoning_tokens=min(count(tokens.reasoning_tokens), written),
        )


class _Source(msgspec.Struct, gc=False):
    """A document, or the result of a tool, of which the caller chose the members."""

    id: str = ""
    document: object = None
    tool_output: object = None


class _Citation(msgspec.Struct, gc=False):
    start: int = 0
    end: int = 0
    type: str = "TEXT_CONTENT"
    content_index: int = 0
    sources: list[_Source] | None = None


class Citations(msgspec.Struct):
    """What an answer cites: all of it in Cohere's form, and what stands in its text in OpenAI's too."""

    raw: list[msgspec.Raw] = []
    annotations: list[Annotation] = []

    def add(self, citation: msgspec.Raw, starts: dict[int, int]) -> None:
        """starts: where in the content each of Cohere's blocks begins. What is no object is passed over."""
        try:
            # Written anew: in a stream a line feed between two members would end the event.
            self.raw.append(msgspec.Raw(msgspec.json.encode(_object_decoder.decode(citation))))
            cited = _citation_decoder.decode(citation)
        except NOT_DECODED:
            return
        if cited.type != "TEXT_CONTENT":
            return
        # Cohere did not always tell the block; there was but one then.
        start = starts.get(cited.content_index, max(starts.values(), default=0))
        for source in cited.sources or ():
            url, title = _url_and_title(source)
            self.annotations.append(
                Annotation("url_citation", UrlCitation(start + cited.start, start + cited.end, title, url))
            )


def _url_and_title(source: _Source) -> tuple[str, str]:
    """Of a source without a URL its id stands for one, as LiteLLM writes it."""
    held = source.document if isinstance(source.document, dict) else source.tool_output
    members = held if isinstance(held, dict) else {}
    url, title = members.get("url"), members.get("title")
    found = url if isinstance(url, str) and url else source.id
    return found if "://" in found else f"source:{found}", title if isinstance(title, str) else ""


class TokenLogprobs(msgspec.Struct, gc=False):
    """A piece of text, and how likely each of its tokens was."""

    text: str | None = None
    logprobs: list[float] | None = None


class _Logprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[object] = []


def logprobs_of(pieces: Sequence[TokenLogprobs]) -> msgspec.Raw | None:
    """In OpenAI's form, where a piece of several tokens counts as one, as likely as all of them; None for none."""
    found = [
        _Logprob(piece.text, sum(piece.logprobs), list(piece.text.encode()))
        for piece in pieces
        if piece.text is not None and piece.logprobs
    ]
    return msgspec.Raw(msgspec.json.encode({"content": found})) if found else None


_object_decoder = msgspec.json.Decoder(dict[str, object])
_citation_decoder = msgspec.json.Decoder(_Citation)
