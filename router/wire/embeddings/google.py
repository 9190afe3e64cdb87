"""Google's embeddings: AI Studio's batches, Vertex AI's predictions, and Vertex AI's embedContent.

`title` and `task_type` are Google's own words and taken from callers as they are; `input_type`, Cohere's word, is
translated. An input that is a data URL (`data:image/png;base64,...`) is sent as the medium that it is, to the models
that read media.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest
from router.wire.chat import Count
from router.wire.embeddings.answered import answer_of, inputs_in, read_answer
from router.wire.embeddings.asked import Asked
from router.wire.gemini.errors import decode_error
from router.wire.google import studio_url, vertex_url
from router.wire.members import FLAG, TEXT
from services.errors import GatewayError

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: Count = None


class _Vector(msgspec.Struct):
    values: msgspec.Raw


class _Statistics(msgspec.Struct):
    token_count: Count = None


class _Predicted(msgspec.Struct):
    values: msgspec.Raw
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Predicted


class _Embedded(msgspec.Struct, rename="camel"):
    """embeddings: of a batch; embedding: of one content; predictions: Vertex AI's."""

    embeddings: list[_Vector] = []
    embedding: _Vector | None = None
    predictions: list[_Prediction] = []
    usage_metadata: _Usage | None = None


_decoder = msgspec.json.Decoder(_Embedded)


class GeminiEmbeddings:
    """`router.wire.whole.WholeWire` for AI Studio: a batch, also of one."""

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        asked = Asked(body, deployment, "Gemini")
        model = deployment.provider_model.removeprefix("gemini/")
        title = asked.members.take("title", TEXT)
        words = {
            "model": model if model.startswith(("models/", "tunedModels/")) else f"models/{model}",
            "taskType": asked.task_type(),
            "title": title,
            "outputDimensionality": asked.dimensions(),
        }
        each = {name: value for name, value in words.items() if value is not None}
        requests = [{**each, "content": {"parts": [_part(text)]}} for text in asked.texts()]
        return asked.request(studio_url(deployment, "batchEmbedContents"), {"requests": requests})

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        said = read_answer(_decoder, body, deployment)
        predicted = [each.embeddings for each in said.predictions]
        vectors = [
            each.values for each in (*said.embeddings, *([said.embedding] if said.embedding else ()), *predicted)
        ]
        tokens = said.usage_metadata.prompt_token_count if said.usage_metadata else _sum(predicted)
        return answer_of(vectors, tokens, inputs=inputs_in(asked), asked=asked, deployment=deployment)

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return decode_error(status, headers, body, deployment)


class VertexEmbeddings(GeminiEmbeddings):
    """The same for Vertex AI's predictions."""

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        asked = Asked(body, deployment, "Vertex AI")
        title = asked.members.take("title", TEXT)
        words = {"task_type": asked.task_type(), "title": title}
        each = {name: value for name, value in words.items() if value is not None}
        settings = {
            "outputDimensionality": asked.dimensions(),
            "autoTruncate": asked.members.take("auto_truncate", FLAG),
        }
        parameters = {name: value for name, value in settings.items() if value is not None}
        instances = [{"content": text, **each} for text in asked.texts()]
        sent = {"instances": instances, "parameters": parameters or None}
        return asked.request(vertex_url(deployment, "predict"), sent)


class VertexContentEmbeddings(GeminiEmbeddings):
    """The same for the models of Vertex AI that take one content a call."""

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        asked = Asked(body, deployment, "Vertex AI")
        sent = {
            "content": {"parts": [_part(asked.only_text())]},
            "taskType": asked.task_type(),
            "title": asked.members.take("title", TEXT),
            "outputDimensionality": asked.dimensions(),
            "autoTruncate": asked.members.take("auto_truncate", FLAG),
        }
        return asked.request(vertex_url(deployment, "embedContent"), sent)


def _part(text: str) -> dict[str, object]:
    found = _DATA_URL.match(text)
    if found is None:
        return {"text": text}
    return {"inlineData": {"mimeType": found[1], "data": text[found.end() :]}}


def _sum(predicted: list[_Predicted]) -> float | None:
    """The tokens of all predictions; None where one of them tells none."""
    counts = [each.statistics.token_count if each.statistics else None for each in predicted]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None
