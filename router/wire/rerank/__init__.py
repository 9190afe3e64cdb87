"""Rerank: documents in the order in which they answer a query. Callers speak Cohere's language, as LiteLLM has it.

Most hosts speak it too, or Jina's, which says the same in nearly the same words; so a call passes through, and what
differs is a shape. Answers are made anew, since no two hosts agree on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest
from router.wire.bedrock import errors as bedrock_errors
from router.wire.bedrock.address import plain_model_of, url_of
from router.wire.http import post
from router.wire.members import FLAG, INTEGER, invalid, read
from router.wire.openai import errors as openai_errors
from router.wire.reading import Raws, adapted, is_given, members_of, request_of
from router.wire.rerank.documents import documents_of, text_of
from router.wire.rerank.response import decode
from services.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Shape:
    """How a host departs from Cohere's first version.

    documents: what it calls them. only_texts: it takes texts, not objects. return_documents: what it calls the wish to
    get them back; empty: it does not know it, and the gateway gives them back.
    """

    documents: str = "documents"
    only_texts: bool = False
    return_documents: str = "return_documents"


# Jina's, and that of Together, vLLM, llama.cpp, Infinity and most others.
JINA = Shape()
# Cohere's second version.
COHERE = Shape(only_texts=True, return_documents="")
VOYAGE = Shape(only_texts=True)
# Hugging Face's Text Embeddings Inference.
TEI = Shape(documents="texts", only_texts=True, return_documents="return_text")


class RerankWire:
    """`router.wire.whole.WholeWire` for hosts of one shape."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        members, given, passed = members_of(body, deployment)
        _shape(members, self._shape, deployment)
        return request_of(members, given, passed, deployment)

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        return decode(asked, body, deployment)

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return openai_errors.decode_error(status, headers, body, deployment)


class BedrockRerank:
    """The same for Bedrock's InvokeModel: Cohere's models and Amazon's."""

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        members, given, passed = members_of(body, deployment)
        _shape(members, COHERE, deployment)
        dropped = adapted(members, given, passed, deployment)
        # The address names the model.
        members.pop("model", None)
        if plain_model_of(deployment).startswith("cohere."):
            members.setdefault("api_version", msgspec.Raw(b"2"))
        url = url_of(deployment, "invoke")
        return post(url, msgspec.json.encode(members), deployment, stream=False, dropped=dropped)

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        return decode(asked, body, deployment)

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return bedrock_errors.decode_error(status, headers, body, deployment)


def _shape(members: Raws, shape: Shape, deployment: Deployment) -> None:
    """Change the members into what a host of this shape takes. Raises GatewayError (INVALID_REQUEST)."""
    for name in ("query", "documents"):
        if not is_given(members.get(name)):
            raise invalid(f"/rerank: Missing required parameter: '{name}'.", name)
    wish = members.pop("return_documents", None)
    if is_given(wish) and wish is not None:
        read(FLAG, wish, "return_documents")
        if shape.return_documents:
            members[shape.return_documents] = wish
    top_n = members.get("top_n")
    if is_given(top_n) and top_n is not None and read(INTEGER, top_n, "top_n") < 1:
        raise invalid("The member 'top_n' must be at least 1.", "top_n")
    written = members.pop("documents")
    documents = documents_of(written)
    if shape.only_texts:
        written = msgspec.Raw(msgspec.json.encode([text_of(each, deployment.provider) for each in documents]))
    members[shape.documents] = written
