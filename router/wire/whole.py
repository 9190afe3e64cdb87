"""What a wire of an operation without streams offers: embeddings, rerank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest
from services.errors import GatewayError


class WholeWire(Protocol):
    """One provider language of one operation: a whole body in, a whole body out.

    deployment: as the operation sees it (`router.catalog.Deployment.at`): `chat_url` is the operation's own address.
    """

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        """A caller's body as a request to the deployment. Raises GatewayError (INVALID_REQUEST)."""

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        """A 2xx answer; names of headers are in lower case.

        asked: the caller's body, which says in what form the answer is wanted. Raises GatewayError
        (PROVIDER_INVALID_RESPONSE, or what the provider says).
        """

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        """Any other answer."""
