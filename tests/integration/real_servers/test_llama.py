"""llama.cpp's own server behind a gateway, through the OpenAI SDK: what reaches the caller is what the server says.

The rows that users have for such a server are tried: its Chat Completions under four names, and its Messages API under
Anthropic's.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import openai
import pytest

from tests.integration.real_servers.tiny_model import CONTEXT_TOKENS
from tests.recordings import assembled, facts_of
from tests.stack import StartGateway

CHAT_ROWS = ("openai", "openai_like", "hosted_vllm", "llamafile")
ROWS = (*CHAT_ROWS, "anthropic")
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
# The likeliest token each time: the same words whenever it is asked.
SURE = {"messages": MESSAGES, "temperature": 0, "max_tokens": 40}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": CITY}}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "hot": {"type": "boolean"}},
    "required": ["city", "hot"],
    "additionalProperties": False,
}

Facts = dict[str, Any]
Ask = Callable[..., Awaitable[Facts]]


@pytest.fixture
async def client(stack: StartGateway, llama_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    bases = {**dict.fromkeys(CHAT_ROWS, f"{llama_url}/v1"), "anthropic": llama_url}
    rows = [
        f'- {{model_name: {row}, litellm_params: {{model: {row}/tiny, api_base: "{base}", api_key: k}}}}\n'
        for row, base in bases.items()
    ]
    gateway = await stack(f"model_list:\n{''.join(rows)}router_settings: {{num_retries: 0}}\n")
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.master_key, max_retries=0) as client:
        yield client


@pytest.fixture
async def server(llama_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """The server itself, asked without a gateway."""
    async with openai.AsyncOpenAI(base_url=f"{llama_url}/v1", api_key="k", max_retries=0) as client:
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
        **{name: facts[name] for name in ("text", "finish_reason", "tool_calls")},
        "usage": (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
    }


def each(*rows: str) -> Iterator[tuple[Ask, str]]:
    """Each row, asked in both ways."""
    return itertools.product((whole, streamed), rows)


async def test_every_row_answers_what_the_server_says(client: openai.AsyncOpenAI, server: openai.AsyncOpenAI) -> None:
    said = await whole(server, "tiny", **SURE)
    assert said["text"]
    assert min(said["usage"]) > 0
    for ask, row in each(*ROWS):
        assert await ask(client, row, **SURE) == said, row
    # It has read all of the prompt but the last token before: that is told too.
    for row in ROWS:
        answer = await client.chat.completions.create(model=row, **SURE)
        assert answer.usage.prompt_tokens_details.cached_tokens == said["usage"][0] - 1, row


async def test_the_limit_and_the_stop_sequence_hold(client: openai.AsyncOpenAI) -> None:
    text = (await whole(client, "openai", **SURE))["text"]
    for ask, row in each(*ROWS):
        cut = await ask(client, row, **SURE | {"max_tokens": 7})
        assert (cut["usage"][1], cut["finish_reason"]) == (7, "length"), row
        stopped = await ask(client, row, **SURE, stop=[text[-1]])
        assert (stopped["text"], stopped["finish_reason"]) == (text[: text.index(text[-1])], "stop"), row


async def test_a_tool_is_called_and_its_result_is_read(client: openai.AsyncOpenAI) -> None:
    for ask, row in each(*ROWS):
        for choice in ("auto", "required", {"type": "function", "function": {"name": "get_weather"}}):
            said = await ask(client, row, messages=MESSAGES, max_tokens=40, tools=TOOLS, tool_choice=choice)
            assert said["finish_reason"] == "tool_calls", (row, choice)
            assert said["text"] == "", (row, choice)
            (call,) = said["tool_calls"]
            assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Paris"}), (row, choice)
        call = {"id": "c1", "type": "function", "function": call}
        turns = [
            *MESSAGES,
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "18 degrees"},
        ]
        answer = await ask(client, row, messages=turns, max_tokens=8, tools=TOOLS)
        # A token for each character: the call and its result are in the prompt.
        assert answer["usage"][0] > said["usage"][0] + len("18 degrees") + len(call["function"]["arguments"]), row
        assert answer["tool_calls"] == [], row


async def test_a_tool_that_may_not_be_called_is_not(client: openai.AsyncOpenAI) -> None:
    for ask, row in each(*CHAT_ROWS):
        said = await ask(client, row, messages=MESSAGES, max_tokens=40, tools=TOOLS, tool_choice="none")
        assert (said["tool_calls"], said["finish_reason"]) == ([], "stop"), row


async def test_an_answer_keeps_to_its_schema(client: openai.AsyncOpenAI) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": SCHEMA}}
    for ask, row in each(*CHAT_ROWS):
        said = await ask(client, row, messages=MESSAGES, max_tokens=200, response_format=schema)
        answer = json.loads(said["text"])
        assert answer["city"] in ("Paris", "Rome"), row
        assert isinstance(answer["hot"], bool), row
        assert set(answer) == {"city", "hot"}, row


async def test_the_chances_of_each_token_are_told(client: openai.AsyncOpenAI, server: openai.AsyncOpenAI) -> None:
    asked = {**SURE, "logprobs": True, "top_logprobs": 3}
    known = await server.chat.completions.create(model="tiny", **asked)
    for row in CHAT_ROWS:
        answer = await client.chat.completions.create(model=row, **asked)
        tokens = answer.choices[0].logprobs.content
        assert [token.token for token in tokens] == [token.token for token in known.choices[0].logprobs.content], row
        assert "".join(token.token for token in tokens) == answer.choices[0].message.content, row
        assert {len(token.top_logprobs) for token in tokens} == {3}, row
        stream = await client.chat.completions.create(model=row, stream=True, **asked)
        chunks = [chunk async for chunk in stream]
        weighed = [choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs]
        assert [token.token for each in weighed for token in each.content] == [token.token for token in tokens], row


async def test_several_choices_come_apart(client: openai.AsyncOpenAI) -> None:
    for row in CHAT_ROWS:
        asked = {"messages": MESSAGES, "max_tokens": 12, "n": 2}
        answer = await client.chat.completions.create(model=row, **asked)
        assert [choice.index for choice in answer.choices] == [0, 1], row
        texts = ["", ""]
        async for chunk in await client.chat.completions.create(model=row, stream=True, **asked):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        assert all(texts), row


async def test_what_the_server_refuses_is_the_sdks_own_error(client: openai.AsyncOpenAI) -> None:
    too_long = [{"role": "user", "content": "a" * (2 * CONTEXT_TOKENS)}]
    for streams, row in itertools.product((False, True), ROWS):
        with pytest.raises(openai.BadRequestError, match="exceeds the available context size") as raised:
            await client.chat.completions.create(model=row, messages=too_long, max_tokens=4, stream=streams)
        assert raised.value.code == "context_length_exceeded", row
    for streams, row in itertools.product((False, True), CHAT_ROWS):
        with pytest.raises(openai.BadRequestError, match="grammar") as raised:
            await client.chat.completions.create(
                model=row, messages=MESSAGES, stream=streams, extra_body={"grammar": "root ::= ("}
            )
        assert raised.value.type == "invalid_request_error", row


async def test_calls_at_once_do_not_mix(client: openai.AsyncOpenAI) -> None:
    """More than the server has places for: the others wait there."""
    asked = {"messages": MESSAGES, "max_tokens": 24}
    calls = [streamed(client, row, **asked) for row in CHAT_ROWS * 4]
    assert {said["usage"][1] for said in await asyncio.gather(*calls)} == {24}
