"""Messages as a host takes them, where it does not take all that OpenAI's language has.

Nothing is read unless the body holds the bytes that a quirk is about; what is not changed keeps its exact bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

import msgspec

from router.providers.quirks import MessageQuirk

Raws = dict[str, msgspec.Raw]

_list_decoder = msgspec.json.Decoder(list[Raws])
_object_decoder = msgspec.json.Decoder(Raws)
_text_decoder = msgspec.json.Decoder(str)
_encode = msgspec.json.encode
_SYSTEM = msgspec.Raw(b'"system"')


def adapt_messages(members: Raws, quirks: Collection[MessageQuirk]) -> None:
    """Change `messages`, and the marks in `tools`, in place. What is no list of objects is left for the host."""
    for name in ("messages", "tools"):
        raw = members.get(name)
        if raw is None:
            continue
        body = bytes(raw)
        # In the vocabulary's order, not the row's.
        changes = [each for quirk, each in _CHANGES.items() if quirk in quirks and each.speaks_of(name, body)]
        if not changes:
            continue
        items = _objects(raw)
        if items is not None and sum(change.of(item) for change in changes for item in items):
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


def _no_names(message: Raws) -> bool:
    return _text(message.get("role")) not in ("tool", "function") and message.pop("name", None) is not None


def _no_cache_control(item: Raws) -> bool:
    """Of a message or a tool: its own mark, and those of its parts or its function."""
    changed = item.pop("cache_control", None) is not None
    parts = _objects(item.get("content"))
    if parts is not None and sum(part.pop("cache_control", None) is not None for part in parts):
        item["content"] = _raw(parts)
        changed = True
    function = _objects(item.get("function"))
    if function is not None and function[0].pop("cache_control", None) is not None:
        item["function"] = _raw(function[0])
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


class _Change(msgspec.Struct, frozen=True):
    """One quirk: what it does to a message, and whether it has something to do at all. where: the members it is for."""

    of: Callable[[Raws], bool]
    mark: Callable[[bytes], object]
    where: tuple[str, ...] = ("messages",)

    def speaks_of(self, name: str, body: bytes) -> bool:
        return name in self.where and self.mark(body) is not None


def _mark(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(pattern).search


_CHANGES: Mapping[MessageQuirk, _Change] = {
    "developer_as_system": _Change(_developer_as_system, _mark(rb'"developer"')),
    "flatten_content": _Change(_flatten_content, _mark(rb'"content"\s*:\s*\[')),
    "no_names": _Change(_no_names, _mark(rb'"name"')),
    "no_cache_control": _Change(_no_cache_control, _mark(rb'"cache_control"'), ("messages", "tools")),
    "reasoning": _Change(_reasoning, _mark(rb'"reasoning_content"')),
    "reasoning_as_part": _Change(_reasoning_as_part, _mark(rb'"reasoning_content"')),
    "no_reasoning": _Change(_no_reasoning, _mark(rb'"(?:reasoning_content|thinking_blocks)"')),
}


def _objects(raw: msgspec.Raw | None) -> list[Raws] | None:
    """A list of objects, or one object as a list; None for anything else."""
    if raw is None:
        return None
    kind = bytes(raw)[:1]
    if kind not in (b"[", b"{"):
        return None
    try:
        return _list_decoder.decode(raw) if kind == b"[" else [_object_decoder.decode(raw)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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
