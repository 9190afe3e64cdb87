"""Whole answers: Converse's message as a chat completion, its citations in Converse's form too."""

from __future__ import annotations

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, invalid_response, read_answer
from router.wire.bedrock.address import model_of
from router.wire.bedrock.answered import FINISH_REASONS, Citations, ServiceTier, Usage
from router.wire.bedrock.errors import decode_error, is_error
from router.wire.chat import (
    Choice,
    Completion,
    Function,
    Message,
    ThinkingBlock,
    ToolCall,
    answer_id,
    answer_of,
    arguments_of,
)
from router.wire.json_tool import JSON_TOOL

# Calls of Bedrock's own tools: it has run them itself, and the caller has no part in them.
SERVER_TOOL = "server_tool_use"


class _ToolUse(msgspec.Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    type: str | None = None


class _ReasoningText(msgspec.Struct):
    text: str | None = None
    signature: str | None = None


class _ReasoningContent(msgspec.Struct, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None


class _Generated(msgspec.Struct):
    text: str | None = None


class _CitationsContent(msgspec.Struct):
    content: list[_Generated] = []
    citations: list[msgspec.Raw] = []


class _Block(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _ReasoningContent | None = None
    citations_content: _CitationsContent | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None


class _Output(msgspec.Struct):
    message: _Message | None = None


class _Answered(msgspec.Struct, rename="camel"):
    output: _Output | None = None
    stop_reason: str | None = None
    usage: Usage | None = None
    service_tier: ServiceTier | None = None


_decoder = msgspec.json.Decoder(_Answered)


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970, which Bedrock does not tell."""
    answered = read_answer(_decoder, body, deployment, "a message")
    said = answered.output.message if answered.output else None
    if said is None or said.content is None:
        if is_error(body):
            raise decode_error(200, {}, body, deployment)
        raise invalid_response(deployment, "it has no content")
    message = _message(said.content)
    usage = answered.usage.tokens(answered.service_tier) if answered.usage else None
    finish_reason = FINISH_REASONS.get(answered.stop_reason or "", "stop")
    if finish_reason == "tool_calls" and not message.tool_calls:
        # The only call was of the tool that stands in for the answer.
        finish_reason = "stop"
    choice = Choice(0, message, finish_reason)
    completion = Completion(answer_id(b"%d" % created + body), created, model_of(deployment), [choice])
    return answer_of(completion, usage)


def _message(blocks: list[_Block]) -> Message:
    """Results of Bedrock's own tools, pictures, and kinds that are not known yet, have no counterpart: left out."""
    message = Message(None)
    citations = Citations()
    texts: list[str] = []
    thoughts: list[str] = []
    at = 0
    for block in blocks:
        text = _text(block)
        if text is not None:
            texts.append(text)
            for citation in block.citations_content.citations if block.citations_content else ():
                citations.add(citation, at, at + len(text))
            at += len(text)
        elif block.tool_use is not None and block.tool_use.type != SERVER_TOOL:
            function = Function(arguments_of(block.tool_use.input), block.tool_use.name)
            message.tool_calls.append(ToolCall("function", function, id=block.tool_use.tool_use_id))
        elif block.reasoning_content is not None:
            thoughts += _think(message, block.reasoning_content)
    if texts or not message.tool_calls:
        message.content = "".join(texts)
    message.reasoning_content = "".join(thoughts)
    message.citations, message.annotations = citations.raw, citations.annotations
    return message


def _text(block: _Block) -> str | None:
    if block.citations_content is not None:
        return "".join(piece.text or "" for piece in block.citations_content.content)
    if block.tool_use is not None and block.tool_use.name == JSON_TOOL:
        return arguments_of(block.tool_use.input)
    return block.text


def _think(message: Message, reasoning: _ReasoningContent) -> list[str]:
    """Keeps the block for the caller to send back; what of it is readable."""
    if reasoning.redacted_content is not None:
        message.thinking_blocks.append(ThinkingBlock("redacted_thinking", data=reasoning.redacted_content))
    said = reasoning.reasoning_text
    if said is None:
        return []
    message.thinking_blocks.append(ThinkingBlock("thinking", said.text or "", said.signature))
    return [said.text or ""]
