"""Parts of a message as Gemini's: texts, and media of every kind, in place or by their address."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from router.wire.asked import Content, Medium, Part, medium_of, text_of
from router.wire.members import invalid


class Blob(msgspec.Struct, rename="camel"):
    """Data in base64."""

    mime_type: str
    data: str


class FileData(msgspec.Struct, rename="camel", omit_defaults=True):
    """Data at an address: on the web, in Cloud Storage, or among the files that were given to Google."""

    file_uri: str
    mime_type: str | None = None


class FunctionCall(msgspec.Struct):
    """A call; id: for hosts that take one."""

    name: str
    args: dict[str, msgspec.Raw]
    id: str | msgspec.UnsetType = msgspec.UNSET


class FunctionResponse(msgspec.Struct):
    """What came of a call."""

    name: str
    response: dict[str, object]
    id: str | msgspec.UnsetType = msgspec.UNSET


class SentPart(msgspec.Struct, rename="camel", omit_defaults=True):
    """One of Gemini's parts; one of the first five members is set."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    thought_signature: str | None = None


# Google asks for the media type of what it fetches itself, and the address is all that is known here.
_BY_EXTENSION: Mapping[str, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "csv": "text/csv",
    "json": "application/json",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "m4a": "audio/m4a",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mov": "video/quicktime",
    "webm": "video/webm",
}
_SOME_IMAGE = "image/jpeg"
_YOUTUBE_HOSTS = frozenset(("youtube.com", "www.youtube.com", "youtu.be"))
_SOME_VIDEO = "video/mp4"


def parts_of(content: Content, param: str) -> list[SentPart]:
    """Content of any kind, but for empty texts, which Gemini refuses. Raises GatewayError (INVALID_REQUEST)."""
    if isinstance(content, str):
        return [SentPart(text=content)] if content else []
    parts = (_part(part, f"{param}[{at}]") for at, part in enumerate(content or ()))
    return [part for part in parts if part.text != ""]


def texts_of(content: Content, param: str) -> list[SentPart]:
    """Content that may hold nothing but text. Raises GatewayError (INVALID_REQUEST)."""
    parts = parts_of(content, param)
    if any(part.text is None for part in parts):
        raise invalid(f"Invalid {param}: only text may stand there.", param)
    return parts


def _part(part: Part, param: str) -> SentPart:
    text = text_of(part, param)
    if text is not None:
        return SentPart(text=text)
    medium = medium_of(part, param, "Gemini")
    if medium.url:
        return SentPart(file_data=FileData(medium.url, medium.media_type or _media_type_at(medium)))
    return SentPart(inline_data=Blob(medium.media_type or _default_of(medium) or "text/plain", medium.data))


def _media_type_at(medium: Medium) -> str | None:
    """The media type that an address speaks of; None when it does not."""
    try:
        url = urlsplit(medium.url)
    except ValueError:
        return _default_of(medium)
    if url.hostname in _YOUTUBE_HOSTS:
        return _SOME_VIDEO
    return _BY_EXTENSION.get(url.path.rpartition(".")[2].lower()) or _default_of(medium)


def _default_of(medium: Medium) -> str | None:
    return _SOME_IMAGE if medium.kind == "image" else None
