"""Whole answers: a message of Cohere's as a chat completion, its citations in Cohere's form too.

A tool plan, the words before a call of tools, is the content, as it is with models that have no name for it.
"""

from __future__ import annotations

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, invalid_response, read_answer
from router.wire.chat import Choice, Completion, Function, Message, ToolCall, answer_of
from router.wire.cohere.answered import FINISH_REASONS, Citations, TokenLogprobs, Usage, logprobs_of
from router.wire.cohere.errors import decode_stream_error, unfinished


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    thinking: str | None = None


class _Called(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Called | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None
    tool_plan: str | None = None
    tool_calls: list[_Call] | None = None
    citations: list[msgspec.Raw] | None = None


class _Answered(msgspec.Struct):
    id: str = ""
    # A text is what Cohere says of an error.
    message: _Message | str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    logprobs: list[TokenLogprobs] | None = None


_decoder = msgspec.json.Decoder(_Answered)


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970, which Cohere does not tell."""
    answered = read_answer(_decoder, body, deployment, "a message")
    if isinstance(answered.message, str):
        raise decode_stream_error(body, deployment)
    if answered.message is None:
        raise invalid_response(deployment, "it has no message")
    failure = unfinished(answered.finish_reason, None, deployment)
    if failure is not None:
        raise failure
    message = _message(answered.message)
    usage = answered.usage or Usage()
    counted = usage.counted()
    finish_reason = FINISH_REASONS.get(answered.finish_reason or "", "stop")
    choice = Choice(0, message, finish_reason, logprobs_of(answered.logprobs or ()))
    completion = Completion(answered.id, created, deployment.provider_model, [choice])
    return answer_of(completion, usage.billed(), counted)


def _message(given: _Message) -> Message:
    """Kinds of block that are not known yet have no counterpart and are left out."""
    message = Message(None)
    texts = [given.tool_plan] if given.tool_plan else []
    at = len(given.tool_plan or "")
    starts: dict[int, int] = {}
    for index, block in enumerate(given.content or ()):
        if block.type == "text":
            starts[index] = at
            texts.append(block.text or "")
            at += len(block.text or "")
        elif block.type == "thinking":
            message.reasoning_content += block.thinking or ""
    for call in given.tool_calls or ():
        called = call.function or _Called()
        function = Function(called.arguments or "{}", called.name or "")
        message.tool_calls.append(ToolCall("function", function, id=call.id or ""))
    if texts or not message.tool_calls:
        message.content = "".join(texts)
    citations = Citations()
    for citation in given.citations or ():
        citations.add(citation, starts)
    message.citations, message.annotations = citations.raw, citations.annotations
    return message
