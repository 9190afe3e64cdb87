"""Our wires against aimock, whose authors read the providers' documentation without us: every language that both speak.

It tells what the wires make of another reading of the same APIs, in both directions: it finds the caller's words, tools
and tool results in what we send, or answers something else.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.recordings import assembled, facts_of
from tests.stack import StartGateway
from tests.token_server import TokenServer

# Group: its litellm_params. {base} is aimock.
PROVIDERS: Mapping[str, str] = {
    "openai": 'model: openai/gpt-4o-mini, api_base: "{base}/v1", api_key: k',
    "openai_like": 'model: openai_like/any, api_base: "{base}/v1", api_key: k',
    "openrouter": 'model: openrouter/openai/gpt-4o-mini, api_base: "{base}/api/v1", api_key: k',
    "azure": 'model: azure/my-gpt, api_base: "{base}", api_key: k',
    "anthropic": 'model: anthropic/claude-sonnet-4-5, api_base: "{base}", api_key: k',
    "gemini": 'model: gemini/gemini-2.5-flash, api_base: "{base}", api_key: k',
    "vertex_ai": 'model: vertex_ai/gemini-2.5-flash, api_base: "{base}", {google}',
    "bedrock": "model: bedrock/converse/us-east-1/us.anthropic.claude-sonnet-4-5-v1:0, {aws}",
    "bedrock_invoke": "model: bedrock/invoke/us-east-1/us.anthropic.claude-sonnet-4-5-v1:0, {aws}",
    "cohere": 'model: cohere_chat/command-a, api_base: "{base}", api_key: k',
    "ollama": 'model: ollama_chat/llama3, api_base: "{base}"',
}
GOOGLE = 'vertex_project: p, vertex_credentials: "{login}"'
AWS = 'aws_bedrock_runtime_endpoint: "{base}", aws_access_key_id: AKIDEXAMPLE, aws_secret_access_key: s'
# aimock sends the events of InvokeModel's streams bare, where AWS has each in base64 in an envelope.
STREAMED = [name for name in PROVIDERS if name != "bedrock_invoke"]

OBJECT = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "d", "parameters": OBJECT}}
    for name in ("get_weather", "get_time")
]
CALLS = [("get_weather", {"city": "Orléans"}), ("get_time", {})]
FAILURES = (
    ("busy", openai.RateLimitError, 429, "Rate limit reached, slow down", "7"),
    ("broken", openai.InternalServerError, 500, "It fell over", None),
    ("refused", openai.BadRequestError, 400, "That is not allowed here", None),
)

Facts = dict[str, Any]
Ask = Callable[..., Awaitable[Facts]]


@pytest.fixture
async def client(
    stack: StartGateway, aimock_url: str, token_server: TokenServer, tmp_path: Path
) -> AsyncIterator[openai.AsyncOpenAI]:
    login = {"type": "authorized_user", "refresh_token": "r", "client_id": "c", "client_secret": "s"}
    file = tmp_path / "login.json"
    file.write_text(json.dumps({**login, "token_uri": f"{token_server.base_url}/token"}))
    words = {"base": aimock_url, "google": GOOGLE.format(login=file), "aws": AWS.format(base=aimock_url)}
    rows = [f"- {{model_name: {name}, litellm_params: {{{row.format(**words)}}}}}" for name, row in PROVIDERS.items()]
    gateway = await stack("model_list:\n" + "\n".join(rows) + "\nrouter_settings: {num_retries: 0}\n")
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.master_key, max_retries=0) as client:
        yield client


async def whole(client: openai.AsyncOpenAI, model: str, **body: Any) -> Facts:
    return comparable(facts_of(await client.chat.completions.create(model=model, **body)))


async def streamed(client: openai.AsyncOpenAI, model: str, **body: Any) -> Facts:
    options = {"include_usage": True}
    stream = await client.chat.completions.create(model=model, stream=True, stream_options=options, **body)
    return comparable(assembled([chunk async for chunk in stream]))


def comparable(facts: Facts) -> Facts:
    usage = facts["usage"]
    return {
        **{name: facts[name] for name in ("text", "reasoning_text", "finish_reason")},
        "tool_calls": [(call["name"], json.loads(call["arguments"])) for call in facts["tool_calls"]],
        "usage": (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
    }


async def assert_all_say(client: openai.AsyncOpenAI, ask: Ask, said: Facts, body: Facts, **departures: Facts) -> None:
    """Every provider's answer comes to the same, but for what aimock has otherwise than the provider's documentation.

    `departures` are those, by provider.
    """
    names = STREAMED if ask is streamed else list(PROVIDERS)
    answers = await asyncio.gather(*(ask(client, name, **body) for name in names))
    same = {"text": "", "reasoning_text": "", "finish_reason": "stop", "tool_calls": [], **said}
    # Of Ollama it has no counts.
    departures["ollama"] = {"usage": (0, 0, 0), **departures.get("ollama", {})}
    assert dict(zip(names, answers, strict=True)) == {name: {**same, **departures.get(name, {})} for name in names}


def saying(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}], **more}


def call_of(name: str, arguments: Mapping[str, str]) -> dict[str, Any]:
    return {"id": f"of_{name}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


@pytest.mark.parametrize("ask", [whole, streamed])
async def test_texts_and_counts_are_the_same_from_all(client: openai.AsyncOpenAI, ask: Ask) -> None:
    hello = {"text": "Hello from a server that nobody here wrote.", "usage": (12, 34, 46)}
    await assert_all_say(client, ask, hello, saying("hello"))
    cut = {"text": "And so on", "usage": (3, 4, 7), "finish_reason": "length"}
    await assert_all_say(client, ask, cut, saying("long", max_tokens=4), ollama={"finish_reason": "stop"})
    four = {"text": "Four.", "reasoning_text": "Two and two are four.", "usage": (7, 9, 16)}
    await assert_all_say(
        client,
        ask,
        four,
        saying("reason"),
        # Documented as content of type `thinking`, and as the member `thinking`.
        cohere={"text": "Two and two are four.Four.", "reasoning_text": ""},
        ollama={"reasoning_text": ""},
    )


@pytest.mark.parametrize("ask", [whole, streamed])
async def test_tools_are_offered_called_and_answered(client: openai.AsyncOpenAI, ask: Ask) -> None:
    # A plan that Cohere's streams have and its whole answers have not, as aimock sees it.
    plan = "I will use the requested tool." if ask is streamed else ""
    calls = {"usage": (50, 20, 70), "finish_reason": "tool_calls", "tool_calls": CALLS}
    await assert_all_say(client, ask, calls, saying("weather", tools=TOOLS), cohere={"text": plan})
    one = [("get_time", {"city": "Rome"})]
    both = {"text": "I shall look.", "usage": (9, 8, 17), "finish_reason": "tool_calls", "tool_calls": one}
    await assert_all_say(client, ask, both, saying("both", tools=TOOLS), cohere={"text": f"I shall look.{plan}"})
    turns = [
        *saying("weather")["messages"],
        {"role": "assistant", "tool_calls": [call_of(*call) for call in CALLS]},
        {"role": "tool", "tool_call_id": "of_get_weather", "content": "18 degrees"},
        {"role": "tool", "tool_call_id": "of_get_time", "content": "18 degrees at noon"},
    ]
    mild = {"text": "It is mild there.", "usage": (80, 6, 86)}
    await assert_all_say(client, ask, mild, {"messages": turns, "tools": TOOLS})


async def test_failures_are_the_sdks_own_errors_in_the_servers_words(client: openai.AsyncOpenAI) -> None:
    async def fail(name: str, text: str, streams: bool) -> tuple[object, ...]:
        with pytest.raises(openai.APIStatusError) as raised:
            await client.chat.completions.create(model=name, stream=streams, **saying(text))
        error = raised.value
        return type(error), error.status_code, error.body["message"], error.response.headers.get("retry-after")

    for (text, *wanted), streams in itertools.product(FAILURES, (False, True)):
        failures = await asyncio.gather(*(fail(name, text, streams) for name in PROVIDERS))
        assert dict(zip(PROVIDERS, failures, strict=True)) == dict.fromkeys(PROVIDERS, tuple(wanted))


async def test_a_stream_that_breaks_off_ends_with_an_error_after_what_came(client: openai.AsyncOpenAI) -> None:
    async def listen(name: str) -> str:
        stream = await client.chat.completions.create(model=name, stream=True, **saying("cut"))
        chunks: list[ChatCompletionChunk] = []
        with pytest.raises(openai.APIError):
            await keep(stream, chunks)
        return assembled(chunks)["text"]

    async def keep(stream: openai.AsyncStream[ChatCompletionChunk], chunks: list[ChatCompletionChunk]) -> None:
        async for chunk in stream:
            chunks.append(chunk)

    for name, text in zip(STREAMED, await asyncio.gather(*map(listen, STREAMED)), strict=True):
        assert text, name
        assert "The line goes dead in the middle".startswith(text), name
