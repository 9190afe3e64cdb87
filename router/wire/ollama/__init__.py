"""Ollama's own chat, for callers who speak Chat Completions: everything is translated, both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest
from router.wire.ollama.request import encode
from router.wire.ollama.response import decode
from router.wire.ollama.stream import OllamaStream
from router.wire.openai.errors import decode_error
from services.errors import GatewayError


class OllamaWire:
    """`router.wire.base.Wire` for Ollama's chat.

    clock: seconds since 1970, for `created` of an answer: Ollama's own clock may be anyone's.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def encode(self, body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
        return encode(body, deployment, stream=stream, output_tokens_limit=output_tokens_limit)

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return decode(body, deployment, created=int(self._clock()))

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        """`{"error": "..."}`, which OpenAI's wire reads too; the statuses mean the same."""
        return decode_error(status, headers, body, deployment)

    def stream(self, request: HttpRequest, deployment: Deployment) -> OllamaStream:
        return OllamaStream(deployment, show_usage=request.show_usage, created=int(self._clock()))
