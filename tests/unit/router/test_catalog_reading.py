"""Deployments that embed or rerank: which they are, where they are asked, at what price."""

from __future__ import annotations

import pytest
from gateway.v1 import common_pb2

from router.catalog import Catalog
from services.money import Rates
from tests.unit.router.test_catalog import deployment_of, error_of, left_out_of


@pytest.mark.parametrize(
    ("params", "info", "operation"),
    [
        ("model: openai/gpt-4o", "{}", common_pb2.OPERATION_CHAT_COMPLETIONS),
        ("model: openai/x", "{mode: embedding}", common_pb2.OPERATION_EMBEDDINGS),
        ("model: openai/text-embedding-3-small", "{}", common_pb2.OPERATION_EMBEDDINGS),
        ("model: openai/text-embedding-3-small", "{mode: chat}", common_pb2.OPERATION_CHAT_COMPLETIONS),
        ("model: azure/deployed, api_base: 'http://a'", "{base_model: text-embedding-3-small}", 2),
        ("model: cohere/rerank-v3.5", "{}", common_pb2.OPERATION_RERANK),
        ("model: cohere/x", "{mode: rerank}", common_pb2.OPERATION_RERANK),
        ("model: voyage/voyage-3", "{}", common_pb2.OPERATION_EMBEDDINGS),
        # Whose provider offers nothing of the kind, that is a name like any other.
        ("model: anthropic/embedded", "{}", common_pb2.OPERATION_CHAT_COMPLETIONS),
    ],
)
def test_the_mode_says_what_it_is_for_else_its_name(params: str, info: str, operation: int) -> None:
    priced = "input_cost_per_token: 0, output_cost_per_token: 0"
    deployment = deployment_of(f"{params}, {priced}", info)
    assert deployment.operation == operation
    row = Catalog({"g": (deployment,)}).to_proto().models[0]
    assert row.operation == operation


def test_a_deployment_can_be_asked_for_all_that_its_provider_offers() -> None:
    deployment = deployment_of("model: cohere/x, input_cost_per_token: 0, output_cost_per_token: 0")
    assert deployment.at(common_pb2.OPERATION_UNSPECIFIED) is deployment
    assert deployment.at(common_pb2.OPERATION_CHAT_COMPLETIONS) is deployment
    rerank = deployment.at(common_pb2.OPERATION_RERANK)
    assert rerank is not None
    assert (rerank.id, rerank.wire, rerank.chat_url) == (
        deployment.id,
        "cohere",
        "https://api.cohere.com/v2/rerank",
    )


def test_what_is_not_offered_is_none() -> None:
    claude = deployment_of("model: anthropic/claude, input_cost_per_token: 0, output_cost_per_token: 0")
    assert claude.at(common_pb2.OPERATION_EMBEDDINGS) is None
    voyage = deployment_of("model: voyage/voyage-3, input_cost_per_token: 0")
    assert voyage.at(common_pb2.OPERATION_CHAT_COMPLETIONS) is None
    assert left_out_of("model: anthropic/claude", "{mode: embedding}") == (
        "f.yaml:2: model_list[0]: g is left out: the provider anthropic is not asked for embedding",
    )


@pytest.mark.parametrize(
    ("params", "url"),
    [
        ("model: openai/e", "https://api.openai.com/v1/embeddings"),
        ("model: openai/e, api_base: 'http://a/v1/'", "http://a/v1/embeddings"),
        ("model: openai/e, api_base: 'http://a/v1/embeddings'", "http://a/v1/embeddings"),
        ("model: openai/e, api_base: 'http://a/v1/chat/completions'", "http://a/v1/embeddings"),
        ("model: azure/e, api_base: 'http://a', api_version: '1'",
         "http://a/openai/deployments/e/embeddings?api-version=1"),
        ("model: perplexity/e", "https://api.perplexity.ai/v1/embeddings"),
        ("model: perplexity/e, api_base: 'http://a/v1?b=c'", "http://a/v1/embeddings?b=c"),
    ],
)  # fmt: skip
def test_where_embeddings_are_asked_for(params: str, url: str) -> None:
    deployment = deployment_of(f"{params}, input_cost_per_token: 0, output_cost_per_token: 0")
    embeddings = deployment.at(common_pb2.OPERATION_EMBEDDINGS)
    assert embeddings is not None
    assert embeddings.chat_url == url


def test_output_that_there_is_none_of_needs_no_price() -> None:
    embeddings = deployment_of("model: openai/my-embedding, input_cost_per_token: 0.000001")
    assert (embeddings.unpriced, embeddings.rates.input, embeddings.rates.output) == (False, 10**9, 0)
    assert deployment_of("model: openai/my-chat, input_cost_per_token: 0.000001").unpriced


def test_a_search_has_its_price() -> None:
    rerank = deployment_of("model: cohere/rerank-v3.5, input_cost_per_query: 0.002")
    assert (rerank.unpriced, rerank.rates) == (False, Rates(request=2_000_000))
    assert "more than 9 decimal places" in error_of("model: cohere/rerank-x, input_cost_per_query: 1e-12")


def test_members_for_callers_who_do_not_give_them() -> None:
    deployment = deployment_of("model: openai/e, dimensions: 256, temperature: 0, user: u")
    assert deployment.defaults == {"temperature": 0, "user": "u"}
    embeddings = deployment.at(common_pb2.OPERATION_EMBEDDINGS)
    assert embeddings is not None
    assert embeddings.defaults == {"dimensions": 256, "user": "u"}


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("text-embedding-3-small", "openai"),
        ("text-embedding-ada-002", "openai"),
        ("text-embedding-005", "vertex_ai"),
        ("embed-english-v3.0", "cohere"),
        ("rerank-v3.5", "cohere"),
    ],
)
def test_a_name_alone_says_whose_it_is(model: str, provider: str) -> None:
    assert deployment_of(f"model: {model}, input_cost_per_token: 0, vertex_project: p").provider == provider
