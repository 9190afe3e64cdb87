"""Gemini's generateContent, of AI Studio and of Vertex AI, for callers who speak Chat Completions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from router.wire.gemini.errors import decode_error
from router.wire.gemini.request import STUDIO, VERTEX, Host, encode
from router.wire.gemini.response import decode
from router.wire.gemini.stream import ContentStream
from router.wire.translating import TranslatingWire

__all__ = ["STUDIO", "VERTEX", "GeminiWire"]


class GeminiWire(TranslatingWire):
    """`router.wire.base.Wire` for generateContent. host: where it is offered."""

    def __init__(self, clock: Callable[[], float], host: Host = STUDIO) -> None:
        super().__init__(clock, partial(encode, host=host), decode, decode_error, ContentStream)
