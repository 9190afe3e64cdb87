"""What a caller sees when a provider fails: OpenAI's error shape, a fitting status, the provider's words, no secret."""

from __future__ import annotations

import json
from dataclasses import dataclass

import httpx
import pytest

from tests.fake_provider import Behaviour, FakeProvider

CONFIG = """
litellm_settings: {{num_retries: 0}}
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/upstream, api_base: "{base}", api_key: sk-provider-secret, timeout: 1}}
  - model_name: refused
    litellm_params: {{model: openai/x, api_base: "http://127.0.0.1:9/v1", api_key: sk-provider-secret}}
  - model_name: two
    litellm_params: {{model: openai/upstream, api_base: "http://127.0.0.1:9/v1", api_key: sk-provider-secret}}
  - model_name: two
    litellm_params: {{model: openai/upstream, api_base: "{base}", api_key: sk-provider-secret}}
"""
JSON = {"content-type": "application/json"}


def said(message: str, code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": "t", "param": None, "code": code}}).encode()


@dataclass
class Case:
    behaviour: Behaviour
    status: int
    kind: str
    words: str = ""


CASES = {
    "400": Case(Behaviour(400, JSON, said("bad temperature")), 400, "invalid_request_error", "bad temperature"),
    "401": Case(
        Behaviour(401, JSON, said("Incorrect API key provided: sk-provider-secret.")), 401, "authentication_error"
    ),
    "404": Case(Behaviour(404, JSON, said("no such model")), 404, "invalid_request_error", "no such model"),
    "422": Case(Behaviour(422, JSON, said("cannot")), 422, "invalid_request_error", "cannot"),
    "429": Case(Behaviour(429, {**JSON, "retry-after": "7"}, said("slow down")), 429, "throttling_error", "slow down"),
    "context": Case(
        Behaviour(400, JSON, said("too long", "context_length_exceeded")), 400, "invalid_request_error", "too long"
    ),
    "500": Case(Behaviour(500, JSON, said("oops")), 500, "internal_server_error", "oops"),
    "503": Case(Behaviour(503, {}, b"<html>busy</html>"), 503, "internal_server_error"),
    "timeout": Case(Behaviour(head_delay_seconds=5), 408, "invalid_request_error", "timed out"),
    "html": Case(Behaviour(200, {"content-type": "text/html"}, b"<html>hello</html>"), 502, "internal_server_error"),
    "empty object": Case(Behaviour(200, JSON, b"{}"), 502, "internal_server_error"),
    "garbage": Case(Behaviour(200, JSON, b"\x00\xff{{{"), 502, "internal_server_error"),
    "redirect": Case(Behaviour(302, {"location": "http://127.0.0.1:9/"}, b""), 502, "internal_server_error"),
}


@pytest.mark.parametrize("shape", ["one", "split"])
async def test_every_failure_of_a_provider_has_its_answer(stack, fake_provider: FakeProvider, shape: str) -> None:
    gateway = await stack(CONFIG.format(base=fake_provider.base_url), shape=shape)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=20) as client:
        for name, case in CASES.items():
            fake_provider.behave("upstream", case.behaviour)
            for stream in (False, True):
                answer = await ask(client, "gpt", stream)
                error = answer.json()["error"]
                assert (answer.status_code, error["type"]) == (case.status, case.kind), (name, stream, answer.text)
                assert error.keys() == {"message", "type", "param", "code"}
                assert case.words in error["message"], name
                assert "sk-provider-secret" not in answer.text, name
                assert "Traceback" not in answer.text
                assert answer.headers["x-litellm-call-id"]
                if name == "429":
                    assert answer.headers["retry-after"] == "7"
        refused = await ask(client, "refused", False)
        assert refused.status_code == 503
        assert "could not be reached" in refused.json()["error"]["message"]


async def test_a_failure_in_mid_stream_is_told_and_billed(stack, fake_provider: FakeProvider) -> None:
    gateway = await stack(CONFIG.format(base=fake_provider.base_url))
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=20) as client:
        for broken in (Behaviour(cut_after=3), Behaviour(error_after=3), Behaviour(stall_after=3)):
            fake_provider.behave("upstream", broken)
            answer = await ask(client, "gpt", True)
            assert answer.status_code == 200
            events = answer.text.strip().split("\n\n")
            assert "Hello from the" in "".join(text_of(event) for event in events)
            assert "error" in json.loads(events[-1].removeprefix("data: "))
            assert "[DONE]" not in answer.text


async def test_another_deployment_answers_unseen_when_one_fails_before_content(
    stack, fake_provider: FakeProvider
) -> None:
    config = CONFIG.replace("num_retries: 0", "num_retries: 1").format(base=fake_provider.base_url)
    gateway = await stack(config)
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=gateway.headers, timeout=20) as client:
        for _ in range(10):
            for stream in (False, True):
                answer = await ask(client, "two", stream)
                assert answer.status_code == 200, answer.text


async def ask(client: httpx.AsyncClient, model: str, stream: bool) -> httpx.Response:
    messages = [{"role": "user", "content": "hi"}]
    return await client.post("/v1/chat/completions", json={"model": model, "messages": messages, "stream": stream})


def text_of(event: str) -> str:
    choices = json.loads(event.removeprefix("data: ")).get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""
