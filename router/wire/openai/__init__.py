"""OpenAI's Chat Completions, and everything compatible with it.

Callers speak the same language, so a call passes through: the request keeps every member that the gateway does not
own, byte for byte, and the answer reaches the caller as it came.
"""

from __future__ import annotations

from collections.abc import Mapping

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest
from router.wire.openai.errors import decode_error
from router.wire.openai.request import encode
from router.wire.openai.response import decode
from router.wire.openai.stream import ChatStream
from services.errors import GatewayError


class OpenAIWire:
    """`router.wire.base.Wire` for Chat Completions."""

    def encode(self, body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
        return encode(body, deployment, stream=stream, output_tokens_limit=output_tokens_limit)

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return decode(body, deployment)

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return decode_error(status, headers, body, deployment)

    def stream(self, request: HttpRequest, deployment: Deployment) -> ChatStream:
        return ChatStream(deployment, show_usage=request.show_usage)
