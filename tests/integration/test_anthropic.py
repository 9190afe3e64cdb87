"""Claude through the OpenAI SDK: only the model's name differs. Answers are those of `conformance/wire/anthropic`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from tests.fake_provider import Behaviour, FakeProvider
from tests.stack import SHAPES, ShareGateway

CASES = Path(__file__).parents[1] / "conformance" / "wire" / "anthropic"
CONFIG = """
model_list:
  - model_name: claude-3-5-sonnet
    litellm_params:
      model: anthropic/claude-3-5-sonnet-20241022
      api_base: "{base}"
      api_key: os.environ/ANTHROPIC_API_KEY
  - model_name: gpt-4o
    litellm_params: {{model: openai/upstream, api_base: "{base}/v1", api_key: k}}
router_settings: {{num_retries: 0, fallbacks: [{{claude-3-5-sonnet: [gpt-4o]}}]}}
"""
MODEL = "claude-3-5-sonnet-20241022"
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}]


def answers(name: str) -> Behaviour:
    """An answer, whole or as a stream."""
    if name.endswith(".sse"):
        body = (CASES / "streams" / name).read_bytes()
        return Behaviour(body=body, headers={"content-type": "text/event-stream"})
    case = json.loads((CASES / "answers" / name).read_text())
    return Behaviour(body=json.dumps(case["provider"]).encode(), headers={"content-type": "application/json"})


@pytest.fixture(scope="module", params=SHAPES)
async def client(
    request, shared_stack: ShareGateway, provider_server: FakeProvider
) -> AsyncIterator[openai.AsyncOpenAI]:
    base = provider_server.base_url.removesuffix("/v1")
    config, environ = CONFIG.format(base=base), {"ANTHROPIC_API_KEY": "sk-ant-secret"}
    async with (
        shared_stack(config, shape=request.param, environ=environ) as gateway,
        openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.master_key, max_retries=0) as client,
    ):
        yield client


async def test_claude_answers_in_openais_words(client: openai.AsyncOpenAI, fake_provider: FakeProvider) -> None:
    fake_provider.behave(MODEL, answers("text.json"), answers("tools.json"), answers("text.sse"), answers("tools.sse"))

    whole = await client.chat.completions.create(model="claude-3-5-sonnet", messages=MESSAGES)
    assert whole.choices[0].message.content
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
    seen = fake_provider.seen[0]
    assert seen.headers["x-api-key"] == "sk-ant-secret"
    assert seen.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in seen.headers
    assert "Be brief." in json.dumps(seen.body["system"])
    assert seen.body["max_tokens"] > 0

    called = await client.chat.completions.create(model="claude-3-5-sonnet", messages=MESSAGES, tools=TOOLS)
    assert called.choices[0].finish_reason == "tool_calls"
    assert called.choices[0].message.tool_calls
    assert fake_provider.seen[1].body["tools"][0]["name"] == "get_weather"

    asked = {"include_usage": True}
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            model="claude-3-5-sonnet", messages=MESSAGES, stream=True, stream_options=asked
        )
    ]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0

    arguments: dict[int, str] = {}
    async for chunk in await client.chat.completions.create(
        model="claude-3-5-sonnet", messages=MESSAGES, tools=TOOLS, stream=True
    ):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                assert call.function is not None
                arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
    assert [json.loads(each) for each in arguments.values()] == [{"city": "Paris"}, {}]


async def test_an_overloaded_claude_falls_back_to_gpt(client: openai.AsyncOpenAI, fake_provider: FakeProvider) -> None:
    overloaded = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    fake_provider.behave(MODEL, Behaviour(529, {"content-type": "application/json"}, overloaded))
    answer = await client.chat.completions.create(model="claude-3-5-sonnet", messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello from the fake provider!"


async def test_claudes_refusals_are_openais_errors(client: openai.AsyncOpenAI, fake_provider: FakeProvider) -> None:
    refused = b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too large"}}'
    fake_provider.behave(MODEL, Behaviour(400, {"content-type": "application/json"}, refused))
    fake_provider.behave("upstream", Behaviour(500, {}, b"{}"))
    with pytest.raises(openai.BadRequestError, match="max_tokens: too large"):
        await client.chat.completions.create(model="claude-3-5-sonnet", messages=MESSAGES)


async def test_a_key_may_say_that_parameters_are_dropped_which_its_provider_does_not_take(
    client: openai.AsyncOpenAI, fake_provider: FakeProvider
) -> None:
    fake_provider.behave(MODEL, answers("text.json"))
    asked = {"model": "claude-3-5-sonnet", "messages": MESSAGES, "logit_bias": {"50256": -100}}
    for drops, status in ((True, 200), (False, 400), (None, 400)):
        made = await client.post("/key/generate", body={"drop_params": drops}, cast_to=object)
        key = client.with_options(api_key=made["key"])
        try:
            answer = await key.chat.completions.with_raw_response.create(**asked)
        except openai.BadRequestError as refused:
            assert (status, "logit_bias" in str(refused)) == (400, True)
        else:
            assert (status, answer.headers["x-tollhouse-dropped-params"]) == (200, "logit_bias")
    assert len(fake_provider.seen) == 1
