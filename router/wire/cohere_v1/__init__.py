"""Cohere's Chat, version 1, which LiteLLM reaches as `cohere/v1/MODEL`: everything is translated, both ways."""

from __future__ import annotations

from collections.abc import Callable

from router.wire.cohere.errors import decode_error
from router.wire.cohere_v1.request import encode
from router.wire.cohere_v1.response import decode
from router.wire.cohere_v1.stream import CohereV1Stream
from router.wire.translating import TranslatingWire


class CohereV1Wire(TranslatingWire):
    """`router.wire.base.Wire` for the first version of Cohere's Chat."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, encode, decode, decode_error, CohereV1Stream)
