"""Whole answers: a message of Anthropic's as a chat completion, its citations in Anthropic's form too."""

from __future__ import annotations

import msgspec

from router.catalog import Deployment
from router.wire.anthropic.answered import FINISH_REASONS, Citations, StopDetails, Usage
from router.wire.anthropic.errors import decode_stream_error
from router.wire.base import Answer, invalid_response, read_answer
from router.wire.chat import Choice, Completion, Function, Message, ThinkingBlock, ToolCall, answer_of, arguments_of
from router.wire.json_tool import JSON_TOOL


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


_decoder = msgspec.json.Decoder(_Answered)


def _is_answer(block: _Block) -> bool:
    """Whether it is a call of the tool that stands in for the answer."""
    return block.type == "tool_use" and block.name == JSON_TOOL


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970, which Anthropic does not tell."""
    answered = read_answer(_decoder, body, deployment, "a message")
    if answered.type == "error":
        raise decode_stream_error(body, deployment)
    if answered.content is None:
        raise invalid_response(deployment, "it has no content")
    message = _message(answered.content)
    if answered.stop_details is not None:
        message.refusal = answered.stop_details.explanation
    usage = answered.usage.tokens() if answered.usage else None
    finish_reason = FINISH_REASONS.get(answered.stop_reason or "", "stop")
    if finish_reason == "tool_calls" and not message.tool_calls and any(map(_is_answer, answered.content)):
        finish_reason = "stop"
    completion = Completion(answered.id, created, answered.model, [Choice(0, message, finish_reason)])
    return answer_of(completion, usage)


def _message(blocks: list[_Block]) -> Message:
    """Blocks of server tools, and kinds that are not known yet, have no counterpart and are left out."""
    message = Message(None)
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
            case "tool_use" if _is_answer(block):
                texts.append(arguments_of(block.input))
                at += len(texts[-1])
            case "tool_use":
                function = Function(arguments_of(block.input), block.name or "")
                message.tool_calls.append(ToolCall("function", function, id=block.id or ""))
    if texts or not message.tool_calls:
        message.content = "".join(texts)
    message.reasoning_content = "".join(thoughts)
    message.citations, message.annotations = citations.raw, citations.annotations
    return message
