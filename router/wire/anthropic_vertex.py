"""Claude on Vertex AI: Anthropic's Messages, with the model in the address and the version in the body."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from router.catalog import Deployment
from router.wire.anthropic.errors import decode_error
from router.wire.anthropic.request import message_request
from router.wire.anthropic.response import decode
from router.wire.anthropic.stream import MessageStream
from router.wire.base import HttpRequest
from router.wire.google import vertex_url
from router.wire.http import post
from router.wire.translating import TranslatingWire

_VERSION = "vertex-2023-10-16"


class AnthropicVertexWire(TranslatingWire):
    """`router.wire.base.Wire` for Messages as Vertex AI has them; answers are Anthropic's own."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, encode, decode, decode_error, MessageStream)


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    request = message_request(body, deployment, stream=stream, output_tokens_limit=output_tokens_limit)
    members = {name: value for name, value in request.members.items() if name != "model"}
    return post(
        vertex_url(deployment, "streamRawPredict" if stream else "rawPredict", "anthropic"),
        msgspec.json.encode({"anthropic_version": _VERSION, **members}),
        deployment,
        stream=stream,
        show_usage=request.show_usage,
        dropped=request.dropped,
    )
