"""Embeddings in all languages: what is refused, in what form vectors come back, and that nothing breaks the wires.

Whole requests and answers are in tests/conformance/wire/embeddings.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.base import Answer
from services.errors import GatewayError, Reason
from tests.reading import EMBEDDINGS, deployment_at, vectors_in, wire_at
from tests.strategies import JSON

AWS = {"aws_region_name": "us-east-1", "aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "secret-of-aws"}
# One for every language, and for every body of Bedrock's.
TARGETS: dict[str, dict[str, Any]] = {
    "openai": {"model": "openai/e"},
    "voyage": {"model": "voyage/e"},
    "jina": {"model": "jina_ai/e"},
    "gemini": {"model": "gemini/e"},
    "vertex": {"model": "vertex_ai/e", "vertex_project": "p"},
    "vertex-content": {"model": "vertex_ai/gemini-embedding-2", "vertex_project": "p"},
    "cohere": {"model": "cohere/e"},
    "titan": {"model": "bedrock/amazon.titan-embed-text-v2:0", **AWS},
    "titan-1": {"model": "bedrock/amazon.titan-embed-text-v1", **AWS},
    "titan-picture": {"model": "bedrock/amazon.titan-embed-image-v1", **AWS},
    "nova": {"model": "bedrock/amazon.nova-2-multimodal-embeddings-v1:0", **AWS},
    "bedrock-cohere": {"model": "bedrock/cohere.embed-english-v3", **AWS},
    "ollama": {"model": "ollama/e"},
    "huggingface": {"model": "huggingface/o/e"},
}
TRANSLATED = sorted(TARGETS.keys() - {"openai", "voyage", "jina"})
ONE_A_CALL = ("vertex-content", "titan", "titan-1", "titan-picture", "nova")

MEMBERS = (
    "input", "dimensions", "encoding_format", "input_type", "task_type", "title", "user", "truncate", "extra_body",
    "drop_params", "additional_drop_params", "embedding_types", "normalize", "options", "embedding",
    "embeddings", "data", "usage", "predictions", "values", "usageMetadata", "meta", "error", "inputTextTokenCount",
)  # fmt: skip
objects = st.dictionaries(st.sampled_from(MEMBERS) | st.text(max_size=6), JSON, max_size=6)


def encoded(target: str, asked: dict[str, Any], **params: Any) -> dict[str, Any]:
    deployment = deployment_at(EMBEDDINGS, {**TARGETS[target], **params})
    body = json.dumps({"model": "g", **asked}).encode()
    sent = json.loads(wire_at(EMBEDDINGS, deployment).encode(body, deployment).body)
    assert isinstance(sent, dict)
    return sent


def refused(target: str, asked: dict[str, Any], **params: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        encoded(target, asked, **params)
    assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST
    return caught.value


def decoded(target: str, answer: Any, **asked: Any) -> Answer:
    deployment = deployment_at(EMBEDDINGS, TARGETS[target])
    body = json.dumps({"model": "g", "input": "a", **asked}).encode()
    said = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return wire_at(EMBEDDINGS, deployment).decode(body, {}, said, deployment)


def unreadable(target: str, answer: Any, **asked: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        decoded(target, answer, **asked)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
    return caught.value


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_without_an_input_nothing_is_asked(target: str) -> None:
    assert refused(target, {}).param == "input"
    assert refused(target, {"input": None}).param == "input"


@pytest.mark.parametrize("target", TRANSLATED)
def test_token_numbers_are_openais_own(target: str) -> None:
    for tokens in ([1, 2], [[1], [2]]):
        assert "not token numbers" in refused(target, {"input": tokens}).message


@pytest.mark.parametrize("target", ONE_A_CALL)
def test_a_model_that_takes_one_input_a_call_is_given_one(target: str) -> None:
    assert encoded(target, {"input": ["a"]})
    error = refused(target, {"input": ["a", "b"]})
    assert error.param == "input"
    assert "takes one input a call; 2 were given" in error.message


@pytest.mark.parametrize("target", TRANSLATED)
def test_what_a_provider_does_not_know_is_refused_or_dropped(target: str) -> None:
    assert refused(target, {"input": "a", "made_up": 1}).param == "made_up"
    assert "made_up" not in encoded(target, {"input": "a", "made_up": 1, "drop_params": True})
    assert encoded(target, {"input": "a", "extra_body": {"made_up": 1}})["made_up"] == 1
    assert encoded(target, {"input": "a", "user": "u", "metadata": {"a": 1}})


def test_dropped_members_are_named() -> None:
    deployment = deployment_at(EMBEDDINGS, {**TARGETS["cohere"], "drop_params": True})
    request = wire_at(EMBEDDINGS, deployment).encode(b'{"input":"a","made_up":1}', deployment)
    assert request.dropped == ("made_up",)


@pytest.mark.parametrize("target", TRANSLATED)
def test_senseless_values_are_the_callers_mistake(target: str) -> None:
    assert refused(target, {"input": "a", "dimensions": "many"}).param == "dimensions"
    assert refused(target, {"input": "a", "encoding_format": "morse"}).param == "encoding_format"
    assert refused(target, {"input": ["a"] * 2049}).param == "input"


def test_dimensions_below_one_are_refused() -> None:
    assert refused("cohere", {"input": "a", "dimensions": 0}).param == "dimensions"


def test_titans_first_model_has_one_size() -> None:
    assert refused("titan-1", {"input": "a", "dimensions": 256}).param == "dimensions"


def test_a_model_of_bedrock_that_makes_no_embeddings_is_refused() -> None:
    error = refused("titan", {"input": "a"}, model="bedrock/anthropic.claude-3-haiku")
    assert "not known as one that makes embeddings" in error.message


def test_a_compatible_host_gets_every_member_as_it_came() -> None:
    asked = {"input": [[1, 2]], "new_member": {"a": 1}, "user": "u"}
    assert encoded("openai", asked) == {"model": "e", **asked}


def test_defaults_and_the_deployments_own_words_are_added() -> None:
    sent = encoded("openai", {"input": "a"}, dimensions=8, extra_body={"own": 1, "input": "not this"})
    assert sent == {"model": "e", "input": "a", "dimensions": 8, "own": 1}
    assert encoded("openai", {"input": "a", "dimensions": 4}, dimensions=8)["dimensions"] == 4
    assert encoded("gemini", {"input": "a"}, dimensions=8)["requests"][0]["outputDimensionality"] == 8


def test_no_extra_body_of_a_caller_changes_what_was_reckoned_with() -> None:
    sent = encoded("openai", {"input": "a", "extra_body": {"input": "longer", "model": "dearer", "new": 1}})
    assert sent == {"model": "e", "input": "a", "new": 1}


class TestForm:
    """Every caller gets the form that it asks for, whatever the host knows."""

    ROW: ClassVar[dict[str, Any]] = {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}

    def answer(self, **usage: int) -> dict[str, Any]:
        return {"object": "list", "data": [self.ROW], "model": "m", "usage": usage}

    def test_an_answer_that_is_as_it_was_asked_for_passes_untouched(self) -> None:
        said = b'{ "data": [{"embedding": [1e0,2]}], "usage":{"prompt_tokens":1,"total_tokens":1}, "own": 1 }'
        assert decoded("openai", said).body == said

    def test_floats_become_base64_where_that_was_asked_for(self) -> None:
        body = json.loads(
            decoded("openai", self.answer(prompt_tokens=1, total_tokens=1), encoding_format="base64").body
        )
        assert body["data"] == [{**self.ROW, "embedding": "AAAAPwAAgL4="}]
        assert vectors_in(body) == [[0.5, -0.25]]

    def test_a_text_stays_what_it_is(self) -> None:
        said = {**self.answer(prompt_tokens=1, total_tokens=1), "data": [{**self.ROW, "embedding": "AAAAPw=="}]}
        assert json.loads(decoded("openai", said, encoding_format="base64").body) == said

    def test_a_host_that_does_not_know_the_form_is_not_asked(self) -> None:
        assert "encoding_format" not in encoded("voyage", {"input": "a", "encoding_format": "float"})
        assert encoded("voyage", {"input": "a", "encoding_format": "base64"})["encoding_format"] == "base64"
        assert encoded("jina", {"input": "a", "encoding_format": "base64"})["embedding_type"] == "base64"

    def test_a_configured_form_holds_for_callers_who_say_nothing(self) -> None:
        deployment = deployment_at(EMBEDDINGS, {**TARGETS["ollama"], "encoding_format": "base64"})
        said = json.dumps({"embeddings": [[0.5]]}).encode()
        answer = wire_at(EMBEDDINGS, deployment).decode(b'{"input":"a"}', {}, said, deployment)
        assert json.loads(answer.body)["data"][0]["embedding"] == "AAAAPw=="

    def test_tokens_stand_in_openais_places(self) -> None:
        answer = decoded("openai", self.answer(total_tokens=7))
        assert json.loads(answer.body)["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
        assert answer.usage is not None
        assert answer.usage.input_tokens == 7

    def test_where_nobody_counts_tokens_they_are_told_as_none_and_estimated(self) -> None:
        answer = decoded("ollama", {"embeddings": [[0.5]]})
        assert answer.usage is None
        assert json.loads(answer.body)["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize("count", [-1, 1e300])
def test_a_count_that_cannot_be_meant_is_none(count: float) -> None:
    assert decoded("ollama", {"embeddings": [[0.5]], "prompt_eval_count": count}).usage is None
    said = {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": count, "total_tokens": count}}
    assert decoded("openai", said).usage is None


def test_every_input_has_its_vector_or_it_is_no_answer() -> None:
    assert (
        "1 vectors for 2 inputs" in unreadable("cohere", {"embeddings": {"float": [[0.5]]}}, input=["a", "b"]).message
    )
    unreadable("ollama", {"embeddings": []})
    unreadable("openai", {"data": []})
    unreadable("cohere", {"embeddings": {}})
    unreadable("gemini", {"embeddings": [{"values": 5}]})
    unreadable("ollama", {"embeddings": [["a"]]}, encoding_format="base64")
    unreadable("ollama", {"embeddings": [[1e300]]}, encoding_format="base64")


def test_vectors_of_another_type_are_given_as_they_are() -> None:
    answer = decoded("cohere", {"embeddings": {"int8": [[1, -2]]}}, embedding_types=["int8"])
    assert json.loads(answer.body)["data"][0]["embedding"] == [1, -2]


def test_tokens_vectors_are_not_an_inputs() -> None:
    error = unreadable("huggingface", [[[0.5], [0.25]]], input=["a"])
    assert "a vector for each token" in error.message


def test_an_error_with_status_200_is_an_error() -> None:
    with pytest.raises(GatewayError) as caught:
        decoded("openai", {"error": {"message": "No such model.", "code": "model_not_found"}})
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_NOT_FOUND


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_failures_keep_their_meaning_and_no_secret(target: str) -> None:
    deployment = deployment_at(EMBEDDINGS, {**TARGETS[target], "api_key": "sk-secret-of-ours"})
    wire = wire_at(EMBEDDINGS, deployment)
    said = (
        b'{"error":{"message":"Too many calls with sk-secret-of-ours."},"message":"Too many with sk-secret-of-ours."}'
    )
    error = wire.decode_error(429, {"retry-after": "3"}, said, deployment)
    assert (error.reason, error.retry_after_seconds) == (Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, 3.0)
    assert "secret-of-ours" not in error.message
    assert wire.decode_error(401, {}, b"{}", deployment).reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert wire.decode_error(503, {}, b"<html>", deployment).reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@pytest.mark.parametrize("target", sorted(TARGETS))
@given(asked=objects, said=objects | JSON)
def test_nothing_breaks_a_wire(target: str, asked: dict[str, Any], said: Any) -> None:
    deployment = deployment_at(EMBEDDINGS, TARGETS[target])
    wire = wire_at(EMBEDDINGS, deployment)
    body = json.dumps({"model": "g", **asked}).encode()
    try:
        wire.encode(body, deployment)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST  # either is right
        body = b'{"input":["a"]}'
    try:
        assert wire.decode(body, {}, json.dumps(said).encode(), deployment).body
    except GatewayError as error:
        assert error.provider == deployment.provider


@pytest.mark.parametrize("target", sorted(TARGETS))
@given(data=st.binary(max_size=40))
def test_no_bytes_break_a_wire(target: str, data: bytes) -> None:
    deployment = deployment_at(EMBEDDINGS, TARGETS[target])
    wire = wire_at(EMBEDDINGS, deployment)
    # A few bytes can be a call, or an answer; most are neither.
    with contextlib.suppress(GatewayError):
        assert wire.encode(data, deployment).body
    with contextlib.suppress(GatewayError):
        assert wire.decode(b'{"input":["a","b"]}', {"x-amzn-bedrock-input-token-count": "many"}, data, deployment).body
    assert wire.decode_error(500, {}, data, deployment).provider_status == 500
