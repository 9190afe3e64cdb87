"""Messages as a host takes them, where it does not take all that OpenAI's language has.

Nothing is read unless the body holds the bytes that a quirk is about; what is not changed keeps its exact bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import msgspec

from router.providers.quirks import MessageQuirk
from services.decoding import NOT_DECODED

Raws = dict[str, msgspec.Raw]

# Members that answers of other providers have beyond OpenAI's, as the wires that translate write them.
_OF_CALLS = ("provider_specific_fields", "extra_content")
_EXTENSIONS = (*_OF_CALLS, "citations", "images")
# Members that OpenAI's own answers have and callers send back: for people to read, and what is most often null.
_TOLD = ("annotations", "parsed")
_OFTEN_NULL = ("refusal", "audio", "function_call", "tool_calls")
_NULL = msgspec.Raw(b"null")

_list_decoder = msgspec.json.Decoder(list[Raws])
_object_decoder = msgspec.json.Decoder(Raws)
_text_decoder = msgspec.json.Decoder(str)
_encode = msgspec.json.encode
_SYSTEM = msgspec.Raw(b'"system"')


def adapt_messages(members: Raws, quirks: tuple[MessageQuirk, ...]) -> None:
    """Change `messages`, and the marks in `tools`, in place. What is no list of objects is left for the host."""
    for name, changes in _changes_of(quirks):
        raw = members.get(name)
        if raw is None:
            continue
        body = bytes(raw)
        due = [change.of for change in changes for mark in change.marks if mark in body]
        items = _objects(raw) if due else None
        if items is not None and sum(change(item) for change in dict.fromkeys(due) for item in items):
            members[name] = _raw(items)


def _developer_as_system(message: Raws) -> bool:
    if _text(message.get("role")) != "developer":
        return False
    message["role"] = _SYSTEM
    return True


def _flatten_content(message: Raws) -> bool:
    parts = _objects(message.get("content"))
    if not parts or any(_text(part.get("type")) != "text" for part in parts):
        return False
    texts = [_text(part.get("text")) for part in parts]
    message["content"] = _raw("".join(text for text in texts if text is not None))
    return True


def _media_as_urls(message: Raws) -> bool:
    parts = _objects(message.get("content")) or []
    if not sum(_as_url(part) for part in parts):
        return False
    message["content"] = _raw(parts)
    return True


def _as_url(part: Raws) -> bool:
    """Change a part with a file or a sound; whether it was one."""
    file, audio = _object(part.get("file")), _object(part.get("input_audio"))
    data = _text(file.get("file_data")) if file is not None else None
    sound = _text(audio.get("data")) if audio is not None else None
    if file is not None and data is not None:
        url = data if "://" in data or data.startswith("data:") else f"data:application/pdf;base64,{data}"
        name = {"document_name": file["filename"]} if "filename" in file else {}
        part.clear()
        part.update({"type": _raw("document_url"), "document_url": _raw(url), **name})
    elif sound is not None:
        part["input_audio"] = _raw(sound)
    return data is not None or sound is not None


def _no_names(message: Raws) -> bool:
    return _text(message.get("role")) not in ("tool", "function") and message.pop("name", None) is not None


def _no_cache_control(item: Raws) -> bool:
    """Of a message or a tool: its own mark, and those of its parts or its function."""
    changed = item.pop("cache_control", None) is not None
    parts = _objects(item.get("content"))
    if parts is not None and sum(part.pop("cache_control", None) is not None for part in parts):
        item["content"] = _raw(parts)
        changed = True
    function = _object(item.get("function"))
    if function is not None and function.pop("cache_control", None) is not None:
        item["function"] = _raw(function)
        changed = True
    return changed


def _reasoning(message: Raws) -> bool:
    reasoning = message.pop("reasoning_content", None)
    if reasoning is None:
        return False
    message.setdefault("reasoning", reasoning)
    return True


def _reasoning_as_part(message: Raws) -> bool:
    reasoning = _text(message.pop("reasoning_content", None))
    if not reasoning:
        return False
    content = message.get("content")
    text = _text(content)
    parts = _objects(content) or ([{"type": _raw("text"), "text": _raw(text)}] if text else [])
    thinking: Raws = {"type": _raw("thinking"), "thinking": _raw([{"type": "text", "text": reasoning}])}
    message["content"] = _raw([thinking, *parts])
    return True


def _no_reasoning(message: Raws) -> bool:
    found = [message.pop(name, None) for name in ("reasoning_content", "thinking_blocks")]
    return found != [None] * len(found)


def _no_extensions(message: Raws) -> bool:
    """Of a message and its calls: what another provider gave, and wants back."""
    found = sum(message.pop(name, None) is not None for name in _EXTENSIONS)
    calls = _objects(message.get("tool_calls")) or []
    of_calls = sum(call.pop(name, None) is not None for call in calls for name in _OF_CALLS)
    if of_calls:
        message["tool_calls"] = _raw(calls)
    return found + of_calls > 0


def _words_only(message: Raws) -> bool:
    refusal = _text(message.get("refusal"))
    if refusal is not None:
        del message["refusal"]
        if message.get("content", _NULL) == _NULL:
            message["content"] = _raw(refusal)
    nulls = [name for name in _OFTEN_NULL if message.get(name) == _NULL]
    for name in nulls:
        del message[name]
    told = sum(message.pop(name, None) is not None for name in _TOLD)
    parts = _objects(message.get("content")) or []
    refused = [part for part in parts if "refusal" in part and _text(part.get("type")) == "refusal"]
    for part in refused:
        part.update({"type": _raw("text"), "text": part.pop("refusal")})
    if refused:
        message["content"] = _raw(parts)
    return refusal is not None or len(nulls) + told + len(refused) > 0


class _Change(msgspec.Struct, frozen=True):
    """One quirk: what it does to a message, and the bytes without which it has nothing to do. In texts the quotes of a
    mark are escaped. where: the members that it is for."""

    of: Callable[[Raws], bool]
    marks: tuple[bytes, ...]
    where: tuple[str, ...] = ("messages",)


def _marks(names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(b'"%s"' % name.encode() for name in names)


_CHANGES: Mapping[MessageQuirk, _Change] = {
    "developer_as_system": _Change(_developer_as_system, (b'"developer"',)),
    "flatten_content": _Change(_flatten_content, (b'"text"',)),
    "media_as_urls": _Change(_media_as_urls, (b'"file"', b'"input_audio"')),
    "no_names": _Change(_no_names, (b'"name"',)),
    "no_cache_control": _Change(_no_cache_control, (b'"cache_control"',), ("messages", "tools")),
    "reasoning": _Change(_reasoning, (b'"reasoning_content"',)),
    "reasoning_as_part": _Change(_reasoning_as_part, (b'"reasoning_content"',)),
    "no_reasoning": _Change(_no_reasoning, (b'"reasoning_content"', b'"thinking_blocks"')),
    "no_extensions": _Change(_no_extensions, _marks(_EXTENSIONS)),
    "words_only": _Change(_words_only, _marks((*_OFTEN_NULL, *_TOLD))),
}


# As many as rows and their models have; reckoned once each.
@functools.lru_cache(maxsize=256)
def _changes_of(quirks: tuple[MessageQuirk, ...]) -> tuple[tuple[str, tuple[_Change, ...]], ...]:
    """By member, what may have to be done, in the vocabulary's order and not the row's."""
    changes = [change for quirk, change in _CHANGES.items() if quirk in quirks]
    members = {name: tuple(change for change in changes if name in change.where) for name in ("messages", "tools")}
    return tuple((name, due) for name, due in members.items() if due)


def _objects(raw: msgspec.Raw | None) -> list[Raws] | None:
    """A list of objects; None for anything else."""
    if raw is None:
        return None
    try:
        return _list_decoder.decode(raw)
    except NOT_DECODED:
        return None


def _object(raw: msgspec.Raw | None) -> Raws | None:
    if raw is None:
        return None
    try:
        return _object_decoder.decode(raw)
    except NOT_DECODED:
        return None


def _text(raw: msgspec.Raw | None) -> str | None:
    if raw is None:
        return None
    try:
        return _text_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))
