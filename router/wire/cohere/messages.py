"""A conversation in Chat Completions as Cohere's: one system turn at the front, then users, the assistant and tools.

System and developer messages become that one turn, wherever they stand, in their order: Cohere takes it as the first
only. Files of text become `documents`, which is where Cohere reads and cites them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from router.wire.asked import Content, Medium, Message, Part, ToolCall, medium_of, not_sent, text_of, thoughts_of
from router.wire.members import invalid

_PROVIDER = "Cohere"


class _Text(msgspec.Struct, tag="text"):
    text: str


class _Thinking(msgspec.Struct, tag="thinking"):
    thinking: str


class _ImageUrl(msgspec.Struct, omit_defaults=True):
    url: str
    detail: str | None = None


class _Image(msgspec.Struct, tag="image_url"):
    image_url: _ImageUrl


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct, tag_field="type", tag="function"):
    id: str
    function: _Function


_Part = _Text | _Thinking | _Image


class Turn(msgspec.Struct, omit_defaults=True):
    """What one side says, in one piece."""

    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Data(msgspec.Struct, omit_defaults=True):
    text: str
    title: str | None = None


class Document(msgspec.Struct):
    """Something to read and to cite. id: what citations call it."""

    id: str
    data: _Data


class Conversation(msgspec.Struct):
    """documents: the files of text that stood in the messages."""

    turns: list[Turn]
    documents: list[Document]


def conversation_of(messages: Sequence[Message]) -> Conversation:
    """Raises GatewayError (INVALID_REQUEST)."""
    system: list[str | list[_Part]] = []
    turns: list[Turn] = []
    documents: list[Document] = []
    for at, message in enumerate(messages):
        param = f"messages[{at}]"
        match message.role:
            case "system" | "developer":
                system.append(_texts(message.content, f"{param}.content"))
            case "user":
                turns.append(Turn("user", _asked(message.content, f"{param}.content", documents)))
            case "assistant":
                turns += _said(message, param)
            case "tool":
                turns.append(_tool_result(message, param))
            case role:
                raise invalid(f"Invalid {param}.role: {_PROVIDER} knows no role {role!r}.", f"{param}.role")
    return Conversation([*_system_turn(system), *turns], documents)


def _system_turn(contents: list[str | list[_Part]]) -> list[Turn]:
    if len(contents) == 1:
        return [Turn("system", contents[0])]
    parts: list[_Part] = []
    for content in contents:
        parts += [_Text(content)] if isinstance(content, str) else content
    return [Turn("system", parts)] if parts else []


def _asked(content: Content, param: str, documents: list[Document]) -> str | list[_Part]:
    """A user's content; files of text are added to the documents."""
    if not isinstance(content, list):
        return content or ""
    parts: list[_Part] = []
    for at, part in enumerate(content):
        found = _part(part, f"{param}[{at}]")
        if isinstance(found, _Data):
            documents.append(Document(f"doc:{len(documents)}", found))
        else:
            parts.append(found)
    return parts


def _part(part: Part, param: str) -> _Text | _Image | _Data:
    text = text_of(part, param)
    if text is not None:
        return _Text(text)
    medium = medium_of(part, param, _PROVIDER)
    if medium.kind == "image" or (medium.kind == "file" and medium.media_type.startswith("image/")):
        url = medium.url or f"data:{medium.media_type};base64,{medium.data}"
        detail = None if part.image_url is None or isinstance(part.image_url, str) else part.image_url.detail
        return _Image(_ImageUrl(url, detail))
    if medium.kind == "file" and medium.data and medium.media_type.startswith("text/"):
        return _Data(_decoded(medium), medium.filename)
    raise not_sent(part, param, _PROVIDER)


def _decoded(medium: Medium) -> str:
    try:
        return medium.decoded().decode()
    except UnicodeDecodeError:
        raise invalid(f"Invalid {medium.param}: it is not text in base64.", medium.param) from None


def _said(message: Message, param: str) -> list[Turn]:
    """The assistant's own turn, its thinking first; none when nothing was said."""
    content: str | list[_Part] | None = None
    said = message.refusal if message.content is None else message.content
    if said is not None:
        content = _texts(said, f"{param}.content")
    thoughts = thoughts_of(message)
    if thoughts:
        texts: list[_Part] = [_Text(content)] if isinstance(content, str) and content else []
        content = [_Thinking(thoughts), *(content if isinstance(content, list) else texts)]
    calls = [_call(call) for call in message.tool_calls or ()]
    return [Turn("assistant", content, calls or None)] if content or calls else []


def _call(call: ToolCall) -> _Call:
    arguments = call.function.arguments
    return _Call(call.id, _Function(call.function.name, arguments if arguments.strip() else "{}"))


def _tool_result(message: Message, param: str) -> Turn:
    if message.tool_call_id is None:
        raise invalid(f"{param}.tool_call_id is missing.", f"{param}.tool_call_id")
    return Turn("tool", _texts(message.content, f"{param}.content"), tool_call_id=message.tool_call_id)


def _texts(content: Content, param: str) -> str | list[_Part]:
    """Content that may hold nothing but text."""
    if not isinstance(content, list):
        return content or ""
    parts: list[_Part] = []
    for at, part in enumerate(content):
        text = text_of(part, f"{param}[{at}]")
        if text is None:
            raise invalid(f"Invalid {param}: only text may stand there.", param)
        parts.append(_Text(text))
    return parts
