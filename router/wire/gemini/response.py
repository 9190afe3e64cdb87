"""Whole answers: Gemini's candidates as the choices of a chat completion."""

from __future__ import annotations

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, invalid_response, read_answer
from router.wire.chat import Choice, Completion, Function, Message, ToolCall, answer_of, arguments_of
from router.wire.gemini import media, signatures
from router.wire.gemini.answered import (
    Answered,
    GivenCall,
    GivenCandidate,
    GivenPart,
    blocked_usage,
    call_id,
    decoder,
    finish_reason_of,
    logprobs_of,
)
from router.wire.gemini.errors import decode_stream_error
from router.wire.gemini.grounding import Grounds, metadata_of


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970, which Gemini does not always tell."""
    answered = read_answer(decoder, body, deployment, "an answer of Gemini's")
    if answered.error is not msgspec.UNSET:
        raise decode_stream_error(body, deployment)
    usage = answered.usage_metadata.tokens() if answered.usage_metadata else None
    if answered.is_blocked():
        usage = blocked_usage(usage)
        choices = [Choice(0, Message("", refusal=answered.refusal()), "content_filter")]
    elif answered.candidates:
        answer_id = answered.response_id or str(created)
        choices = _Choices(answer_id).of(answered)
    else:
        raise invalid_response(deployment, "it has no candidates")
    completion = Completion(answered.response_id, created, answered.model_version or deployment.provider_model, choices)
    return answer_of(completion, usage)


class _Choices:
    """The choices of one answer; its calls are numbered through all of them."""

    def __init__(self, answer_id: str) -> None:
        self._answer_id = answer_id
        self._calls = 0

    def of(self, answered: Answered) -> list[Choice]:
        return [self._choice(at, candidate) for at, candidate in enumerate(answered.candidates or ())]

    def _choice(self, at: int, candidate: GivenCandidate) -> Choice:
        message = self._message(candidate)
        reason = finish_reason_of(candidate.finish_reason or "", has_calls=bool(message.tool_calls))
        if reason == "content_filter":
            message.refusal = candidate.finish_message
        logprobs = candidate.logprobs_result
        return Choice(
            at if candidate.index is None else candidate.index,
            message,
            reason,
            msgspec.Raw(msgspec.json.encode(logprobs_of(logprobs))) if logprobs is not None else None,
        )

    def _message(self, candidate: GivenCandidate) -> Message:
        message = Message(None)
        texts: list[str] = []
        thoughts: list[str] = []
        extra = metadata_of(candidate)
        for part in candidate.parts():
            text = part.text or ""
            (thoughts if part.thought else texts).append(text)
            if part.thought:
                texts.append("")
            self._add(part, message)
            if part.thought_signature and part.function_call is None:
                own, message.extra_content = signatures.for_message(part.thought_signature)
                extra |= own
        said = "".join(texts)
        if said or not message.tool_calls:
            message.content = said
        message.reasoning_content = "".join(thoughts)
        message.annotations = Grounds().annotations(candidate, texts)
        message.provider_specific_fields = extra or None
        return message

    def _add(self, part: GivenPart, message: Message) -> None:
        """What is neither text nor thought."""
        if part.function_call is not None:
            message.tool_calls.append(self._call(part.function_call, part.thought_signature))
        elif part.inline_data is not None:
            image = media.image_of(part.inline_data, len(message.images))
            audio = media.audio_of(part.inline_data, self._answer_id)
            if image is not None:
                message.images.append(image)
            elif audio is not None:
                message.audio = media.joined(message.audio, audio) if message.audio is not None else audio

    def _call(self, given: GivenCall, signature: str | None) -> ToolCall:
        function = Function(arguments_of(given.args), given.name)
        specific, extra = signatures.for_call(signature)
        identity = call_id(given, self._answer_id, self._calls)
        self._calls += 1
        call = ToolCall("function", function, id=identity)
        call.provider_specific_fields, call.extra_content = specific, extra
        return call
