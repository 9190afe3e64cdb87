"""The whole gateway before recorded providers: every recorded call is made by a caller, through a real gateway.

`pytest tests/conformance/test_replay.py --write-pages` writes docs/reference/conformance.md anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.conformance.conformance_page import Verdict, page_of
from tests.conformance.judged import problems_of
from tests.reading import asked_of
from tests.recordings import Exchange, Recordings
from tests.stack import Gateway, StartGateway

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"

# The dialects in which calls are recorded, and what the gateway calls the providers that speak them. A provider that
# is not named speaks OpenAI's language and has no row: it is reached by its address alone.
PREFIXES: Mapping[str, Mapping[str, str]] = {
    "openai-chat": {
        "azure": "azure",
        "bedrock-mantle": "bedrock_mantle",
        "cerebras": "cerebras",
        "cloudflare": "cloudflare",
        "crusoe": "crusoe",
        "databricks": "databricks",
        "deepseek": "deepseek",
        "groq": "groq",
        "heroku": "heroku",
        "huggingface": "huggingface",
        "mistral": "mistral",
        "openai": "openai",
        "openrouter": "openrouter",
        "perplexity": "perplexity",
        "snowflake": "snowflake",
        "together": "together_ai",
        "venice": "veniceai",
        "vercel-gateway": "vercel_ai_gateway",
        "vllm": "hosted_vllm",
        "xai": "xai",
        "zai": "zai",
    },
    "anthropic": {"anthropic": "anthropic", "vertex": "vertex_ai"},
    "gemini": {"gemini": "gemini", "vertex": "vertex_ai"},
    "bedrock-converse": {"bedrock": "bedrock/converse"},
    "bedrock-invoke": {"bedrock": "bedrock/invoke"},
    "cohere-v1": {"cohere": "cohere/v1"},
    "cohere-v2": {"cohere": "cohere"},
    "ollama": {"ollama": "ollama_chat"},
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
    "rerank": {"cohere": "cohere", "openrouter": "openrouter"},
}
# Where what is recorded of an endpoint is asked for; all others are chats.
PATHS: Mapping[str, str] = {"embeddings": "/v1/embeddings", "rerank": "/v1/rerank"}
CHATS = "/v1/chat/completions"
# Calls at once; the replay server has a thread for each.
AT_ONCE = 8
PASSING = 0.95


@asynccontextmanager
async def replay(traffic: Path) -> AsyncIterator[str]:
    """The recordings' own server, on a free port; streams are cut at random places."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(traffic / "replay.py"), "--corpus", str(traffic / "exchanges")]
    server: Process = await asyncio.create_subprocess_exec(*command, "--port", str(port), "--split", "random")
    try:
        async with asyncio.timeout(60), httpx.AsyncClient() as client:
            while True:
                try:
                    await client.get(f"http://127.0.0.1:{port}/__ids")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        await server.wait()


def entry(exchange: Exchange, upstream: str) -> dict[str, Any]:
    """The deployment whose provider is one recording."""
    prefix = PREFIXES[exchange["dialect"]].get(exchange["provider"], "openai_like")
    if exchange["endpoint"] in PATHS:
        prefix = prefix.removesuffix("/invoke")
    model = exchange["model"]
    url = urlsplit(exchange["request"]["url"])
    params = {"api_base": f"{upstream}/{exchange['id']}", "api_key": "sk-key"}
    if prefix == "azure":
        # Its address names the deployment, where the recorded body may name nothing, and which of its two APIs it is.
        params["api_version"] = parse_qs(url.query)["api-version"][0]
        named = re.search("/deployments/([^/]+)/", url.path)
        prefix, model = ("azure", named[1]) if named else ("azure_ai", model)
    return {"model_name": exchange["id"], "litellm_params": {"model": f"{prefix}/{model}", **params}}


async def verdict_of(gateway: Gateway, upstream: str, exchange: Exchange) -> Verdict:
    """Make a recorded call, and compare."""
    body = {**asked_of(exchange), "model": exchange["id"]}
    if exchange["stream"]:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(
            f"{gateway.base_url}{PATHS.get(exchange['endpoint'], CHATS)}", json=body, headers=gateway.headers
        )
        seen = (await client.get(f"{upstream}/{exchange['id']}/__seen")).json()["requests"]
    problems = problems_of(exchange, answer.status_code, answer.headers, answer.content, seen)
    return Verdict(exchange["id"], exchange["dialect"], exchange["provider"], tuple(exchange["features"]), problems)


async def test_recorded_calls_pass_through_the_gateway(
    stack: StartGateway, recordings: Recordings, pytestconfig: pytest.Config
) -> None:
    exchanges = [
        each
        for each in recordings.of(*PREFIXES)
        if "expect" in each and ("openai_request" in each or each["endpoint"] in PATHS)
    ]
    at_once = asyncio.Semaphore(AT_ONCE)
    async with replay(Path(os.environ["TOLLHOUSE_SHARED"]) / "traffic") as upstream:
        entries = [entry(each, upstream) for each in exchanges]
        gateway = await stack(json.dumps({"model_list": entries, "router_settings": {"num_retries": 0}}))

        async def judge(exchange: Exchange) -> Verdict:
            async with at_once:
                return await verdict_of(gateway, upstream, exchange)

        verdicts = await asyncio.gather(*(judge(each) for each in exchanges))
    if pytestconfig.getoption("write_pages"):
        PAGE.write_text(page_of(verdicts))
    failed = {each.exchange: each.problems for each in verdicts if each.problems}
    assert len(failed) <= (1 - PASSING) * len(verdicts), failed
    assert PAGE.read_text() == page_of(verdicts)
