"""What the wires of all languages that are translated both ways have in common: four functions, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest, StreamDecoder
from services.errors import GatewayError


class Encode(Protocol):
    """`router.wire.base.Wire.encode`."""

    def __call__(self, body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
        """A caller's body as a request. Raises GatewayError (INVALID_REQUEST)."""


class Decode(Protocol):
    """`router.wire.base.Wire.decode`, at a time."""

    def __call__(self, body: bytes, deployment: Deployment, *, created: int) -> Answer:
        """The body of a 2xx answer."""


class OpenStream(Protocol):
    """A decoder of one stream."""

    def __call__(self, deployment: Deployment, *, show_usage: bool, created: int) -> StreamDecoder:
        """created: now, in seconds since 1970."""


class TranslatingWire:
    """`router.wire.base.Wire` of a language that is not the callers' own.

    clock: seconds since 1970, for `created` of an answer, which OpenAI's language demands and few others tell.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        encode: Encode,
        decode: Decode,
        decode_error: Callable[[int, Mapping[str, str], bytes, Deployment], GatewayError],
        stream: OpenStream,
    ) -> None:
        self._clock = clock
        self._encode = encode
        self._decode = decode
        self._decode_error = decode_error
        self._stream = stream

    def encode(self, body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
        return self._encode(body, deployment, stream=stream, output_tokens_limit=output_tokens_limit)

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return self._decode(body, deployment, created=int(self._clock()))

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return self._decode_error(status, headers, body, deployment)

    def stream(self, request: HttpRequest, deployment: Deployment) -> StreamDecoder:
        return self._stream(deployment, show_usage=request.show_usage, created=int(self._clock()))
