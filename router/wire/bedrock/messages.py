"""A conversation in Chat Completions as Converse's: the system prompt apart, then turns of the user and the assistant.

System and developer messages become the system prompt, wherever they stand, in their order. Results of tools are part
of a user's turn. Neighbours of one role become one turn, as the API demands.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from router.wire.asked import Message, RedactedThinkingBlock, ThinkingBlock
from router.wire.bedrock.content import Block, DocumentNames, blocks_of, cache_point, texts_of
from router.wire.bedrock.models import is_claude, takes_unsigned_thinking
from router.wire.bedrock.tools import clean_id, tool_use
from router.wire.members import invalid


class Turn(msgspec.Struct):
    """What one side says, in one piece."""

    role: str
    content: list[Block]


class Conversation(msgspec.Struct):
    """system: empty when there is none. called: names of the tools in its calls, each once. in_tool_loop: the last word
    is the result of a tool, and the call of it came without the thinking that led to it."""

    system: list[Block]
    turns: list[Turn]
    called: list[str]
    in_tool_loop: bool


def conversation_of(messages: Sequence[Message], model: str) -> Conversation:
    """Raises GatewayError (INVALID_REQUEST)."""
    system: list[Block] = []
    turns: list[Turn] = []
    names = DocumentNames()
    for at, message in enumerate(messages):
        param = f"messages[{at}]"
        if message.role in ("system", "developer"):
            system += _marked(texts_of(message.content, f"{param}.content"), message)
            continue
        role, blocks = _turn(message, param, names, model)
        if turns and turns[-1].role == role:
            turns[-1].content += blocks
        elif blocks:
            turns.append(Turn(role, blocks))
    if is_claude(model):
        _trim_end(turns)
    called = {call.function.name: None for message in messages for call in message.tool_calls or ()}
    return Conversation(system, turns, list(called), in_tool_loop=_in_unexplained_tool_loop(turns))


def _trim_end(turns: Sequence[Turn]) -> None:
    """Of an answer that has been begun: Claude refuses one that ends with blanks."""
    last = turns[-1].content[-1] if turns and turns[-1].role == "assistant" else {}
    text = last.get("text")
    if isinstance(text, str):
        last["text"] = text.rstrip() or text


def _turn(message: Message, param: str, names: DocumentNames, model: str) -> tuple[str, list[Block]]:
    match message.role:
        case "user":
            blocks = blocks_of(message.content, f"{param}.content", names)
        case "assistant":
            return "assistant", _marked(_said(message, param, names, model), message)
        case "tool" | "function":
            blocks = [_tool_result(message, param, names)]
        case _:
            roles = "system, developer, user, assistant or tool"
            raise invalid(f"Invalid {param}.role: it must be {roles}.", f"{param}.role")
    return "user", _marked(blocks, message)


def _said(message: Message, param: str, names: DocumentNames, model: str) -> list[Block]:
    """The assistant's own turn: its thinking first, which must come back as it was, then its words, then its calls."""
    unsigned = takes_unsigned_thinking(model)
    blocks: list[Block] = [_thought(block) for block in message.thinking_blocks or () if unsigned or _is_signed(block)]
    blocks += blocks_of(message.content or message.refusal, f"{param}.content", names)
    for at, call in enumerate(message.tool_calls or ()):
        blocks += [tool_use(call, f"{param}.tool_calls[{at}]"), *cache_point(call.cache_control)]
    return blocks


def _thought(block: ThinkingBlock | RedactedThinkingBlock) -> Block:
    if isinstance(block, RedactedThinkingBlock):
        return {"reasoningContent": {"redactedContent": block.data}}
    text = {"text": block.thinking, **({"signature": block.signature} if block.signature else {})}
    return {"reasoningContent": {"reasoningText": text}}


def _is_signed(block: ThinkingBlock | RedactedThinkingBlock) -> bool:
    return isinstance(block, RedactedThinkingBlock) or bool(block.signature)


def _tool_result(message: Message, param: str, names: DocumentNames) -> Block:
    if message.tool_call_id is None:
        raise invalid(f"{param}.tool_call_id is missing.", f"{param}.tool_call_id")
    content: list[Block]
    if isinstance(message.content, str):
        content = [{"text": message.content}]
    else:
        content = blocks_of(message.content, f"{param}.content", names)
        # Marks of the cache stand behind a result, not in it.
        content = [block for block in content if "cachePoint" not in block] or [{"text": ""}]
    return {"toolResult": {"toolUseId": clean_id(message.tool_call_id), "content": content}}


def _marked(blocks: list[Block], message: Message) -> list[Block]:
    """A mark on a message is a mark on the last thing in it."""
    if message.cache_control is None or not blocks or "cachePoint" in blocks[-1]:
        return blocks
    return blocks + cache_point(message.cache_control)


def _in_unexplained_tool_loop(turns: Sequence[Turn]) -> bool:
    if len(turns) < 2 or not any("toolResult" in block for block in turns[-1].content):
        return False
    return "reasoningContent" not in turns[-2].content[0]
