"""Parts of a message as Anthropic's content blocks: texts, pictures and documents."""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

from router.wire.anthropic.members import invalid


class CacheControl(msgspec.Struct, omit_defaults=True):
    """A mark that the prompt is to be cached up to here."""

    type: str
    ttl: str | None = None


class Citations(msgspec.Struct):
    """Whether the answer shall cite a document."""

    enabled: bool


class _ImageUrl(msgspec.Struct):
    url: str


class _File(msgspec.Struct):
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None


class Part(msgspec.Struct):
    """A part of a message as callers write it; `input_*` are the Responses API's words for the same.

    cache_control, citations: extensions, in Anthropic's form.
    """

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _ImageUrl | str | None = None
    file: _File | None = None
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    cache_control: CacheControl | None = None
    citations: Citations | None = None


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
Content = str | list[Part] | None

_DATA_URL = re.compile(r"data:([^;,]*)[^,]*;base64,", re.IGNORECASE)
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
    match part.type:
        case "text" | "input_text" | "output_text":
            return TextBlock(_required(part.text, f"{param}.text"), part.cache_control)
        case "refusal":
            return TextBlock(_required(part.refusal, f"{param}.refusal"), part.cache_control)
        case "image_url" | "input_image":
            given = part.image_url.url if isinstance(part.image_url, _ImageUrl) else part.image_url
            return _medium(_required(given, f"{param}.image_url"), None, part, f"{param}.image_url")
        case "file":
            return _document(part.file or _File(), part, f"{param}.file")
        case "input_file":
            return _document(_File(part.file_data, part.filename, part.file_id, part.file_url), part, param)
    raise invalid(
        f"Invalid {param}.type: parts of the type {part.type!r} cannot be sent to Anthropic.", f"{param}.type"
    )


def _document(file: _File, part: Part, param: str) -> Block:
    if file.file_id is not None:
        raise invalid(f"Invalid {param}.file_id: only the data or the URL of a file can be sent.", f"{param}.file_id")
    if file.file_url is not None:
        return DocumentBlock(_UrlSource(file.file_url), file.filename, part.citations, part.cache_control)
    data = _required(file.file_data, f"{param}.file_data")
    if not data.startswith(("data:", "http://", "https://")):
        # Bare base64: what OpenAI takes for a PDF.
        data = f"data:{_PDF};base64,{data}"
    return _medium(data, file, part, f"{param}.file_data")


def _medium(url: str, file: _File | None, part: Part, param: str) -> Block:
    """A URL or a data URL as what its media type says; a plain URL as what the part says."""
    title = file.filename if file else None
    found = _DATA_URL.match(url)
    if found is None:
        if url.startswith("data:"):
            raise invalid(f"Invalid {param}: a data URL must be in base64.", param)
        source = _UrlSource(url)
        if file is None:
            return ImageBlock(source, part.cache_control)
        return DocumentBlock(source, title, part.citations, part.cache_control)
    media_type, data = found[1].lower(), url[found.end() :]
    if media_type.startswith("image/"):
        # What browsers and callers call it, and Anthropic does not.
        media_type = "image/jpeg" if media_type == "image/jpg" else media_type
        return ImageBlock(_Base64Source(media_type, data), part.cache_control)
    if media_type == _PDF:
        return DocumentBlock(_Base64Source(media_type, data), title, part.citations, part.cache_control)
    if media_type.startswith("text/"):
        return DocumentBlock(_text_source(data, param), title, part.citations, part.cache_control)
    raise invalid(f"Invalid {param}: data of the type {media_type!r} cannot be sent to Anthropic.", param)


def _text_source(data: str, param: str) -> _TextSource:
    try:
        text = base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid(f"Invalid {param}: it is not text in base64.", param) from None
    # The only media type of texts that Anthropic knows.
    return _TextSource("text/plain", text)


def _required(value: str | None, param: str) -> str:
    if value is None:
        raise invalid(f"{param} is missing.", param)
    return value
