"""Embeddings and rerank held to cases written from the providers' documentation, and to recorded traffic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from gateway.v1 import common_pb2

from router.wire.base import Answer
from tests.reading import EMBEDDINGS, RERANK, asked_of, deployment_at, vectors_in, wire_at
from tests.recordings import Exchange, Recordings

CASES = Path(__file__).parent

# What the gateway calls the providers, by the dialect of a recording; a provider that is not named has no row.
PREFIXES: Mapping[str, Mapping[str, str]] = {
    "openai-embeddings": {
        "azure": "azure",
        "mistral": "mistral",
        "openai": "openai",
        "openrouter": "openrouter",
        "perplexity": "perplexity",
        "vllm": "hosted_vllm",
        "voyage": "voyage",
    },
    "cohere-embed": {"cohere": "cohere"},
    "gemini-embed": {"gemini": "gemini", "vertex": "vertex_ai"},
    "ollama-embed": {"ollama": "ollama"},
    "hf-feature-extraction": {"huggingface": "huggingface"},
    "bedrock-invoke": {"bedrock": "bedrock"},
    "rerank": {"cohere": "cohere", "openrouter": "openrouter"},
}
EMBEDDING_DIALECTS = (
    "openai-embeddings",
    "cohere-embed",
    "gemini-embed",
    "ollama-embed",
    "hf-feature-extraction",
    "bedrock-invoke",
)


def told(body: bytes) -> dict[str, Any]:
    decoded = json.loads(body)
    assert isinstance(decoded, dict)
    return decoded


def cases(folder: str) -> list[Path]:
    found = sorted((CASES / folder).glob("*.json"))
    assert found
    return found


@pytest.mark.parametrize(
    "path", cases("embeddings") + cases("rerank"), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_a_case_from_the_documentation(path: Path) -> None:
    """What the provider is asked, where, and what its answer becomes."""
    case = json.loads(path.read_text())
    operation = EMBEDDINGS if path.parent.name == "embeddings" else RERANK
    deployment = deployment_at(operation, case["litellm_params"])
    wire = wire_at(operation, deployment)
    asked = json.dumps({"model": "g", **case["asked"]}).encode()
    request = wire.encode(asked, deployment)
    assert request.url == case["url"]
    assert told(request.body) == case["sent"]
    answer = wire.decode(asked, case.get("headers", {}), json.dumps(case["answer"]).encode(), deployment)
    assert told(answer.body) == case["told"]
    counted = case.get("usage")
    assert (answer.usage is None) is (counted is None)
    if answer.usage is not None:
        assert [answer.usage.input_tokens, answer.usage.requests] == counted


def spoken_to(exchange: Exchange, operation: common_pb2.Operation) -> tuple[Any, Any, bytes]:
    """The deployment, its wire, and what the caller asks."""
    url = urlsplit(exchange["request"]["url"])
    prefix = PREFIXES[exchange["dialect"]].get(exchange["provider"], "openai_like")
    params = {"model": f"{prefix}/{exchange['model'] or 'model'}", "api_base": f"{url.scheme}://{url.netloc}/v1"}
    deployment = deployment_at(operation, params)
    return deployment, wire_at(operation, deployment), json.dumps({"model": "g", **asked_of(exchange)}).encode()


def assert_error(exchange: Exchange, operation: common_pb2.Operation) -> None:
    deployment, wire, _ = spoken_to(exchange, operation)
    response, expected = exchange["response"], exchange["expect"]["error"]
    headers = {name.lower(): value for name, value in response["headers"].items()}
    error = wire.decode_error(response["status"], headers, json.dumps(response["body"]).encode(), deployment)
    assert error.provider_status == expected["status"], exchange["id"]
    assert error.message.startswith(expected["message"][:100]), exchange["id"]
    assert error.meaning.type in expected["openai_type_any"], exchange["id"]


def answered(exchange: Exchange, operation: common_pb2.Operation, body: bytes | None = None) -> Answer:
    deployment, wire, asked = spoken_to(exchange, operation)
    response = exchange["response"]
    answer = wire.decode(body or asked, response["headers"], json.dumps(response["body"]).encode(), deployment)
    assert isinstance(answer, Answer)
    return answer


def recorded(recordings: Recordings, endpoint: str, *dialects: str) -> list[Exchange]:
    return [each for dialect in dialects for each in recordings.of(dialect, endpoint=endpoint)]


def test_recorded_requests_are_asked_for_in_the_same_words(recordings: Recordings) -> None:
    for operation, endpoint, dialects in (
        (EMBEDDINGS, "embeddings", EMBEDDING_DIALECTS),
        (RERANK, "rerank", ("rerank", "bedrock-invoke")),
    ):
        for exchange in recorded(recordings, endpoint, *dialects):
            deployment, wire, asked = spoken_to(exchange, operation)
            sent = told(wire.encode(asked, deployment).body)
            different = recordings.compare(exchange, sent)
            # Azure's address names the deployment; of Hugging Face's too.
            assert not [each for each in different if each["at"] != "/model"], exchange["id"]


def test_recorded_embeddings_reach_the_caller(recordings: Recordings) -> None:
    for exchange in recorded(recordings, "embeddings", *EMBEDDING_DIALECTS):
        expected = exchange.get("expect", {})
        if "error" in expected:
            assert_error(exchange, EMBEDDINGS)
            continue
        answer = answered(exchange, EMBEDDINGS)
        body = told(answer.body)
        vectors = vectors_in(body)
        inputs = asked_of(exchange)["input"]
        assert len(vectors) == expected.get("embedding_count", 1 if isinstance(inputs, str) else len(inputs))
        if expected.get("encoding") == "base64":
            assert all(isinstance(row["embedding"], str) for row in body["data"]), exchange["id"]
        if "prompt_tokens" in expected:
            assert body["usage"]["prompt_tokens"] == expected["prompt_tokens"], exchange["id"]
            assert answer.usage is not None
            assert answer.usage.input_tokens == expected["prompt_tokens"], exchange["id"]
        if "first_values" in expected:
            assert vectors[0][:4] == expected["first_values"], exchange["id"]
            assert len(vectors[0]) == expected["dims"], exchange["id"]


def test_recorded_vectors_are_the_same_numbers_in_base64(recordings: Recordings) -> None:
    for exchange in recorded(recordings, "embeddings", *EMBEDDING_DIALECTS):
        if "first_values" not in exchange.get("expect", {}):
            continue
        asked = json.dumps({"model": "g", **asked_of(exchange), "encoding_format": "base64"}).encode()
        body = told(answered(exchange, EMBEDDINGS, asked).body)
        assert all(isinstance(row["embedding"], str) for row in body["data"]), exchange["id"]
        assert vectors_in(body)[0][:4] == pytest.approx(exchange["expect"]["first_values"], rel=1e-6), exchange["id"]


def test_recorded_rankings_reach_the_caller(recordings: Recordings) -> None:
    for exchange in recorded(recordings, "rerank", "rerank", "bedrock-invoke"):
        if "error" in exchange["expect"]:
            assert_error(exchange, RERANK)
            continue
        results = told(answered(exchange, RERANK).body)["results"]
        got = [{"index": each["index"], "score": each["relevance_score"]} for each in results]
        assert got == exchange["expect"]["results"], exchange["id"]
