"""Parts of a message as Anthropic's content blocks: texts, pictures and documents."""

from __future__ import annotations

import msgspec

from router.wire.asked import CacheControl, Citations, Content, Medium, Part, medium_of, not_sent, text_of
from router.wire.members import invalid


class _Base64Source(msgspec.Struct, tag="base64"):
    media_type: str
    data: str


class _UrlSource(msgspec.Struct, tag="url"):
    url: str


class _TextSource(msgspec.Struct, tag="text"):
    media_type: str
    data: str


class TextBlock(msgspec.Struct, tag="text", omit_defaults=True):
    text: str
    cache_control: CacheControl | None = None


class ImageBlock(msgspec.Struct, tag="image", omit_defaults=True):
    source: _Base64Source | _UrlSource
    cache_control: CacheControl | None = None


class DocumentBlock(msgspec.Struct, tag="document", omit_defaults=True):
    source: _Base64Source | _UrlSource | _TextSource
    title: str | None = None
    citations: Citations | None = None
    cache_control: CacheControl | None = None


Block = TextBlock | ImageBlock | DocumentBlock

_PDF = "application/pdf"


def blocks_of(content: Content, param: str) -> list[Block]:
    """Content of any kind, but for empty texts, which Anthropic refuses. Raises GatewayError (INVALID_REQUEST)."""
    if isinstance(content, str):
        return [TextBlock(content)] if content else []
    blocks = (_block(part, f"{param}[{at}]") for at, part in enumerate(content or ()))
    return [block for block in blocks if not (isinstance(block, TextBlock) and not block.text)]


def texts_of(content: Content, param: str) -> list[TextBlock]:
    """Content that may hold nothing but text. Raises GatewayError (INVALID_REQUEST)."""
    texts: list[TextBlock] = []
    for block in blocks_of(content, param):
        if not isinstance(block, TextBlock):
            raise invalid(f"Invalid {param}: only text may stand there.", param)
        texts.append(block)
    return texts


def _block(part: Part, param: str) -> Block:
    text = text_of(part, param)
    if text is not None:
        return TextBlock(text, part.cache_control)
    medium = medium_of(part, param, "Anthropic")
    if medium.kind == "audio":
        raise not_sent(part, param, "Anthropic")
    if medium.url:
        source = _UrlSource(medium.url)
        if medium.kind == "image":
            return ImageBlock(source, part.cache_control)
        return DocumentBlock(source, medium.filename, part.citations, part.cache_control)
    if medium.media_type.startswith("image/"):
        return ImageBlock(_Base64Source(medium.media_type, medium.data), part.cache_control)
    return DocumentBlock(_document_source(medium), medium.filename, part.citations, part.cache_control)


def _document_source(medium: Medium) -> _Base64Source | _TextSource:
    if medium.media_type == _PDF:
        return _Base64Source(medium.media_type, medium.data)
    if not medium.media_type.startswith("text/"):
        raise invalid(
            f"Invalid {medium.param}: data of the type {medium.media_type!r} cannot be sent to Anthropic.", medium.param
        )
    try:
        # The only media type of texts that Anthropic knows.
        return _TextSource("text/plain", medium.decoded().decode())
    except UnicodeDecodeError:
        raise invalid(f"Invalid {medium.param}: it is not text in base64.", medium.param) from None
