"""Ollama's own embeddings, which answer many inputs at once. `options`, `truncate` and `keep_alive` are its words."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest
from router.wire.chat import Count
from router.wire.embeddings.answered import answer_of, inputs_in, read_answer
from router.wire.embeddings.asked import Asked
from router.wire.openai.errors import decode_error
from services.errors import GatewayError

_OWN = ("truncate", "options", "keep_alive")


class _Embedded(msgspec.Struct):
    embeddings: list[msgspec.Raw]
    prompt_eval_count: Count = None


_decoder = msgspec.json.Decoder(_Embedded)


class OllamaEmbeddings:
    """`router.wire.whole.WholeWire` for Ollama."""

    def encode(self, body: bytes, deployment: Deployment) -> HttpRequest:
        asked = Asked(body, deployment, "Ollama")
        texts = asked.texts()
        sent = {
            "model": deployment.provider_model,
            "input": texts[0] if len(texts) == 1 else texts,
            "dimensions": asked.dimensions(),
        }
        return asked.request(_url(deployment.api_base), sent, also=_OWN)

    def decode(self, asked: bytes, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> Answer:
        answer = read_answer(_decoder, body, deployment)
        return answer_of(
            answer.embeddings, answer.prompt_eval_count, inputs=inputs_in(asked), asked=asked, deployment=deployment
        )

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return decode_error(status, headers, body, deployment)


def _url(api_base: str) -> str:
    base = api_base.rstrip("/").removesuffix("/api/embed").removesuffix("/api").removesuffix("/v1")
    return f"{base}/api/embed"
