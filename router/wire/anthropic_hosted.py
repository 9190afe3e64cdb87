"""Claude at hosts that have Anthropic's Messages in places of their own: Azure AI Foundry, Databricks, Snowflake."""

from __future__ import annotations

from collections.abc import Callable

from router.catalog import Deployment
from router.wire.anthropic import request
from router.wire.anthropic.errors import decode_error
from router.wire.anthropic.response import decode
from router.wire.anthropic.stream import MessageStream
from router.wire.base import HttpRequest
from router.wire.translating import TranslatingWire


class AnthropicHostedWire(TranslatingWire):
    """`router.wire.base.Wire` for Messages where the provider's row says they are; answers are Anthropic's own."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, encode, decode, decode_error, MessageStream)


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    return request.encode(
        body, deployment, stream=stream, output_tokens_limit=output_tokens_limit, url=deployment.chat_url
    )
