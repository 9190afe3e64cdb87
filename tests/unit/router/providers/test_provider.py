"""Each row builds the request that its provider is asked with, and the reference says what the rows say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from gateway.v1 import common_pb2

from router.catalog import Deployment, build
from router.providers.provider import NOT_SERVED_YET, PROVIDERS, Provider
from router.providers.quirks import NONE, ModelQuirks, Quirks
from router.providers.reference import render
from router.target import head_of, target_of
from router.wire import WHOLE_WIRES, WIRES
from router.wire.openai.request import encode
from services.config import parse

SPOKEN = sorted(name for name, row in PROVIDERS.items() if row.wire == "openai")
# What the addresses of some providers need, as their variables give it.
ACCOUNTS = {"CLOUDFLARE_ACCOUNT_ID": "acc", "SNOWFLAKE_ACCOUNT_ID": "org-acc"}
BODY = b'{"model":"group","messages":[{"role":"user","content":"hi"}],"temperature":1}'


def deployment_of(params: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Deployment:
    """As a configuration makes it; priced, so that no price table is asked."""
    priced = {"input_cost_per_token": 0, "output_cost_per_token": 0, **params}
    text = json.dumps({"model_list": [{"model_name": "group", "litellm_params": priced}]})
    environ = environ or {}

    def no_prices() -> object:
        raise AssertionError("the price is given")

    (deployment,) = build(parse(text, name="f.yaml", environ=environ), environ, no_prices).groups["group"]  # type: ignore[arg-type]
    return deployment


def url_of(model: str, **params: object) -> str:
    return deployment_of({"model": model, **params}).chat_url


def test_there_are_a_hundred_and_none_is_said_not_to_be_served() -> None:
    assert len(PROVIDERS) >= 100
    assert not PROVIDERS.keys() & NOT_SERVED_YET
    for row in PROVIDERS.values():
        assert row.wire in WIRES or (not row.wire and row.embeddings is not None)
        for operation, offer in (
            (common_pb2.OPERATION_EMBEDDINGS, row.embeddings),
            (common_pb2.OPERATION_RERANK, row.rerank),
        ):
            if offer is not None:
                assert {offer.wire, *offer.wires.values()} <= WHOLE_WIRES[operation].keys()


@pytest.mark.parametrize("name", SPOKEN)
def test_a_row_builds_a_request_that_can_be_sent(name: str) -> None:
    row = PROVIDERS[name]
    environ = {**ACCOUNTS, **({row.api_key_variables[0]: "the-key"} if row.api_key_variables else {})}
    base = {} if row.api_base else {"api_base": "https://own.example/base"}
    request = encode(
        BODY, deployment_of({"model": f"{name}/some-model", **base}, environ), stream=True, output_tokens_limit=50
    )
    url = urlsplit(request.url)
    assert url.scheme in ("https", "http")
    assert "{" not in request.url
    assert "/chat/completions" in url.path
    assert "//" not in url.path
    assert b"the-key" in head_of(request, target_of(request.url)) or not row.api_key_variables
    sent = json.loads(request.body)
    assert sent["model"] == row.name_of("some-model")
    assert sent["messages"] == json.loads(BODY)["messages"]
    assert 50 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
    assert ("stream_options" in sent) is ("stream_options" not in row.quirks.drop)
    assert sent.get("temperature", 1) == 1


@pytest.mark.parametrize("name", SPOKEN)
def test_a_rows_patterns_are_patterns(name: str) -> None:
    row = PROVIDERS[name]
    for pattern in (*row.names, *(each.models for each in row.model_quirks)):
        re.compile(pattern)
    for surface in row.surfaces:
        re.compile(surface.base), re.compile(surface.model), re.compile(surface.api_version)


@pytest.mark.parametrize(
    ("model", "params", "url"),
    [
        ("openai/m", {}, "https://api.openai.com/v1/chat/completions"),
        ("openai/m", {"api_base": "http://h/v1/chat/completions/"}, "http://h/v1/chat/completions"),
        ("openai/m", {"api_base": "http://h/v1?team=a"}, "http://h/v1/chat/completions?team=a"),
        (
            "azure/my deployment",
            {"api_base": "https://r.openai.azure.com/", "api_version": "2024-10-21"},
            "https://r.openai.azure.com/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21",
        ),
        (
            "azure/o_series/d",
            {"api_base": "https://r.openai.azure.com"},
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2025-02-01-preview",
        ),
        (
            "azure/d",
            {"api_base": "https://r.openai.azure.com/openai/deployments/other", "api_version": "v"},
            "https://r.openai.azure.com/openai/deployments/other/chat/completions?api-version=v",
        ),
        (
            "azure/d",
            {"api_base": "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=x"},
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=x",
        ),
        (
            "azure/d",
            {"api_base": "https://r.openai.azure.com", "api_version": "v1"},
            "https://r.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            "azure/d",
            {"api_base": "https://r.openai.azure.com", "api_version": "preview"},
            "https://r.openai.azure.com/openai/v1/chat/completions?api-version=preview",
        ),
        (
            "azure/d",
            {"api_base": "https://r.openai.azure.com/openai/v1/"},
            "https://r.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            "azure_ai/m",
            {"api_base": "https://r.services.ai.azure.com"},
            "https://r.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview",
        ),
        (
            "azure_ai/m",
            {"api_base": "https://r.services.ai.azure.com/models/chat/completions?api-version=x"},
            "https://r.services.ai.azure.com/models/chat/completions?api-version=x",
        ),
        (
            "azure_ai/m",
            {"api_base": "https://m.eastus.models.ai.azure.com"},
            "https://m.eastus.models.ai.azure.com/v1/chat/completions",
        ),
        (
            "cloudflare/@cf/meta/m",
            {"account_id": "abc"},
            "https://api.cloudflare.com/client/v4/accounts/abc/ai/v1/chat/completions",
        ),
        (
            "snowflake/m",
            {"account_id": "org-acc"},
            "https://org-acc.snowflakecomputing.com/api/v2/cortex/v1/chat/completions",
        ),
        (
            "bedrock_mantle/m",
            {"aws_region_name": "eu-west-1"},
            "https://bedrock-mantle.eu-west-1.api.aws/v1/chat/completions",
        ),
        ("huggingface/together/org/m", {}, "https://router.huggingface.co/v1/chat/completions"),
        (
            "huggingface/tgi",
            {"api_base": "https://x.endpoints.huggingface.cloud"},
            "https://x.endpoints.huggingface.cloud/v1/chat/completions",
        ),
        (
            "baseten/abcd1234",
            {},
            "https://model-abcd1234.api.baseten.co/environments/production/sync/v1/chat/completions",
        ),
        ("baseten/org/m", {}, "https://inference.baseten.co/v1/chat/completions"),
        (
            "ragflow/agent/a1/m",
            {"api_base": "http://h"},
            "http://h/api/v1/agents_openai/a1/chat/completions",
        ),
        ("datarobot/m", {"api_base": "https://dr.example"}, "https://dr.example/api/v2/genai/llmgw/chat/completions/"),
        ("gradient_ai/m", {"api_base": "https://agent.example"}, "https://agent.example/api/v1/chat/completions"),
        ("gradient_ai/m", {}, "https://inference.do-ai.run/v1/chat/completions"),
        (
            "heroku/m",
            {"api_base": "https://us.inference.heroku.com"},
            "https://us.inference.heroku.com/v1/chat/completions",
        ),
        (
            "databricks/m",
            {"api_base": "https://w.databricks.example/serving-endpoints"},
            "https://w.databricks.example/serving-endpoints/chat/completions",
        ),
    ],
)
def test_an_address_is_built_from_the_row(model: str, params: dict[str, object], url: str) -> None:
    assert url_of(model, **params) == url


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("fireworks_ai/llama-x", "accounts/fireworks/models/llama-x"),
        ("fireworks_ai/accounts/me/models/x", "accounts/me/models/x"),
        ("huggingface/together/org/m", "org/m:together"),
        ("huggingface/org/m", "org/m"),
        ("ragflow/chat/c1/m", "m"),
        ("openrouter/openai/gpt-x", "openai/gpt-x"),
        ("groq/openai/gpt-oss-x", "openai/gpt-oss-x"),
    ],
)
def test_a_model_is_called_what_the_host_calls_it(model: str, sent: str) -> None:
    assert deployment_of({"model": model, "api_base": "http://h"}).provider_model == sent


@pytest.mark.parametrize(
    ("model", "params", "header"),
    [
        ("openai/m", {}, ("authorization", "Bearer k")),
        ("azure/m", {"api_base": "http://h"}, ("api-key", "k")),
        ("azure_ai/m", {"api_base": "https://r.services.ai.azure.com"}, ("api-key", "k")),
        ("azure_ai/m", {"api_base": "https://elsewhere.example"}, ("authorization", "Bearer k")),
        ("sarvam/m", {}, ("api-subscription-key", "k")),
    ],
)
def test_the_key_goes_where_the_host_looks_for_it(model: str, params: dict[str, str], header: tuple[str, str]) -> None:
    deployment = deployment_of({"model": model, "api_key": "k", **params})
    headers = encode(BODY, deployment, stream=False, output_tokens_limit=0).headers
    assert headers[header[0]] == header[1]
    assert [value for value in headers.values() if value in ("k", "Bearer k")] == [header[1]]


def test_headers_of_a_row_are_sent_when_their_options_are_given() -> None:
    said = deployment_of({"model": "openai/m", "organization": "org-1"}, {"OPENAI_PROJECT": "proj-1"})
    assert said.headers == {"openai-organization": "org-1", "openai-project": "proj-1"}
    assert deployment_of({"model": "openai/m"}).headers == {}
    own = deployment_of({"model": "openai/m", "organization": "a", "extra_headers": {"OpenAI-Organization": "b"}})
    headers = encode(BODY, own, stream=False, output_tokens_limit=0).headers
    assert headers["openai-organization"] == "b"


def test_quirks_of_a_model_are_those_of_its_host_and_its_own() -> None:
    row = Provider(
        name="p",
        quirks=Quirks(drop=("a",), rename={"x": "y"}, answer=("words",)),
        model_quirks=(ModelQuirks(Quirks(drop=("b", "a"), rename={"x": "z"}), models="big-.*"),),
    )
    assert row.quirks_of("small") == Quirks(drop=("a",), rename={"x": "y"}, answer=("words",))
    assert row.quirks_of("big-1") == Quirks(drop=("a", "b"), rename={"x": "z"}, answer=("words",))
    assert row.quirks_of("alias", "big-1") == row.quirks_of("big-1")
    assert Provider(name="p").quirks_of("m") is None
    assert NONE.over(NONE) == NONE


def test_another_server_under_openais_name_is_sent_what_openai_would_refuse() -> None:
    own, other = deployment_of({"model": "openai/m"}), deployment_of({"model": "openai/m", "api_base": "http://h/v1"})
    message = {"role": "assistant", "content": "4", "reasoning_content": "easy"}
    body = json.dumps({"messages": [message]}).encode()
    assert b"easy" not in encode(body, own, stream=False, output_tokens_limit=0).body
    assert b"easy" in encode(body, other, stream=False, output_tokens_limit=0).body
    assert other.quirks == Quirks(answer=("reasoning", "content_parts"))


def test_a_base_model_says_what_the_name_of_a_deployment_does_not() -> None:
    text = """
model_list:
- model_name: g
  litellm_params: {model: azure/my-thinker, api_base: http://h, input_cost_per_token: 0, output_cost_per_token: 0}
  model_info: {base_model: o3-example}
"""
    catalog = build(parse(text, name="f.yaml", environ={}), {}, None)  # type: ignore[arg-type]
    (deployment,) = catalog.groups["g"]
    assert deployment.quirks is not None
    assert deployment.quirks.rename == {"max_tokens": "max_completion_tokens"}
    assert "temperature" in deployment.quirks.drop


def test_a_row_that_cannot_be_meant_is_refused() -> None:
    for wrong in ({"quirks": {"messages": ["sing"]}}, {"quirks": {"dropp": []}}, {"surfaces": [{}]}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"name": "p", **wrong}, Provider)


def test_the_reference_is_the_one_of_the_rows() -> None:
    """Else: `python -m router.providers.reference > docs/reference/providers.md`."""
    page = Path(__file__).parents[4] / "docs" / "reference" / "providers.md"
    assert page.read_text() == render()
