"""Deployments that answer without a provider: `mock_response` in the configuration.

What they answer is made as a provider's bytes and goes through the same wire, so that limits, streams and accounting
are those of any other deployment. An input of embeddings gets the vector VECTOR, a document of a rerank the score 0.5,
whatever the text is. Usage is LiteLLM's: 10 tokens in, 20 out, but never more than the limit that the
request carries.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from router.catalog import Deployment
from router.transport import MAX_BODY_BYTES, Response
from router.wire.base import HttpRequest

INPUT_TOKENS = 10
OUTPUT_TOKENS = 20

# `mock_response: litellm.RateLimitError` fails as a provider would that makes LiteLLM raise it.
_FAILURES: Mapping[str, tuple[int, str]] = {
    "litellm.AuthenticationError": (401, "invalid_api_key"),
    "litellm.BadRequestError": (400, "invalid_request_error"),
    "litellm.ContentPolicyViolationError": (400, "content_policy_violation"),
    "litellm.ContextWindowExceededError": (400, "context_length_exceeded"),
    "litellm.InternalServerError": (500, "server_error"),
    "litellm.NotFoundError": (404, "model_not_found"),
    "litellm.RateLimitError": (429, "rate_limit_exceeded"),
    "litellm.ServiceUnavailableError": (503, "server_error"),
    "litellm.Timeout": (408, "timeout"),
}

_WORDS = re.compile(r"\s*\S+|\s+")
_encode = msgspec.json.encode


VECTOR = (0.25, 0.5, -0.5)


class _Asked(msgspec.Struct):
    model: str = ""
    stream: bool | None = None
    max_tokens: int | float | None = None
    max_completion_tokens: int | float | None = None
    input: str | list[msgspec.Raw] | None = None
    documents: list[msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class MockAnswer:
    """What a mock deployment answers: a whole HTTP response, in the pieces that it comes in."""

    status: int
    headers: Mapping[str, str]
    pieces: tuple[bytes, ...] = field(repr=False)


def answer(request: HttpRequest, text: str, *, id_hex: str, created: int) -> MockAnswer:
    """The response to a Chat Completions request. `id_hex` follows `chatcmpl-`; `created` is seconds since 1970."""
    if text in _FAILURES:
        status, code = _FAILURES[text]
        said = {"error": {"message": f"Mock {code}: {text}.", "type": code, "param": None, "code": code}}
        return MockAnswer(status, {"content-type": "application/json"}, (_encode(said),))
    try:
        asked = msgspec.json.decode(request.body, type=_Asked)
    except msgspec.ValidationError as error:
        return MockAnswer(400, {"content-type": "application/json"}, (_encode({"error": {"message": str(error)}}),))
    if asked.input is not None or asked.documents is not None:
        return MockAnswer(200, {"content-type": "application/json"}, (_encode(_reading(asked)),))
    limit = asked.max_completion_tokens or asked.max_tokens or OUTPUT_TOKENS
    output_tokens = max(0, min(OUTPUT_TOKENS, int(limit)))
    usage = {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": output_tokens,
        "total_tokens": INPUT_TOKENS + output_tokens,
    }
    base = {"id": f"chatcmpl-{id_hex}", "created": created, "model": asked.model}
    if not asked.stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        whole = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
        return MockAnswer(200, {"content-type": "application/json"}, (_encode(whole),))
    return MockAnswer(200, {"content-type": "text/event-stream"}, _events(base, text, usage))


def _reading(asked: _Asked) -> dict[str, object]:
    """The answer to embeddings or a rerank."""
    said: dict[str, object] = {
        "model": asked.model,
        "usage": {"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS},
    }
    if asked.documents is not None:
        return {**said, "results": [{"index": at, "relevance_score": 0.5} for at in range(len(asked.documents))]}
    inputs = 1 if isinstance(asked.input, str) else len(asked.input or ())
    rows = [{"object": "embedding", "index": index, "embedding": VECTOR} for index in range(inputs)]
    return {**said, "object": "list", "data": rows}


def _events(base: Mapping[str, object], text: str, usage: Mapping[str, int]) -> tuple[bytes, ...]:
    """The text word by word, then its end, the usage and the terminator."""
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in _WORDS.findall(text)]
    deltas.append(({}, "stop"))
    chunk = {**base, "object": "chat.completion.chunk"}
    chunks: list[dict[str, object]] = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} for delta, finish in deltas
    ]
    chunks.append({**chunk, "choices": [], "usage": usage})
    return (*(b"data: " + _encode(each) + b"\n\n" for each in chunks), b"data: [DONE]\n\n")


class _MockResponse:
    def __init__(self, mocked: MockAnswer) -> None:
        self.status = mocked.status
        self.headers = mocked.headers
        self._pieces = iter(mocked.pieces)

    async def chunk(self) -> bytes:
        return next(self._pieces, b"")

    async def read(self, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        return b"".join(self._pieces)


class MockTransport:
    """`router.transport.Transport` for deployments with a `mock_response`."""

    def __init__(self, new_id: Callable[[], str], clock: Callable[[], float]) -> None:
        self._new_id = new_id
        self._clock = clock

    @asynccontextmanager
    async def open(
        self, request: HttpRequest, deployment: Deployment, *, timeout_seconds: float
    ) -> AsyncIterator[Response]:
        text = deployment.mock_response or ""
        yield _MockResponse(answer(request, text, id_hex=self._new_id(), created=int(self._clock())))
