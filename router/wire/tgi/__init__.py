"""Text Generation Inference's own language, `/generate`, for servers that do not speak OpenAI's.

It takes a finished prompt, which is written as the model's family reads it (`router.wire.templates`), and no tools.
"""

from __future__ import annotations

from collections.abc import Callable

from router.wire.tgi.errors import decode_error
from router.wire.tgi.request import encode
from router.wire.tgi.response import decode
from router.wire.tgi.stream import GenerateStream
from router.wire.translating import TranslatingWire


class TgiWire(TranslatingWire):
    """`router.wire.base.Wire` for `/generate` and `/generate_stream`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, encode, decode, decode_error, GenerateStream)
