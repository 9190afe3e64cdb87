"""Cohere's Chat, version 2, for callers who speak Chat Completions: everything is translated, both ways."""

from __future__ import annotations

from collections.abc import Callable

from router.wire.cohere.errors import decode_error
from router.wire.cohere.request import encode
from router.wire.cohere.response import decode
from router.wire.cohere.stream import CohereStream
from router.wire.translating import TranslatingWire


class CohereWire(TranslatingWire):
    """`router.wire.base.Wire` for Cohere's Chat."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, encode, decode, decode_error, CohereStream)
