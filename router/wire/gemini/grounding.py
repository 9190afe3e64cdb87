"""What an answer is grounded on, as OpenAI's annotations: pages, and the characters that they stand behind.

Gemini measures in bytes of UTF-8, OpenAI in characters.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from router.wire.chat import Annotation, Extra, UrlCitation
from router.wire.gemini.answered import GivenCandidate, GivenSource
from services.decoding import NOT_DECODED


class _Page(msgspec.Struct, gc=False):
    uri: str = ""
    title: str = ""


class _GroundingChunk(msgspec.Struct, rename="camel", gc=False):
    web: _Page | None = None
    retrieved_context: _Page | None = None
    maps: _Page | None = None

    def page(self) -> _Page | None:
        return self.web or self.retrieved_context or self.maps


class _Segment(msgspec.Struct, rename="camel", gc=False):
    part_index: int = 0
    start_index: int = 0
    end_index: int = 0


class _Support(msgspec.Struct, rename="camel", gc=False):
    segment: _Segment | None = None
    grounding_chunk_indices: list[int] = []


class _Grounding(msgspec.Struct, rename="camel", gc=False):
    grounding_chunks: list[_GroundingChunk] = []
    grounding_supports: list[_Support] = []


_decoder = msgspec.json.Decoder(_Grounding)
_any_decoder = msgspec.json.Decoder()


class Grounds:
    """The pages that one candidate has named so far: later pieces of a stream refer to earlier ones."""

    def __init__(self) -> None:
        self._chunks: list[_GroundingChunk] = []

    def annotations(
        self, candidate: GivenCandidate, texts: Sequence[str], *, in_pieces: bool = False
    ) -> list[Annotation]:
        """What a candidate's metadata says of its texts.

        texts: one for each part of the content, none of them left out; or, in_pieces, of what is one part in truth.
        """
        sources, supports = _sources_of(candidate), self._supports_of(candidate)
        if not sources and not supports:
            return []
        characters = _Characters("".join(texts))
        found = [_cited(each, characters) for each in sources if each.uri]
        for support in supports:
            segment = support.segment or _Segment()
            before = 0 if in_pieces else sum(len(each.encode()) for each in texts[: max(0, segment.part_index)])
            start, end = characters.at(before + segment.start_index), characters.at(before + segment.end_index)
            pages = [self._chunks[at].page() for at in support.grounding_chunk_indices if 0 <= at < len(self._chunks)]
            found += [_annotation(start, end, page.title, page.uri) for page in pages if page is not None and page.uri]
        return found

    def _supports_of(self, candidate: GivenCandidate) -> list[_Support]:
        if candidate.grounding_metadata is msgspec.UNSET:
            return []
        try:
            grounding = _decoder.decode(candidate.grounding_metadata)
        except NOT_DECODED:
            return []
        self._chunks += grounding.grounding_chunks
        return grounding.grounding_supports


def metadata_of(candidate: GivenCandidate) -> Extra:
    """The metadata as it is, for callers who show more of it than pages: Google's terms may demand it."""
    given = {
        "grounding_metadata": candidate.grounding_metadata,
        "url_context_metadata": candidate.url_context_metadata,
    }
    found: Extra = {}
    for name, raw in given.items():
        try:
            value = _any_decoder.decode(raw) if raw is not msgspec.UNSET else None
        except NOT_DECODED:
            continue
        # Pieces of a stream carry it empty.
        if value:
            found[name] = value
    return found


class _Characters:
    """Places in a text, from bytes to characters."""

    def __init__(self, text: str) -> None:
        self._length = len(text)
        # Of a text in ASCII both are the same.
        self._starts = None if text.isascii() else _starts_of(text)

    def at(self, byte: int) -> int:
        place = byte if self._starts is None else bisect_left(self._starts, byte)
        return min(max(0, place), self._length)


def _starts_of(text: str) -> list[int]:
    """Where in its UTF-8 each character begins."""
    starts, at = [], 0
    for character in text:
        starts.append(at)
        at += len(character.encode())
    return starts


def _sources_of(candidate: GivenCandidate) -> list[GivenSource]:
    given = candidate.citation_metadata
    return [*given.citations, *given.citation_sources] if given is not None else []


def _cited(source: GivenSource, characters: _Characters) -> Annotation:
    return _annotation(characters.at(source.start_index), characters.at(source.end_index), source.title, source.uri)


def _annotation(start: int, end: int, title: str, url: str) -> Annotation:
    return Annotation("url_citation", UrlCitation(start, end, title, url))
