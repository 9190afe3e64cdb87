"""A provider for tests: a real HTTP server that chats, makes embeddings and reranks, misbehaves as told, and
remembers the truth.

provider.behave("model", Behaviour(status=429), Behaviour())    the first call is refused, all others answered
provider.seen[0].tokens_sent, .aborted                          what really happened
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

INPUT_TOKENS = 11
VECTOR = (0.5, -0.25, 0.125)
# A gateway's configuration with one deployment of it, at $1 and $2 a million tokens; `format` it with `base`.
PRICED_CONFIG = """
model_list:
  - model_name: gpt
    litellm_params:
      model: openai/upstream
      api_base: "{base}"
      api_key: k
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
"""
WORDS = ("Hello", " from", " the", " fake", " provider", "!")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one call is answered; by default well, one token a word.

    body: answered as it is, with `status` and `headers`. head_delay_seconds: before the head; gap_seconds: before each
    event of a stream. cut_after, stall_after, error_after: after so many words of a stream the connection breaks,
    nothing comes any more, or an error event comes. burst: a stream in one write. reports_usage: else nobody is told.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    words: tuple[str, ...] = WORDS
    head_delay_seconds: float = 0
    gap_seconds: float = 0
    cut_after: int | None = None
    stall_after: int | None = None
    error_after: int | None = None
    burst: bool = False
    reports_usage: bool = True


@dataclass(slots=True)
class Seen:
    """One request, and what became of it: `aborted` when the caller closed the connection before the end.

    headers: by lower-case name.
    """

    headers: Mapping[str, str]
    body: dict[str, Any]
    tokens_sent: int = 0
    aborted: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class FakeProvider:
    """The server; `base_url` is what a deployment's `api_base` names."""

    def __init__(self) -> None:
        self.base_url = ""
        self.seen: list[Seen] = []
        self._behaviours: dict[str, list[Behaviour]] = {}

    def behave(self, model: str, *behaviours: Behaviour) -> None:
        """Answer calls for a model so, in this order; the last one stays."""
        self._behaviours[model] = list(behaviours)

    def forget(self) -> None:
        """Be as at first."""
        self.seen = []
        self._behaviours = {}

    async def start(self) -> web.AppRunner:
        app = web.Application(client_max_size=128 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._answer)
        # Embeddings and rerank: a vector for every input, the documents in their order.
        app.router.add_post("/v1/embeddings", self._answer)
        app.router.add_post("/v1/rerank", self._answer)
        # Anthropic's path: what is answered there is given whole, as a `body`.
        app.router.add_post("/v1/messages", self._answer)
        # Bedrock's, which says the model in the path; answered in the same way.
        app.router.add_post("/model/{model}/{operation}", self._answer)
        # The handler is told when the caller goes away.
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(headers=headers, body=await request.json())
        self.seen.append(seen)
        waiting = self._behaviours.get(request.match_info.get("model") or seen.body["model"]) or [Behaviour()]
        behaviour = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        try:
            await asyncio.sleep(behaviour.head_delay_seconds)
            if behaviour.body is not None or behaviour.status != 200:
                return web.Response(status=behaviour.status, headers=behaviour.headers, body=behaviour.body or b"{}")
            if seen.body.get("stream"):
                return await self._stream(request, seen, behaviour)
            return self._whole(seen, behaviour)
        except (asyncio.CancelledError, ConnectionError):
            seen.aborted = True
            raise
        finally:
            seen.ended.set()

    def _whole(self, seen: Seen, behaviour: Behaviour) -> web.Response:
        if "input" in seen.body or "documents" in seen.body:
            return web.json_response(_read(seen.body, behaviour), headers=behaviour.headers)
        words = _limited(seen, behaviour)
        seen.tokens_sent = len(words)
        message = {"role": "assistant", "content": "".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer: dict[str, Any] = {"id": "chatcmpl-fake", "object": "chat.completion", "choices": [choice]}
        if behaviour.reports_usage:
            answer["usage"] = _usage(len(words))
        return web.json_response(answer, headers=behaviour.headers)

    async def _stream(self, request: web.Request, seen: Seen, behaviour: Behaviour) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", **behaviour.headers})
        await response.prepare(request)
        await response.write(_event({"choices": [_choice({"role": "assistant", "content": ""})]}))
        words = _limited(seen, behaviour)
        if behaviour.burst:
            await response.write(b"".join(_event({"choices": [_choice({"content": word})]}) for word in words))
            seen.tokens_sent = len(words)
            words = ()
        for word in words:
            if await self._misbehaves(request, response, seen.tokens_sent, behaviour):
                return response
            await asyncio.sleep(behaviour.gap_seconds)
            await response.write(_event({"choices": [_choice({"content": word})]}))
            seen.tokens_sent += 1
        if await self._misbehaves(request, response, seen.tokens_sent, behaviour):
            return response
        await response.write(_event({"choices": [_choice({}, "stop")]}))
        if behaviour.reports_usage and seen.body.get("stream_options", {}).get("include_usage"):
            await response.write(_event({"choices": [], "usage": _usage(seen.tokens_sent)}))
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _misbehaves(
        self, request: web.Request, response: web.StreamResponse, sent: int, behaviour: Behaviour
    ) -> bool:
        if sent == behaviour.error_after:
            await response.write(_event({"error": {"message": "It broke.", "type": "server_error", "code": None}}))
        elif sent == behaviour.cut_after:
            assert request.transport is not None
            request.transport.close()
        elif sent == behaviour.stall_after:
            await asyncio.sleep(3600)
        else:
            return False
        return True


def _read(body: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """The answer to embeddings or a rerank."""
    usage = {"usage": {"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS}} if behaviour.reports_usage else {}
    if "documents" in body:
        results = [{"index": at, "relevance_score": 1 / (at + 1)} for at in range(len(body["documents"]))]
        return {"id": "rerank-fake", "results": results, **usage}
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    rows = [{"object": "embedding", "index": at, "embedding": list(VECTOR)} for at in range(len(inputs))]
    return {"object": "list", "model": body["model"], "data": rows, **usage}


def _limited(seen: Seen, behaviour: Behaviour) -> tuple[str, ...]:
    limit = seen.body.get("max_completion_tokens") or seen.body.get("max_tokens")
    return behaviour.words[:limit]


def _usage(output_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": output_tokens,
        "total_tokens": INPUT_TOKENS + output_tokens,
    }


def _choice(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _event(chunk: dict[str, Any]) -> bytes:
    return (
        b"data: " + json.dumps({"id": "chatcmpl-fake", "object": "chat.completion.chunk", **chunk}).encode() + b"\n\n"
    )


@pytest.fixture(scope="session")
async def provider_server() -> AsyncIterator[FakeProvider]:
    """The session's provider, for gateways that outlive a test; tests ask for `fake_provider`."""
    provider = FakeProvider()
    runner = await provider.start()
    yield provider
    await runner.cleanup()


@pytest.fixture
def fake_provider(provider_server: FakeProvider) -> FakeProvider:
    """A provider that has seen nothing yet and behaves well."""
    provider_server.forget()
    return provider_server
