"""Parts of a message as Converse's content blocks: texts, pictures, documents, sounds, films, cache marks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from router.wire.asked import CacheControl, Citations, Content, Medium, Part, medium_of, text_of
from router.wire.members import invalid
from services.errors import GatewayError

# A union of Converse's: an object with the one member that says what it is.
Block = dict[str, object]

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_VIDEOS = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
_AUDIOS = {
    "audio/mpeg": "mp3",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/x-flac": "flac",
    "audio/pcm16": "pcm",
    "audio/x-m4a": "m4a",
    **{
        f"audio/{name}": name
        for name in ("mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mka", "x-aac", "m4a", "mpga", "pcm", "webm")
    },
}
_OFFICE = "application/vnd.openxmlformats-officedocument"
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/msword": "doc",
    f"{_OFFICE}.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
# The member of the union, and its formats by media type.
_KINDS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("image", _IMAGES),
    ("video", _VIDEOS),
    ("audio", _AUDIOS),
    ("document", _DOCUMENTS),
)
_FORMATS: Mapping[str, tuple[str, str]] = {
    **{media_type: (kind, name) for kind, formats in _KINDS for media_type, name in formats.items()}
}
# By the ending of a file, where nobody says its media type.
_BY_ENDING: Mapping[str, tuple[str, str]] = {
    **{name: (kind, name) for kind, formats in _KINDS for name in formats.values()},
    "jpg": ("image", "jpeg"),
    "3gp": ("video", "three_gp"),
    "htm": ("document", "html"),
}

# The name of a document may hold no more than this, and no two spaces in a row.
_NOT_IN_A_NAME = re.compile(r"[^0-9A-Za-z\s\-()\[\]]+|\s+")
_MAX_NAME_CHARS = 200


class DocumentNames:
    """Names of the documents of one request: clean, and none twice, as Bedrock demands."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def name(self, filename: str | None) -> str:
        """A name that was not given yet."""
        stem = (filename or "").rpartition("/")[2].rpartition(".")[0] or filename or ""
        clean = _NOT_IN_A_NAME.sub(" ", stem).strip()[: _MAX_NAME_CHARS - 10].strip() or "document"
        name, count = clean, 1
        while name in self._given:
            count += 1
            name = f"{clean} {count}"
        self._given.add(name)
        return name


class _Source(msgspec.Struct, omit_defaults=True, rename="camel"):
    bytes: str | None = None
    s3_location: dict[str, str] | None = None


class _MediumBlock(msgspec.Struct, omit_defaults=True):
    format: str
    source: _Source
    name: str | None = None
    citations: Citations | None = None


def cache_point(mark: CacheControl | None) -> list[Block]:
    """What stands behind the content that is to be cached; nothing without a mark."""
    if mark is None:
        return []
    return [{"cachePoint": {"type": "default", **({"ttl": mark.ttl} if mark.ttl else {})}}]


def blocks_of(content: Content, param: str, names: DocumentNames) -> list[Block]:
    """Content of any kind, but for blank texts, which Bedrock refuses. Raises GatewayError (INVALID_REQUEST)."""
    if isinstance(content, str):
        return [{"text": content}] if content.strip() else []
    return [block for at, part in enumerate(content or ()) for block in _blocks(part, f"{param}[{at}]", names)]


def texts_of(content: Content, param: str) -> list[Block]:
    """Content that may hold nothing but text. Raises GatewayError (INVALID_REQUEST)."""
    blocks = blocks_of(content, param, DocumentNames())
    if any(block.keys() & {kind for kind, _ in _KINDS} for block in blocks):
        raise invalid(f"Invalid {param}: only text may stand there.", param)
    return blocks


def _blocks(part: Part, param: str, names: DocumentNames) -> Iterator[Block]:
    # LiteLLM's word for text that a guardrail shall look at.
    if part.type == "guarded_text":
        yield {"guardContent": {"text": {"text": part.text or ""}}}
    else:
        text = text_of(part, param)
        if text is None:
            yield _medium_block(part, medium_of(part, param, "Bedrock"), names)
        elif text.strip():
            yield {"text": text}
        else:
            return
    yield from cache_point(part.cache_control)


def _medium_block(part: Part, medium: Medium, names: DocumentNames) -> Block:
    kind, name = _format(medium)
    if not medium.url:
        source = _Source(bytes=medium.data)
    elif medium.url.startswith("s3://"):
        source = _Source(s3_location={"uri": medium.url})
    else:
        # Nobody fetches it: a wire opens no socket, and Bedrock reads nothing but S3.
        raise invalid(
            f"Invalid {medium.param}: Bedrock takes data in base64 and addresses in S3 (s3://...), no other URL.",
            medium.param,
        )
    block = _MediumBlock(name, source)
    if kind == "document":
        block.name = names.name(medium.filename)
        block.citations = part.citations
    return {kind: block}


def _format(medium: Medium) -> tuple[str, str]:
    """What it is, and its format."""
    ending = (medium.filename or medium.url).rpartition(".")[2].lower()
    found = _FORMATS.get(medium.media_type) or (_BY_ENDING.get(ending) if ending else None)
    if found is None:
        raise _not_taken(medium)
    return found


def _not_taken(medium: Medium) -> GatewayError:
    return invalid(
        f"Invalid {medium.param}: data of the type {medium.media_type!r} cannot be sent to Bedrock.", medium.param
    )
