"""Whole answers: a message of Ollama's as a chat completion."""

from __future__ import annotations

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, invalid_response
from router.wire.chat import ChatUsage, Choice, Completion, Function, Message, ToolCall
from router.wire.ollama.answered import Answered, Ids, answered_decoder
from router.wire.openai.errors import decode_stream_error


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970."""
    try:
        answered = answered_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid_response(deployment, f"it is not a message ({error})") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid_response(deployment, "it is not JSON") from None
    if answered.error is not None:
        raise decode_stream_error(body, deployment)
    if answered.message is None:
        raise invalid_response(deployment, "it has no message")
    ids = Ids(created)
    message = _message(answered, ids)
    usage = answered.usage()
    finish_reason = answered.finish_reason(calls=bool(message.tool_calls))
    completion = Completion(
        id=ids.of_answer(answered),
        created=created,
        model=answered.model or deployment.provider_model,
        choices=[Choice(0, message, finish_reason, answered.weighed())],
        usage=ChatUsage.of(usage) if usage is not None else None,
    )
    return Answer(
        body=msgspec.json.encode(completion),
        usage=usage,
        content_bytes=message.size(),
        finish_reason=finish_reason,
    )


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
