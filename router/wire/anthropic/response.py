"""Whole answers: a message of Anthropic's as a chat completion.

Beyond OpenAI's members a caller gets `reasoning_content` (the visible thinking), `thinking_blocks` (with signatures,
to be sent back in a loop of tools) and `citations` (in Anthropic's form).
"""

from __future__ import annotations

import msgspec

from router.catalog import Deployment
from router.wire.anthropic.chat import (
    FINISH_REASONS,
    Annotation,
    ChatUsage,
    Citations,
    Function,
    StopDetails,
    ThinkingBlock,
    ToolCall,
    Usage,
    arguments_of,
)
from router.wire.anthropic.errors import decode_stream_error
from router.wire.base import Answer, invalid_response


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    citations: list[msgspec.Raw] | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Answered(msgspec.Struct):
    type: str = ""
    id: str = ""
    model: str = ""
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: Usage | None = None


class _Message(msgspec.Struct, omit_defaults=True):
    content: str | None
    role: str
    refusal: str | None = None
    tool_calls: list[ToolCall] = []
    reasoning_content: str = ""
    thinking_blocks: list[ThinkingBlock] = []
    annotations: list[Annotation] = []
    citations: list[msgspec.Raw] = []


class _Choice(msgspec.Struct):
    index: int
    message: _Message
    finish_reason: str


class _Completion(msgspec.Struct, omit_defaults=True):
    id: str
    object: str
    created: int
    model: str
    choices: list[_Choice]
    usage: ChatUsage | None = None


_decoder = msgspec.json.Decoder(_Answered)


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970, which Anthropic does not tell."""
    try:
        answered = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid_response(deployment, f"it is not a message ({error})") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid_response(deployment, "it is not JSON") from None
    if answered.type == "error":
        raise decode_stream_error(body, deployment)
    if answered.content is None:
        raise invalid_response(deployment, "it has no content")
    message = _message(answered.content)
    if answered.stop_details is not None:
        message.refusal = answered.stop_details.explanation
    usage = answered.usage.tokens() if answered.usage else None
    finish_reason = FINISH_REASONS.get(answered.stop_reason or "", "stop")
    completion = _Completion(
        id=answered.id,
        object="chat.completion",
        created=created,
        model=answered.model,
        choices=[_Choice(0, message, finish_reason)],
        usage=ChatUsage.of(usage) if usage is not None else None,
    )
    return Answer(
        body=msgspec.json.encode(completion),
        usage=usage,
        content_bytes=_size(message),
        finish_reason=finish_reason,
    )


def _message(blocks: list[_Block]) -> _Message:
    """Blocks of server tools, and kinds that are not known yet, have no counterpart and are left out."""
    message = _Message(None, "assistant")
    citations = Citations()
    texts: list[str] = []
    thoughts: list[str] = []
    at = 0
    for block in blocks:
        match block.type:
            case "text":
                text = block.text or ""
                texts.append(text)
                for citation in block.citations or ():
                    citations.add(citation, at, at + len(text))
                at += len(text)
            case "thinking":
                thoughts.append(block.thinking or "")
                message.thinking_blocks.append(ThinkingBlock("thinking", block.thinking or "", block.signature))
            case "redacted_thinking":
                message.thinking_blocks.append(ThinkingBlock("redacted_thinking", data=block.data))
            case "tool_use":
                function = Function(arguments_of(block.input), block.name or "")
                message.tool_calls.append(ToolCall("function", function, id=block.id or ""))
    if texts or not message.tool_calls:
        message.content = "".join(texts)
    message.reasoning_content = "".join(thoughts)
    message.citations, message.annotations = citations.raw, citations.annotations
    return message


def _size(message: _Message) -> int:
    """Bytes of generated text."""
    texts = [message.content or "", message.reasoning_content]
    texts += [call.function.arguments for call in message.tool_calls]
    return sum(len(text.encode()) for text in texts)
