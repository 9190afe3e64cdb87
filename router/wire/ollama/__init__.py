"""Ollama's own chat, for callers who speak Chat Completions: everything is translated, both ways."""

from __future__ import annotations

from collections.abc import Callable

from router.wire.ollama.request import encode
from router.wire.ollama.response import decode
from router.wire.ollama.stream import OllamaStream
from router.wire.openai.errors import decode_error
from router.wire.translating import TranslatingWire


class OllamaWire(TranslatingWire):
    """`router.wire.base.Wire` for Ollama's chat."""

    def __init__(self, clock: Callable[[], float]) -> None:
        # Its errors, `{"error": "..."}`, are among those that OpenAI's wire reads; the statuses mean the same.
        super().__init__(clock, encode, decode, decode_error, OllamaStream)
