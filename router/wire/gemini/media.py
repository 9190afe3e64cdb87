"""Pictures and sound that a model answers with."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

from router.wire.chat import Audio, Image, ImageUrl
from router.wire.gemini.answered import GivenBlob


def image_of(blob: GivenBlob, at: int) -> Image | None:
    """A picture, the `at`th of its answer; None when the data is none."""
    if not blob.mime_type.startswith("image/"):
        return None
    return Image(at, ImageUrl(f"data:{blob.mime_type};base64,{blob.data}"))


def audio_of(blob: GivenBlob, answer_id: str) -> Audio | None:
    """Sound: PCM samples, mostly; None when the data is none."""
    return Audio(f"audio_{answer_id}", blob.data) if blob.mime_type.startswith("audio/") else None


def joined(first: Audio, second: Audio) -> Audio:
    """Two pieces of the same sound. Base64 of each has an end of its own; what is no base64 is left out."""
    try:
        data = b64decode(first.data, validate=True) + b64decode(second.data, validate=True)
    except (binascii.Error, ValueError):
        return first
    return Audio(first.id, b64encode(data).decode(), first.expires_at, first.transcript)
