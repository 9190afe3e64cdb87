"""Whole answers: a message of Ollama's as a chat completion."""

from __future__ import annotations

from router.catalog import Deployment
from router.wire.base import Answer, invalid_response, read_answer
from router.wire.chat import Choice, Completion, Function, Message, ToolCall, answer_of
from router.wire.ollama.answered import Answered, Ids, answered_decoder
from router.wire.openai.errors import decode_stream_error


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970."""
    answered = read_answer(answered_decoder, body, deployment, "a message")
    if answered.error is not None:
        raise decode_stream_error(body, deployment)
    if answered.message is None:
        raise invalid_response(deployment, "it has no message")
    ids = Ids(created)
    message = _message(answered, ids)
    usage = answered.usage()
    finish_reason = answered.finish_reason(calls=bool(message.tool_calls))
    choice = Choice(0, message, finish_reason, answered.weighed())
    completion = Completion(ids.of_answer(answered), created, answered.model or deployment.provider_model, [choice])
    return answer_of(completion, usage)


def _message(answered: Answered, ids: Ids) -> Message:
    given = answered.message
    assert given is not None
    calls = [
        ToolCall("function", Function(call.arguments(), call.function.name), id=ids.of_call(call, at, answered))
        for at, call in enumerate(given.tool_calls or ())
    ]
    # What is empty beside a call was not said.
    content = given.content or ("" if not calls else None)
    return Message(content, tool_calls=calls, reasoning_content=given.thinking or "")
