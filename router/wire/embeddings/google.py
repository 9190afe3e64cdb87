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
from router.wire.embeddings.answered import answer_of, inputs_in, read_answer
from router.wire.embeddings.asked import Asked
from router.wire.gemini.errors import decode_error
from router.wire.google import studio_url, vertex_url
from router.wire.members import FLAG, TEXT
from services.errors import GatewayError

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)

_Count = int | float | None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: _Count = None


class _Vector(msgspec.Struct):
    values: msgspec.Raw


class _Batch(msgspec.Struct, rename="camel"):
    embeddings: list[_Vector]
    usage_metadata: _Usage | None = None


class _Single(msgspec.Struct, rename="camel"):
    embedding: _Vector
    usage_metadata: _Usage | None = None


class _Statistics(msgspec.Struct):
    token_count: _Count = None


class _Predicted(msgspec.Struct):
    values: msgspec.Raw
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Predicted


class _Predictions(msgspec.Struct):
    predictions: list[_Prediction]


_batch_decoder = msgspec.json.Decoder(_Batch)
_single_decoder = msgspec.json.Decoder(_Single)
_predictions_decoder = msgspec.json.Decoder(_Predictions)


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
        batch = read_answer(_batch_decoder, body, deployment)
        vectors = [each.values for each in batch.embeddings]
        return answer_of(
            vectors, _tokens(batch.usage_metadata), inputs=inputs_in(asked), asked=asked, deployment=deployment
        )

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

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        found = [each.embeddings for each in read_answer(_predictions_decoder, body, deployment).predictions]
        counts = [each.statistics.token_count for each in found if each.statistics is not None]
        known = [count for count in counts if count is not None]
        tokens = sum(known) if len(known) == len(found) else None
        vectors = [each.values for each in found]
        return answer_of(vectors, tokens, inputs=inputs_in(asked), asked=asked, deployment=deployment)


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

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        single = read_answer(_single_decoder, body, deployment)
        tokens = _tokens(single.usage_metadata)
        return answer_of([single.embedding.values], tokens, inputs=1, asked=asked, deployment=deployment)


def _part(text: str) -> dict[str, object]:
    found = _DATA_URL.match(text)
    if found is None:
        return {"text": text}
    return {"inlineData": {"mimeType": found[1], "data": text[found.end() :]}}


def _tokens(usage: _Usage | None) -> float | None:
    return None if usage is None else usage.prompt_token_count
