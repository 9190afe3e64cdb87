"""The call, as users make it: the real OpenAI SDK and curl against a real gateway, in one process and apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import openai
import pytest

from tests.fake_provider import Behaviour, FakeProvider
from tests.stack import SHAPES, Gateway, ShareGateway

CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/upstream, api_base: "{base}", api_key: os.environ/PROVIDER_KEY}}
    model_info: {{input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
  - model_name: mock
    litellm_params: {{model: openai/gpt-4o-mini, mock_response: "It works."}}
  - model_name: shuffled
    litellm_params: {{model: openai/left, api_base: "{base}", api_key: k}}
  - model_name: shuffled
    litellm_params: {{model: openai/right, api_base: "{base}", api_key: k}}
"""
MESSAGES = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture(scope="module", params=SHAPES)
async def gateway(request, shared_stack: ShareGateway, provider_server: FakeProvider) -> AsyncIterator[Gateway]:
    config, environ = CONFIG.format(base=provider_server.base_url), {"PROVIDER_KEY": "sk-provider"}
    async with shared_stack(config, shape=request.param, environ=environ) as gateway:
        yield gateway


async def test_the_openai_sdk_works_unchanged(gateway, fake_provider) -> None:
    """Sync, async, streamed, with usage, with tools, errors as the SDK's own classes, models."""
    await asyncio.to_thread(drive_sync, gateway)
    assert fake_provider.seen[0].headers["authorization"] == "Bearer sk-provider"
    assert fake_provider.seen[0].body["model"] == "upstream"
    await drive_async(gateway)


def drive_sync(gateway) -> None:
    with openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=gateway.master_key, max_retries=0) as client:
        answer = client.chat.completions.create(model="gpt", messages=MESSAGES)
        assert answer.choices[0].message.content == "Hello from the fake provider!"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 6

        with client.chat.completions.create(model="gpt", messages=MESSAGES, stream=True) as stream:
            chunks = list(stream)
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Hello from the fake provider!"
        assert all(chunk.usage is None for chunk in chunks)

        asked = {"include_usage": True}
        with client.chat.completions.create(
            model="gpt", messages=MESSAGES, stream=True, stream_options=asked
        ) as stream:
            *_, last = stream
        assert last.choices == []
        assert last.usage is not None
        assert last.usage.completion_tokens == 6

        assert {model.id for model in client.models.list()} == {"gpt", "mock", "shuffled"}

        with pytest.raises(openai.BadRequestError, match="There are no healthy deployments for this model"):
            client.chat.completions.create(model="gpx", messages=MESSAGES)
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="sk-wrong").chat.completions.create(model="gpt", messages=MESSAGES)


async def drive_async(gateway) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.master_key, max_retries=0) as client:
        answers = await asyncio.gather(
            *(client.chat.completions.create(model="mock", messages=MESSAGES) for _ in range(40))
        )
        assert {answer.choices[0].message.content for answer in answers} == {"It works."}
        stream = await client.chat.completions.create(model="mock", messages=MESSAGES, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "It works."


async def test_tools_pass_through_whole_and_streamed(gateway, fake_provider) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
    whole = {
        "id": "c",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {"role": "assistant", "content": None, "tool_calls": [call]},
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }
    pieces = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"index": 0, **call, "function": {"name": "weather", "arguments": ""}}],
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]},
    ]
    events = [
        {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": piece}]} for piece in pieces
    ]
    events.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    sse = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    fake_provider.behave(
        "upstream",
        Behaviour(body=json.dumps(whole).encode(), headers={"content-type": "application/json"}),
        Behaviour(body=sse.encode(), headers={"content-type": "text/event-stream"}),
    )
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.master_key, max_retries=0) as client:
        answer = await client.chat.completions.create(model="gpt", messages=MESSAGES, tools=TOOLS)
        assert answer.choices[0].message.tool_calls[0].function.arguments == '{"city":"Paris"}'
        assert fake_provider.seen[0].body["tools"] == TOOLS
        stream = await client.chat.completions.create(model="gpt", messages=MESSAGES, tools=TOOLS, stream=True)
        arguments = ""
        async for chunk in stream:
            for delta in chunk.choices[0].delta.tool_calls or []:
                arguments += delta.function.arguments or ""
        assert arguments == '{"city":"Paris"}'


async def test_curl_works(gateway) -> None:
    body = '{"model": "mock", "messages": [{"role": "user", "content": "Hello"}]}'
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-i", f"{gateway.base_url}/v1/chat/completions", "-d", body),
        *("-H", f"Authorization: Bearer {gateway.master_key}", "-H", "Content-Type: application/json"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    head, _, answer = out.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200")
    assert json.loads(answer)["choices"][0]["message"]["content"] == "It works."


async def test_entries_under_one_name_share_the_calls(gateway, fake_provider) -> None:
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers) as client:
        for _ in range(30):
            answer = await client.post("/v1/chat/completions", json={"model": "shuffled", "messages": MESSAGES})
            assert answer.status_code == 200
    # Each is missed with a chance of one in a thousand million.
    assert {seen.body["model"] for seen in fake_provider.seen} == {"left", "right"}


async def test_a_body_of_several_megabytes_passes_whole(gateway, fake_provider) -> None:
    text = "x" * 5_000_000
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=30) as client:
        messages = [{"role": "user", "content": text}]
        answer = await client.post("/v1/chat/completions", json={"model": "gpt", "messages": messages})
        assert answer.status_code == 200
    assert fake_provider.seen[0].body["messages"] == messages


async def test_a_caller_that_leaves_stops_the_provider(gateway, fake_provider) -> None:
    fake_provider.behave("upstream", Behaviour(words=("x",) * 1000, gap_seconds=0.05))
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=10) as client:
        request = {"model": "gpt", "messages": MESSAGES, "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=request) as answer:
            async for _ in answer.aiter_raw():
                break
    await asyncio.wait_for(fake_provider.seen[0].ended.wait(), 5)
    assert fake_provider.seen[0].aborted


async def test_every_call_is_one_line_of_the_log_and_tells_no_secret(stack, fake_provider) -> None:
    environ = {"PROVIDER_KEY": "sk-provider"}
    gateway = await stack(CONFIG.format(base=fake_provider.base_url), shape="split", environ=environ)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers) as client:
        key = (await client.post("/key/generate", json={"max_budget": 1})).json()["key"]
        request = {"model": "gpt", "messages": [{"role": "user", "content": "a private matter"}]}
        headers = {"Authorization": f"Bearer {key}", "x-litellm-call-id": "mine"}
        assert (await client.post("/v1/chat/completions", json=request, headers=headers)).status_code == 200
        assert (await client.post("/v1/chat/completions", json=request | {"model": "nope"})).is_error
    await gateway.stop("edge")
    good, bad = (event for event in gateway.logs("edge") if event["event"] == "call")
    assert (good["call_id"], good["status"], good["model"], good["level"]) == ("mine", 200, "gpt", "info")
    assert good["cost_nano_usd"] == 23_000
    assert good["dispatch_id"]
    assert good["key_id"]
    assert good["deployment_id"]
    assert (bad["status"], bad["error"]) == (400, "ERROR_REASON_MODEL_NOT_FOUND")
    for name in ("edge", "router", "keystore", "ledger"):
        written = gateway.log_file(name).read_text()
        for secret in (key, gateway.master_key, "sk-provider", "a private matter"):
            assert secret not in written
