"""Embeddings of the models on Amazon Bedrock, by InvokeModel: Titan's, Nova's and Cohere's, each in its own body.

Titan and Nova take one input a call; several are refused. Tokens stand in the body or in a header.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest
from router.wire.bedrock.address import plain_model_of, url_of
from router.wire.bedrock.errors import decode_error
from router.wire.chat import Count
from router.wire.embeddings import cohere
from router.wire.embeddings.answered import answer_of, inputs_in, read_answer
from router.wire.embeddings.asked import Asked
from router.wire.members import TEXT, invalid
from services.errors import GatewayError

TOKENS_HEADER = "x-amzn-bedrock-input-token-count"
_COHERE = "cohere.embed"
_PICTURE = "data:image/"
# What Nova's vectors are for, where nobody says.
_NOVA_PURPOSE = "GENERIC_INDEX"

_Encode = Callable[[Asked], tuple[dict[str, object], tuple[str, ...]]]


class _Nova(msgspec.Struct):
    embedding: msgspec.Raw


class _Embedded(msgspec.Struct, rename="camel"):
    """embedding, embeddings_by_type: Titan's; embeddings: Nova's."""

    embedding: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    embeddings_by_type: dict[str, msgspec.Raw] = {}
    embeddings: list[_Nova] | None = None
    input_text_token_count: Count = None


_decoder = msgspec.json.Decoder(_Embedded)


class BedrockEmbeddings:
    """`router.wire.whole.WholeWire` for Bedrock."""

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        asked = Asked(body, deployment, "Bedrock")
        sent, also = _encode_of(deployment)(asked)
        return asked.request(url_of(deployment, "invoke"), sent, also=also)

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        inputs = inputs_in(asked)
        if plain_model_of(deployment).startswith(_COHERE):
            vectors = cohere.vectors_in(read_answer(cohere.decoder, body, deployment), deployment)
            return answer_of(vectors, tokens_in(headers), inputs=inputs, asked=asked, deployment=deployment)
        answer = read_answer(_decoder, body, deployment)
        vectors = [each.embedding for each in answer.embeddings or ()]
        if answer.embedding is not msgspec.UNSET:
            vectors = [answer.embedding]
        elif answer.embeddings_by_type:
            # Of several types the first.
            vectors = list(answer.embeddings_by_type.values())[:1]
        tokens = answer.input_text_token_count
        return answer_of(
            vectors,
            tokens_in(headers) if tokens is None else tokens,
            inputs=inputs,
            asked=asked,
            deployment=deployment,
        )

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return decode_error(status, headers, body, deployment)


def tokens_in(headers: Mapping[str, str]) -> float | None:
    """What was read, as Bedrock's header says."""
    count = headers.get(TOKENS_HEADER, "")
    return int(count) if count.isascii() and count.isdigit() and len(count) < 16 else None


def _titan(asked: Asked) -> tuple[dict[str, object], tuple[str, ...]]:
    return {"inputText": asked.only_text(), "dimensions": asked.dimensions()}, ("normalize", "embeddingTypes")


def _titan_1(asked: Asked) -> tuple[dict[str, object], tuple[str, ...]]:
    return {"inputText": asked.only_text()}, ()


def _titan_picture(asked: Asked) -> tuple[dict[str, object], tuple[str, ...]]:
    text = asked.only_text()
    dimensions = asked.dimensions()
    member = {"inputText": text}
    if text.startswith(_PICTURE):
        member = {"inputImage": text.partition(",")[2]}
    config = None if dimensions is None else {"outputEmbeddingLength": dimensions}
    return {**member, "embeddingConfig": config}, ()


def _nova(asked: Asked) -> tuple[dict[str, object], tuple[str, ...]]:
    text = asked.only_text()
    purpose = asked.members.take("embeddingPurpose", TEXT) or asked.members.take("input_type", TEXT)
    params: dict[str, object] = {
        "embeddingPurpose": purpose or _NOVA_PURPOSE,
        "text": {"truncationMode": asked.members.take("truncationMode", TEXT) or "END", "value": text},
    }
    dimensions = asked.dimensions()
    if dimensions is not None:
        params["embeddingDimension"] = dimensions
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params}, ("schemaVersion",)


def _cohere(asked: Asked) -> tuple[dict[str, object], tuple[str, ...]]:
    sent = {**cohere.texts_or_pictures(asked), "output_dimension": asked.dimensions()}
    return sent, cohere.OWN


# By the beginnings of models' names; the first that fits.
_ENCODES: Mapping[str, _Encode] = MappingProxyType(
    {
        "amazon.titan-embed-image": _titan_picture,
        "amazon.titan-embed-text-v1": _titan_1,
        "amazon.titan-embed-g1": _titan_1,
        "amazon.titan-embed": _titan,
        "amazon.nova": _nova,
        _COHERE: _cohere,
    }
)


def _encode_of(deployment: Deployment) -> _Encode:
    model = plain_model_of(deployment)
    for beginning, encode in _ENCODES.items():
        if model.startswith(beginning):
            return encode
    raise invalid(f"Of Bedrock's models, {model} is not known as one that makes embeddings.", "model")
