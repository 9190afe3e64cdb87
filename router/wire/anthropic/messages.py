"""A conversation in Chat Completions as Anthropic's: the system prompt apart, then turns of users and the assistant.

System and developer messages become the system prompt, wherever they stand, in their order. Results of tools are part
of a user's turn. Neighbours of one role become one turn, as the API demands.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from router.wire.anthropic.content import Block, TextBlock, blocks_of, texts_of
from router.wire.anthropic.tools import ToolUseBlock, clean_id, tool_use
from router.wire.asked import CacheControl, Message, RedactedThinkingBlock, ThinkingBlock
from router.wire.members import invalid


class _ToolResultBlock(msgspec.Struct, tag="tool_result", omit_defaults=True):
    tool_use_id: str
    content: str | list[Block]
    cache_control: CacheControl | None = None


_Markable = Block | ToolUseBlock | _ToolResultBlock
_AnyBlock = _Markable | ThinkingBlock | RedactedThinkingBlock


class Turn(msgspec.Struct):
    """What one side says, in one piece."""

    role: str
    content: list[_AnyBlock]


class Conversation(msgspec.Struct):
    """system: empty when there is none. in_tool_loop: the last word is the result of a tool, and the call of it came
    without the thinking that led to it."""

    system: list[TextBlock]
    turns: list[Turn]
    in_tool_loop: bool


def conversation_of(messages: Sequence[Message]) -> Conversation:
    """Raises GatewayError (INVALID_REQUEST)."""
    system: list[TextBlock] = []
    turns: list[Turn] = []
    for at, message in enumerate(messages):
        param = f"messages[{at}]"
        if message.role in ("system", "developer"):
            texts = texts_of(message.content, f"{param}.content")
            _mark(texts, message.cache_control)
            system += texts
            continue
        turn = _turn(message, param)
        if turns and turns[-1].role == turn.role:
            turns[-1].content += turn.content
        elif turn.content:
            turns.append(turn)
    _trim_end(turns)
    return Conversation(system, turns, in_tool_loop=_in_unexplained_tool_loop(turns))


def _trim_end(turns: Sequence[Turn]) -> None:
    """Of an answer that has been begun: Anthropic refuses one that ends with blanks."""
    last = turns[-1].content[-1] if turns and turns[-1].role == "assistant" else None
    if isinstance(last, TextBlock):
        last.text = last.text.rstrip() or last.text


def _turn(message: Message, param: str) -> Turn:
    match message.role:
        case "user":
            blocks = blocks_of(message.content, f"{param}.content")
            _mark(blocks, message.cache_control)
            return Turn("user", list[_AnyBlock](blocks))
        case "assistant":
            return Turn("assistant", _said(message, param))
        case "tool":
            return Turn("user", [_tool_result(message, param)])
    raise invalid(f"Invalid {param}.role: Anthropic knows no role {message.role!r}.", f"{param}.role")


def _said(message: Message, param: str) -> list[_AnyBlock]:
    """The assistant's own turn: its thinking first, which must come back as it was, then its words, then its calls."""
    # Anthropic refuses thinking that it has not signed; another provider's is of no use to it.
    thinking = [block for block in message.thinking_blocks or () if not _is_unsigned(block)]
    content = message.content or message.refusal
    blocks: list[_Markable] = list[_Markable](blocks_of(content, f"{param}.content"))
    blocks += [tool_use(call, f"{param}.tool_calls[{at}]") for at, call in enumerate(message.tool_calls or ())]
    _mark(blocks, message.cache_control)
    return [*thinking, *blocks]


def _is_unsigned(block: ThinkingBlock | RedactedThinkingBlock) -> bool:
    return isinstance(block, ThinkingBlock) and not block.signature


def _tool_result(message: Message, param: str) -> _ToolResultBlock:
    if message.tool_call_id is None:
        raise invalid(f"{param}.tool_call_id is missing.", f"{param}.tool_call_id")
    content = message.content if isinstance(message.content, str) else blocks_of(message.content, f"{param}.content")
    return _ToolResultBlock(clean_id(message.tool_call_id), content, message.cache_control)


def _mark(blocks: Sequence[_Markable], cache_control: CacheControl | None) -> None:
    """A mark on a message is a mark on the last thing in it."""
    if cache_control is not None and blocks and blocks[-1].cache_control is None:
        blocks[-1].cache_control = cache_control


def _in_unexplained_tool_loop(turns: Sequence[Turn]) -> bool:
    if len(turns) < 2 or not any(isinstance(block, _ToolResultBlock) for block in turns[-1].content):
        return False
    before = turns[-2].content
    return not isinstance(before[0], ThinkingBlock | RedactedThinkingBlock)
