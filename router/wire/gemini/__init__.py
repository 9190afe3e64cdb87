"""Gemini's generateContent, of AI Studio and of Vertex AI, for callers who speak Chat Completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest
from router.wire.gemini.errors import decode_error
from router.wire.gemini.request import STUDIO, VERTEX, Host, encode
from router.wire.gemini.response import decode
from router.wire.gemini.stream import ContentStream
from services.errors import GatewayError

__all__ = ["STUDIO", "VERTEX", "GeminiWire"]


class GeminiWire:
    """`router.wire.base.Wire` for generateContent.

    clock: seconds since 1970, for `created` of an answer, which OpenAI's language demands and Gemini does not always
    tell. host: where it is offered.
    """

    def __init__(self, clock: Callable[[], float], host: Host = STUDIO) -> None:
        self._clock = clock
        self._host = host

    def encode(self, body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
        return encode(body, deployment, self._host, stream=stream, output_tokens_limit=output_tokens_limit)

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return decode(body, deployment, created=int(self._clock()))

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return decode_error(status, headers, body, deployment)

    def stream(self, request: HttpRequest, deployment: Deployment) -> ContentStream:
        return ContentStream(deployment, show_usage=request.show_usage, created=int(self._clock()))
