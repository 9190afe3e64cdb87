"""How deployments are asked, and what they answer: for each call the wire of its operation and its deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.v1 import common_pb2, router_pb2

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest, StreamDecoder, Wire
from router.wire.whole import WholeWire
from services.errors import GatewayError

# By operation, then by the names that deployments give them.
WholeWires = Mapping[common_pb2.Operation, Mapping[str, WholeWire]]

# Vectors take a millisecond for about so much of them, and come by the hundred: more is read beside the event loop.
MAX_INLINE_BYTES = 256 * 1024

# A mock answers in OpenAI's language, whatever provider it stands for; a rerank in the one nearest to it.
_MOCKED_CHAT = "openai"
_MOCKED = {common_pb2.OPERATION_EMBEDDINGS: "openai", common_pb2.OPERATION_RERANK: "jina"}


class Languages:
    """wires: of chats; whole_wires: of the other operations; both by the names that deployments give them.

    deployment, in all of these: as the operation sees it.
    """

    def __init__(self, wires: Mapping[str, Wire], whole_wires: WholeWires) -> None:
        self._wires = wires
        self._whole_wires = whole_wires

    def encode(self, request: router_pb2.Open, deployment: Deployment, body: bytes, limit: int) -> HttpRequest:
        """The provider's request. limit: of output tokens; 0: none. Raises GatewayError (INVALID_REQUEST)."""
        if request.operation in self._whole_wires:
            return self._whole_wire_of(request, deployment).encode(body, deployment)
        wire = self._wire_of(deployment)
        return wire.encode(body, deployment, stream=request.stream, output_tokens_limit=limit)

    async def decode(
        self, request: router_pb2.Open, deployment: Deployment, asked: bytes, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """A whole answer. asked: the caller's body. Raises GatewayError."""
        if request.operation not in self._whole_wires:
            return self._wire_of(deployment).decode(body, deployment)
        decode = self._whole_wire_of(request, deployment).decode
        if len(body) <= MAX_INLINE_BYTES:
            return decode(asked, headers, body, deployment)
        return await asyncio.to_thread(decode, asked, headers, body, deployment)

    def decode_error(
        self, request: router_pb2.Open, deployment: Deployment, status: int, headers: Mapping[str, str], body: bytes
    ) -> GatewayError:
        """An answer that is not 2xx."""
        is_whole = request.operation in self._whole_wires
        wire = self._whole_wire_of(request, deployment) if is_whole else self._wire_of(deployment)
        return wire.decode_error(status, headers, body, deployment)

    def stream(self, request: router_pb2.Open, asked: HttpRequest, deployment: Deployment) -> StreamDecoder | None:
        """A decoder of the stream that answers `asked`; None when the answer comes whole."""
        if not request.stream or request.operation in self._whole_wires:
            return None
        return self._wire_of(deployment).stream(asked, deployment)

    def _wire_of(self, deployment: Deployment) -> Wire:
        return self._wires[deployment.wire if deployment.mock_response is None else _MOCKED_CHAT]

    def _whole_wire_of(self, request: router_pb2.Open, deployment: Deployment) -> WholeWire:
        wires = self._whole_wires[request.operation]
        return wires[deployment.wire if deployment.mock_response is None else _MOCKED[request.operation]]
