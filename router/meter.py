"""Counts what a stream generates, in the caller's Chat Completions events, and ends it in the middle. Pure.

A stream's own usage comes at its end, so until then tokens are reckoned from what is seen: a token for every piece of
text, or for every BYTES_PER_TOKEN bytes of it, whichever comes to more. Most providers send a token a piece; those that
send more at once write texts of more bytes a token than that, in any language that is common.
"""

from __future__ import annotations

import re

import msgspec
from gateway.v1 import common_pb2

from services.decoding import NOT_DECODED

# Texts have some 4 bytes a token in English, and some 3 in code and in Chinese: reckoned low, so that none are missed.
BYTES_PER_TOKEN = 3

DONE = b"data: [DONE]\n\n"

# Strings that a model generates. Possessive, so that no input makes it slow.
_GENERATED = re.compile(
    rb'"(?:content|refusal|reasoning_content|reasoning|arguments|text)"\s*:\s*"((?:[^"\\]++|\\.)*+)"', re.DOTALL
)
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"').search
_DATA = b"data: "
# What every chunk of a stream repeats.
_FRAME = frozenset(("id", "object", "created", "model"))

_encode = msgspec.json.encode


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


_chunk_decoder = msgspec.json.Decoder(_Chunk)
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Meter:
    """Of one stream; `choices` answers are asked for."""

    def __init__(self, choices: int) -> None:
        self._choices = choices
        self._pieces = 0
        self._bytes = 0
        self._ended: set[int] = set()
        self._last = b""

    @property
    def tokens(self) -> int:
        """What has been generated so far, of all choices together."""
        return max(self._pieces, -(-self._bytes // BYTES_PER_TOKEN))

    def fit(self, events: bytes, most_tokens: int) -> bytes:
        """The first of these whole events, as far as no more than so many tokens come of it; they are counted."""
        before = self._pieces, self._bytes
        self._count(events)
        if self.tokens > most_tokens:
            self._pieces, self._bytes = before
            events = self._first_of(events, most_tokens)
        if events:
            self._last = events
            if _FINISH(events) is not None:
                self._note_ends(events)
        return events

    def ending(self) -> bytes:
        """Events that end every choice which has not ended, for its length."""
        frame = self._frame()
        open_choices = (index for index in range(self._choices) if index not in self._ended)
        return b"".join(
            _event(frame, [{"index": index, "delta": {}, "finish_reason": "length"}], None) for index in open_choices
        )

    def last(self, usage: common_pb2.TokenUsage | None) -> bytes:
        """The terminator; before it the usage event, for a caller who asked."""
        if usage is None:
            return DONE
        told = {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
        return _event(self._frame(), [], told) + DONE

    def _count(self, events: bytes) -> None:
        for piece in _GENERATED.findall(events):
            if piece:
                self._pieces += 1
                self._bytes += len(piece)

    def _first_of(self, events: bytes, most_tokens: int) -> bytes:
        size = 0
        while (end := events.find(b"\n\n", size)) >= 0:
            before = self._pieces, self._bytes
            self._count(events[size : end + 2])
            if self.tokens > most_tokens:
                self._pieces, self._bytes = before
                break
            size = end + 2
        return events[:size]

    def _note_ends(self, events: bytes) -> None:
        for event in events.split(b"\n\n"):
            if _FINISH(event) is None:
                continue
            try:
                chunk = _chunk_decoder.decode(event.removeprefix(_DATA))
            except NOT_DECODED:
                continue
            self._ended.update(choice.index for choice in chunk.choices or () if choice.finish_reason)

    def _frame(self) -> dict[str, msgspec.Raw]:
        """What every chunk of this stream begins with, from the last that was seen."""
        begins = self._last.rfind(_DATA + b"{")
        said = self._last[begins + len(_DATA) :].split(b"\n", 1)[0]
        try:
            members = _members_decoder.decode(said) if begins >= 0 else {}
        except NOT_DECODED:
            members = {}
        frame = {name: value for name, value in members.items() if name in _FRAME}
        frame.setdefault("object", msgspec.Raw(b'"chat.completion.chunk"'))
        return frame


def _event(frame: dict[str, msgspec.Raw], choices: list[dict[str, object]], usage: dict[str, int] | None) -> bytes:
    chunk: dict[str, object] = {**frame, "choices": choices}
    if usage is not None:
        chunk["usage"] = usage
    return _DATA + _encode(chunk) + b"\n\n"
