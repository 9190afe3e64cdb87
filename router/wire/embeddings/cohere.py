"""Cohere's Embed, version 2.

`input_type`, which Cohere demands, is `search_document` where the caller says nothing, as in LiteLLM. Cohere's own
words are taken as they are: `truncate`, `embedding_types`, `max_tokens`, `images`, `inputs`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest, invalid_response
from router.wire.chat import Count
from router.wire.cohere.address import url_of
from router.wire.cohere.errors import decode_error
from router.wire.embeddings.answered import answer_of, inputs_in, read_answer
from router.wire.embeddings.asked import Asked
from router.wire.members import TEXT
from services.errors import GatewayError

DEFAULT_PURPOSE = "search_document"
# Cohere's own words.
OWN = ("truncate", "embedding_types", "max_tokens", "priority")
# Pictures come as data URLs, and have a member of their own.
_PICTURE = "data:image/"

# The types of vectors, the plainest first.
_TYPES = ("float", "int8", "uint8", "binary", "ubinary", "base64")


class _Billed(msgspec.Struct):
    input_tokens: Count = None
    images: Count = None
    image_tokens: Count = None


class _Meta(msgspec.Struct):
    billed_units: _Billed | None = None


class Embedded(msgspec.Struct):
    """embeddings: by their type; a bare list is of floats."""

    embeddings: dict[str, list[msgspec.Raw] | None] | list[msgspec.Raw]
    meta: _Meta | None = None


decoder = msgspec.json.Decoder(Embedded)


class CohereEmbeddings:
    """`router.wire.whole.WholeWire` for Cohere."""

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        asked = Asked(body, deployment, "Cohere")
        sent = {"model": deployment.provider_model, **texts_or_pictures(asked), "output_dimension": asked.dimensions()}
        return asked.request(url_of(deployment.api_base, "v2", "embed"), sent, also=OWN)

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        answer = read_answer(decoder, body, deployment)
        billed = (answer.meta.billed_units if answer.meta else None) or _Billed()
        counts = [count for count in (billed.input_tokens, billed.image_tokens) if count is not None]
        return answer_of(
            vectors_in(answer, deployment),
            sum(counts) if counts else None,
            inputs=inputs_in(asked),
            asked=asked,
            deployment=deployment,
        )

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return decode_error(status, headers, body, deployment)


def texts_or_pictures(asked: Asked) -> dict[str, object]:
    """The inputs in their member, and what they are for. Pictures and texts do not go together in a call."""
    texts = asked.texts()
    purpose = asked.members.take("input_type", TEXT)
    if all(text.startswith(_PICTURE) for text in texts):
        return {"images": texts, "input_type": purpose or "image"}
    return {"texts": texts, "input_type": purpose or DEFAULT_PURPOSE}


def vectors_in(answer: Embedded, deployment: Deployment) -> list[msgspec.Raw]:
    """The vectors of the plainest type that is there."""
    if isinstance(answer.embeddings, list):
        return answer.embeddings
    for name in _TYPES:
        vectors = answer.embeddings.get(name)
        if vectors:
            return vectors
    raise invalid_response(deployment, "it has no embeddings")
