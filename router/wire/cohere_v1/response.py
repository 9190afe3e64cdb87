"""Whole answers of version 1 as chat completions, their citations in Cohere's form too."""

from __future__ import annotations

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, invalid_response
from router.wire.chat import ChatUsage, Choice, Completion, Function, Message, ToolCall
from router.wire.cohere.answered import FINISH_REASONS, Usage
from router.wire.cohere.errors import decode_stream_error, unfinished
from router.wire.cohere_v1.answered import Answered, Citations
from router.wire.cohere_v1.request import PREFIX

_decoder = msgspec.json.Decoder(Answered)


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970, which Cohere does not tell."""
    try:
        answered = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid_response(deployment, f"it is not an answer ({error})") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid_response(deployment, "it is not JSON") from None
    if answered.text is None and answered.message is not None:
        raise decode_stream_error(body, deployment)
    if answered.text is None and not answered.tool_calls:
        raise invalid_response(deployment, "it has no text")
    failure = unfinished(answered.finish_reason, None, deployment)
    if failure is not None:
        raise failure
    message = _message(answered)
    usage = answered.meta or Usage()
    counted = usage.counted()
    finish_reason = finish_reason_of(answered.finish_reason, calls=bool(message.tool_calls))
    completion = Completion(
        id=answered.generation_id or "",
        created=created,
        model=deployment.provider_model.removeprefix(PREFIX),
        choices=[Choice(0, message, finish_reason)],
        usage=ChatUsage.of(counted) if counted is not None else None,
    )
    return Answer(
        body=msgspec.json.encode(completion),
        usage=usage.billed(),
        content_bytes=message.size(),
        finish_reason=finish_reason,
    )


def finish_reason_of(given: str | None, *, calls: bool) -> str:
    """calls: the answer has calls of tools, which version 1 does not take for a reason to stop."""
    found = FINISH_REASONS.get(given or "", "stop")
    return "tool_calls" if calls and found == "stop" else found


def _message(answered: Answered) -> Message:
    calls = [
        ToolCall("function", Function(call.arguments(), call.name), id=call.made_id(answered.generation_id or "", at))
        for at, call in enumerate(answered.tool_calls or ())
    ]
    citations = Citations.of(answered.citations or (), answered.documents or ())
    return Message(
        answered.text or ("" if not calls else None),
        tool_calls=calls,
        annotations=citations.annotations,
        citations=citations.raw,
    )
