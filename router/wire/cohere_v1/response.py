"""Whole answers of version 1 as chat completions, their citations in Cohere's form too."""

from __future__ import annotations

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, invalid_response, read_answer
from router.wire.chat import Choice, Completion, Function, Message, ToolCall, answer_of
from router.wire.cohere.answered import FINISH_REASONS, Usage
from router.wire.cohere.errors import decode_stream_error, unfinished
from router.wire.cohere_v1.answered import Answered, Citations
from router.wire.cohere_v1.request import PREFIX

_decoder = msgspec.json.Decoder(Answered)


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970, which Cohere does not tell."""
    answered = read_answer(_decoder, body, deployment, "an answer")
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
    choice = Choice(0, message, finish_reason)
    completion = Completion(
        answered.generation_id or "", created, deployment.provider_model.removeprefix(PREFIX), [choice]
    )
    return answer_of(completion, usage.billed(), counted)


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
