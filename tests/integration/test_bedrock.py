"""Bedrock through the OpenAI SDK: a binary stream comes out as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import openai
import pytest

from tests.aws_events import event, exception
from tests.fake_provider import Behaviour, FakeProvider
from tests.stack import SHAPES, ShareGateway

CONFIG = """
model_list:
  - model_name: claude
    litellm_params:
      model: "bedrock/converse/us-east-1/{model}"
      aws_bedrock_runtime_endpoint: "{base}"
      aws_access_key_id: AKIDEXAMPLE
      aws_secret_access_key: secret-of-the-test
  - model_name: gpt-4o
    litellm_params: {{model: openai/upstream, api_base: "{base}/v1", api_key: k}}
router_settings: {{num_retries: 0, fallbacks: [{{claude: [gpt-4o]}}]}}
"""
MODEL = "us.anthropic.claude-example-4-5-v1:0"
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
WHOLE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
}
START = event("messageStart", role="assistant") + event("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hel"})
REST = event("contentBlockDelta", contentBlockIndex=0, delta={"text": "lo"}) + event(
    "messageStop", stopReason="end_turn"
)


def streamed(body: bytes) -> Behaviour:
    return Behaviour(body=body, headers={"content-type": "application/vnd.amazon.eventstream"})


def failed(status: int, kind: str, message: str) -> Behaviour:
    return Behaviour(status, {"x-amzn-errortype": f"{kind}:http://x/"}, json.dumps({"message": message}).encode())


@pytest.fixture(scope="module", params=SHAPES)
async def client(
    request, shared_stack: ShareGateway, provider_server: FakeProvider
) -> AsyncIterator[openai.AsyncOpenAI]:
    base = provider_server.base_url.removesuffix("/v1")
    async with (
        shared_stack(CONFIG.format(base=base, model=MODEL), shape=request.param) as gateway,
        openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.master_key, max_retries=0) as client,
    ):
        yield client


async def test_bedrock_answers_in_openais_words(client: openai.AsyncOpenAI, fake_provider: FakeProvider) -> None:
    fake_provider.behave(
        MODEL,
        Behaviour(body=json.dumps(WHOLE).encode()),
        streamed(START + REST + event("metadata", usage=USAGE)),
    )

    whole = await client.chat.completions.create(model="claude", messages=MESSAGES, max_tokens=50)
    assert whole.choices[0].message.content == "Hello"
    assert whole.usage is not None
    assert whole.usage.total_tokens == 15
    assert fake_provider.seen[0].body == {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 50},
    }

    asked = {"include_usage": True}
    stream = await client.chat.completions.create(model="claude", messages=MESSAGES, stream=True, stream_options=asked)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    assert fake_provider.seen[1].headers["accept"] == "application/vnd.amazon.eventstream"


async def test_failures_before_the_answer_move_to_the_fallback(
    client: openai.AsyncOpenAI, fake_provider: FakeProvider
) -> None:
    fake_provider.behave(
        MODEL,
        failed(400, "ValidationException", "Input is too long for requested model."),
        streamed(exception("throttlingException", "Slow down")),
    )
    whole = await client.chat.completions.create(model="claude", messages=MESSAGES)
    assert whole.choices[0].message.content == "Hello from the fake provider!"
    stream = await client.chat.completions.create(model="claude", messages=MESSAGES, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert text == "Hello from the fake provider!"


async def test_a_failure_in_mid_stream_reaches_the_caller(
    client: openai.AsyncOpenAI, fake_provider: FakeProvider
) -> None:
    fake_provider.behave(MODEL, streamed(START + exception("modelStreamErrorException", "The model failed")))
    stream = await client.chat.completions.create(model="claude", messages=MESSAGES, stream=True)
    said: list[str] = []

    async def listen() -> None:
        async for chunk in stream:
            said.append(chunk.choices[0].delta.content or "")

    with pytest.raises(openai.APIError, match="The model failed"):
        await listen()
    assert "".join(said) == "Hel"
