"""Cohere's Chat, version 1, which LiteLLM reaches as `cohere/v1/MODEL`: everything is translated, both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest
from router.wire.cohere.errors import decode_error
from router.wire.cohere_v1.request import encode
from router.wire.cohere_v1.response import decode
from router.wire.cohere_v1.stream import CohereV1Stream
from services.errors import GatewayError


class CohereV1Wire:
    """`router.wire.base.Wire` for the first version of Cohere's Chat.

    clock: seconds since 1970, for `created` of an answer, which OpenAI's language demands and Cohere does not tell.
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
        return decode_error(status, headers, body, deployment)

    def stream(self, request: HttpRequest, deployment: Deployment) -> CohereV1Stream:
        return CohereV1Stream(deployment, show_usage=request.show_usage, created=int(self._clock()))
