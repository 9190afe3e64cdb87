"""Hugging Face's feature extraction, by its router and on endpoints of one's own.

What comes back depends on the model: a vector for each input, or one for each token of it. The latter is refused: how
tokens' vectors become one is the model's business, and a guess would be wrong without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest, invalid_response
from router.wire.embeddings.answered import answer_of, inputs_in, read_answer
from router.wire.embeddings.asked import Asked
from router.wire.openai.errors import decode_error
from services.errors import GatewayError

# The host that knows many models, and the task.
_ROUTER = "https://router.huggingface.co"
_TASK = "/pipeline/feature-extraction"
_OWN = ("normalize", "prompt_name", "truncate", "truncation_direction", "parameters", "options")

_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class HuggingFaceEmbeddings:
    """`router.wire.whole.WholeWire` for feature extraction."""

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        asked = Asked(body, deployment, "Hugging Face")
        texts = asked.texts()
        sent = {"inputs": texts[0] if len(texts) == 1 else texts, "dimensions": asked.dimensions()}
        return asked.request(_url(deployment), sent, also=_OWN)

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        vectors = read_answer(_decoder, body, deployment)
        first = vectors[0] if vectors else msgspec.Raw(b"[]")
        if not _is_list(first):
            # A text by itself has its vector by itself.
            vectors = [msgspec.Raw(body.strip())]
        elif any(_is_list(each) for each in read_answer(_decoder, first, deployment)[:1]):
            raise invalid_response(deployment, "it has a vector for each token, not for each input")
        return answer_of(vectors, None, inputs=inputs_in(asked), asked=asked, deployment=deployment)

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return decode_error(status, headers, body, deployment)


def _is_list(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"["


def _url(deployment: Deployment) -> str:
    """`PROVIDER/ORGANISATION/MODEL` names who runs the model; `hf-inference`, Hugging Face itself, by default.

    An address other than the router's is an endpoint that runs one model.
    """
    base = deployment.api_base.rstrip("/").removesuffix("/v1")
    if base != _ROUTER:
        return base
    model, _, runner = deployment.provider_model.partition(":")
    return f"{base}/{runner or 'hf-inference'}/models/{quote(model, safe='/')}{_TASK}"
