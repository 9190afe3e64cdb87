"""A conversation in Chat Completions as Ollama's: plain texts, with pictures, thinking and calls beside them.

Calls have no ids there: a result belongs to its call by the tool's name and by its place, so results keep their order
and get the name of the call that their id stands for.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from router.wire.asked import (
    Content,
    Message,
    Part,
    ToolCall,
    arguments_in,
    medium_of,
    not_sent,
    text_of,
    thoughts_of,
)
from router.wire.members import invalid

_PROVIDER = "Ollama"
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


class _Function(msgspec.Struct):
    name: str
    arguments: dict[str, msgspec.Raw]


class _Call(msgspec.Struct, tag_field="type", tag="function"):
    function: _Function


class Turn(msgspec.Struct, omit_defaults=True):
    """A message. images: in base64; tool_name: whose result it is."""

    role: str
    content: str
    images: list[str] | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str | None = None


def turns_of(messages: Sequence[Message]) -> list[Turn]:
    """Raises GatewayError (INVALID_REQUEST)."""
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for at, message in enumerate(messages):
        param = f"messages[{at}]"
        role = _ROLES.get(message.role)
        if role is None:
            raise invalid(f"Invalid {param}.role: {_PROVIDER} knows no role {message.role!r}.", f"{param}.role")
        turn = Turn(role, *_text_and_images(message.content, f"{param}.content"))
        if role == "assistant":
            turn.content = turn.content or message.refusal or ""
            turn.thinking = thoughts_of(message) or None
            calls = message.tool_calls or ()
            turn.tool_calls = [_call(call, f"{param}.tool_calls[{n}]") for n, call in enumerate(calls)] or None
            names.update((call.id, call.function.name) for call in calls)
        elif role == "tool":
            turn.tool_name = message.name or names.get(message.tool_call_id or "")
        turns.append(turn)
    return turns


def _text_and_images(content: Content, param: str) -> tuple[str, list[str] | None]:
    if not isinstance(content, list):
        return content or "", None
    texts: list[str] = []
    images: list[str] = []
    for at, part in enumerate(content):
        text = text_of(part, f"{param}[{at}]")
        if text is None:
            images.append(_image(part, f"{param}[{at}]"))
        else:
            texts.append(text)
    return "".join(texts), images or None


def _image(part: Part, param: str) -> str:
    medium = medium_of(part, param, _PROVIDER)
    if medium.kind == "audio" or (medium.kind == "file" and not medium.media_type.startswith("image/")):
        raise not_sent(part, param, _PROVIDER)
    if medium.url:
        raise invalid(f"Invalid {medium.param}: {_PROVIDER} fetches no pictures; send the data.", medium.param)
    return medium.data


def _call(call: ToolCall, param: str) -> _Call:
    return _Call(_Function(call.function.name, arguments_in(call, param)))
