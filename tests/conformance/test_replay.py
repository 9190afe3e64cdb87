"""The whole gateway before recorded providers: every recorded chat is asked for by a caller, through a real gateway.

`pytest tests/conformance/test_replay.py --write-pages` writes docs/reference/conformance.md anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conformance.conformance_page import Verdict, page_of
from tests.conformance.judged import problems_of
from tests.recordings import Exchange, Recordings
from tests.stack import Gateway, StartGateway

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"

# The dialects in which chats are recorded, and what the gateway calls the providers that speak them. A provider that
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
    "cohere-v2": {"cohere": "cohere"},
    "ollama": {"ollama": "ollama_chat"},
}
# Recorded in these dialects, and no chats.
NO_CHATS = ("embeddings", "rerank")
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
    params = {"model": f"{prefix}/{exchange['model']}", "api_base": f"{upstream}/{exchange['id']}", "api_key": "sk-key"}
    return {"model_name": exchange["id"], "litellm_params": params}


async def verdict_of(gateway: Gateway, upstream: str, exchange: Exchange) -> Verdict:
    """Ask for a recorded chat, and compare."""
    asked = exchange["openai_request"]
    body = {**(exchange["request"]["body"] if "same_as" in asked else asked), "model": exchange["id"]}
    if exchange["stream"]:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(f"{gateway.base_url}/v1/chat/completions", json=body, headers=gateway.headers)
        seen = (await client.get(f"{upstream}/{exchange['id']}/__seen")).json()["requests"]
    problems = problems_of(exchange, answer.status_code, answer.headers, answer.content, seen)
    return Verdict(exchange["id"], exchange["dialect"], exchange["provider"], tuple(exchange["features"]), problems)


async def test_recorded_chats_pass_through_the_gateway(
    stack: StartGateway, recordings: Recordings, pytestconfig: pytest.Config
) -> None:
    exchanges = [
        each
        for each in recordings.of(*PREFIXES)
        if each["endpoint"] not in NO_CHATS and "expect" in each and "openai_request" in each
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
