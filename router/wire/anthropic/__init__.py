"""Anthropic's Messages, for callers who speak Chat Completions: everything is translated, both ways."""

from __future__ import annotations

from collections.abc import Callable

from router.wire.anthropic.errors import decode_error
from router.wire.anthropic.request import encode
from router.wire.anthropic.response import decode
from router.wire.anthropic.stream import MessageStream
from router.wire.translating import TranslatingWire


class AnthropicWire(TranslatingWire):
    """`router.wire.base.Wire` for Messages."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, encode, decode, decode_error, MessageStream)
