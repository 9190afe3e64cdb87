"""A conversation in Chat Completions as version 1 has it: a preamble, a history, and what is new.

What is new is the last message of a user, or the results of the tools that the last turn called; all before it is the
history. Calls have no ids there: a result repeats its call.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from router.wire.asked import Content, Message, ToolCall, arguments_in, not_sent, text_of
from router.wire.members import invalid

_PROVIDER = "version 1 of Cohere's Chat"


class _Call(msgspec.Struct):
    name: str
    parameters: dict[str, msgspec.Raw]


class _Result(msgspec.Struct):
    """outputs: objects of the caller's."""

    call: _Call
    outputs: list[msgspec.Raw]


class Turn(msgspec.Struct, omit_defaults=True):
    """What one side says. message: None for results only."""

    role: str
    message: str | None = None
    tool_calls: list[_Call] | None = None
    tool_results: list[_Result] | None = None


class Conversation(msgspec.Struct):
    """message: empty where results are what is new."""

    preamble: str
    history: list[Turn]
    message: str
    results: list[_Result]


_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def conversation_of(messages: Sequence[Message]) -> Conversation:
    """Raises GatewayError (INVALID_REQUEST)."""
    preambles: list[str] = []
    turns: list[Turn] = []
    calls: dict[str, _Call] = {}
    for at, message in enumerate(messages):
        param = f"messages[{at}]"
        match message.role:
            case "system" | "developer":
                preambles.append(_text(message.content, f"{param}.content"))
            case "user":
                turns.append(Turn("USER", _text(message.content, f"{param}.content")))
            case "assistant":
                turns.append(_said(message, param, calls))
            case "tool":
                _add_result(turns, _result(message, param, calls))
            case role:
                raise invalid(f"Invalid {param}.role: {_PROVIDER} knows no role {role!r}.", f"{param}.role")
    preamble = "\n".join(preambles)
    last = turns[-1] if turns else None
    if last is not None and last.role == "USER":
        return Conversation(preamble, turns[:-1], last.message or "", [])
    if last is not None and last.tool_results:
        return Conversation(preamble, turns[:-1], "", last.tool_results)
    return Conversation(preamble, turns, "", [])


def _said(message: Message, param: str, calls: dict[str, _Call]) -> Turn:
    content = message.content if message.content is not None else message.refusal
    made: list[_Call] = []
    for at, call in enumerate(message.tool_calls or ()):
        made.append(_call(call, f"{param}.tool_calls[{at}]"))
        calls[call.id] = made[-1]
    return Turn("CHATBOT", _text(content, f"{param}.content"), made or None)


def _call(call: ToolCall, param: str) -> _Call:
    return _Call(call.function.name, arguments_in(call, param))


def _result(message: Message, param: str, calls: dict[str, _Call]) -> _Result:
    call = calls.get(message.tool_call_id or "")
    if call is None:
        raise invalid(f"Invalid {param}.tool_call_id: no message before it has this call.", f"{param}.tool_call_id")
    text = _text(message.content, f"{param}.content")
    try:
        # Cohere takes objects only.
        output = msgspec.json.encode(_object_decoder.decode(text))
    except (msgspec.DecodeError, RecursionError):
        output = msgspec.json.encode({"output": text})
    return _Result(call, [msgspec.Raw(output)])


def _add_result(turns: list[Turn], result: _Result) -> None:
    """Results of one turn's calls are one turn."""
    if not turns or turns[-1].role != "TOOL":
        turns.append(Turn("TOOL"))
    turns[-1].tool_results = [*(turns[-1].tool_results or ()), result]


def _text(content: Content, param: str) -> str:
    if not isinstance(content, list):
        return content or ""
    texts: list[str] = []
    for at, part in enumerate(content):
        text = text_of(part, f"{param}[{at}]")
        if text is None:
            raise not_sent(part, f"{param}[{at}]", _PROVIDER)
        texts.append(text)
    return "".join(texts)
