"""Answers of hosts that depart from OpenAI's form, made into it, as the quirks of their row say.

One choice after the other, whole (`message`) or in a stream (`delta`). What a quirk does not speak of stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from router.providers.quirks import AnswerQuirk
from router.wire.openai.think import ThinkTags
from router.wire.sse import fields_of
from services.decoding import NOT_DECODED

# Other words for the end of an answer, of servers of open models and of gateways to other languages.
FINISH_REASONS: Mapping[str, str] = {
    "": "stop",
    "abort": "stop",
    "complete": "stop",
    "COMPLETE": "stop",
    "content_filtered": "content_filter",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "max_length": "length",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "model_length": "length",
    "refusal": "content_filter",
    "RECITATION": "content_filter",
    "SAFETY": "content_filter",
    "sensitive": "content_filter",
    "STOP": "stop",
    "stop_sequence": "stop",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
}
# OpenAI's; another one is `default`.
SERVICE_TIERS = frozenset(("auto", "default", "flex", "scale", "priority", "fast"))
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")

# Other words for input that was read from a cache.
_CACHED = ("num_cached_tokens", "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")

# More calls in one answer than any model makes; what is beyond them is left as it came.
MAX_TOOL_CALLS = 1024

Search = Callable[[bytes], object]


def _search(pattern: bytes) -> Search:
    return re.compile(pattern).search


# Without a find of these a quirk has nothing to do. In texts the quotes are escaped, so a quoted name is a member. Each
# begins with plain bytes and is searched for by itself: one expression with alternatives takes five times as long.
_MARKS: Mapping[AnswerQuirk, tuple[Search, ...]] = {
    "reasoning": (_search(rb'"reasoning"\s*:'),),
    "content_parts": (_search(rb'"content"\s*:\s*[\[{]'),),
    "think_tags": (_search(rb"</think"), _search(rb'"content"\s*:\s*"(?:\s|\\[nrt])*<')),
    "tool_calls": (_search(rb'"tool_calls"\s*:\s*\[\s*\{'),),
    "words": (
        _search(rb'"finish_reason"\s*:\s*"(?!(?:stop|length|tool_calls|content_filter|function_call)")'),
        _search(rb'"service_tier"\s*:\s*"(?!(?:auto|default|flex|scale|priority|fast)")'),
        _search(rb'"object"\s*:\s*"(?!chat\.completion(?:\.chunk)?")'),
    ),
    "usage": (_search(rb'_tokens"\s*:\s*null'), *(_search(b'"%s"' % name.encode()) for name in _CACHED)),
}
# What else matters while a stream is not settled: text that may be a tag, and the end of a choice.
_TEXT = re.compile(rb'"content"\s*:\s*"').search
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"').search

_decode_json = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


class AnswerFixes:
    """The quirks of one answer. A stream has its own, for it is told in pieces."""

    def __init__(self, quirks: tuple[AnswerQuirk, ...], *, part: str = "delta") -> None:
        """part: `message` of a whole answer."""
        self._quirks = frozenset(quirks)
        self._part = part
        self._searches = [search for quirk in quirks for search in _MARKS[quirk]]
        # By choice. Until the first has text beyond doubt, any text may be a tag.
        self._thinking: dict[object, ThinkTags] = {}
        self._may_be_tag = part == "delta" and "think_tags" in quirks
        # By choice: the calls so far, by index; whether any argument of theirs has come.
        self._calls: dict[object, list[bool]] = {}

    def leaves(self, block: bytes) -> bool:
        """Whether nothing in these events is to be changed."""
        for search in self._searches:
            if search(block) is not None:
                return False
        if self._may_be_tag and (_TEXT(block) is not None or _FINISH(block) is not None):
            return False
        return not self._calls or _FINISH(block) is None

    def event(self, event: bytes) -> bytes:
        """An event of a stream, as it is passed on."""
        if self.leaves(event):
            return event
        fields = fields_of(event)
        if fields.data is None:
            return event
        name = b"event: " + fields.event + b"\n" if fields.event else b""
        return name + b"data: " + self.body(fields.data)

    def body(self, body: bytes) -> bytes:
        """The JSON of a whole answer, or of a chunk. What is none is left for the decoder to say so."""
        try:
            answer = _decode_json(body)
        except NOT_DECODED:
            return body
        if not isinstance(answer, dict):
            return body
        choices = answer.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._choice(choice)
        if "words" in self._quirks:
            self._words(answer)
        if "usage" in self._quirks:
            _usage_in_words(answer.get("usage"))
        return _encode(answer)

    def _choice(self, choice: dict[str, Any]) -> None:
        part = choice.get(self._part)
        if not isinstance(part, dict):
            part = {}
        if "reasoning" in self._quirks:
            _rename_reasoning(part)
        if "content_parts" in self._quirks:
            _content_as_text(part)
        index = choice.get("index")
        key = index if isinstance(index, int) else 0
        ends = self._part == "message" or isinstance(choice.get("finish_reason"), str)
        if "think_tags" in self._quirks and self._may_think(part.get("content"), ends=ends):
            self._thinking.setdefault(key, ThinkTags()).lift(part, ends=ends)
            self._may_be_tag = not all(tags.settled for tags in self._thinking.values())
        if "words" in self._quirks and isinstance(choice.get("finish_reason"), str):
            choice["finish_reason"] = FINISH_REASONS.get(choice["finish_reason"], choice["finish_reason"])
        if "tool_calls" in self._quirks:
            # A call that the limit cut off has not said what its arguments are.
            self._tool_calls(part, key, ends=ends and choice.get("finish_reason") != "length")
            if choice.get("finish_reason") == "stop" and self._calls.get(key):
                # Some servers of open models end with `stop` what ends with calls.
                choice["finish_reason"] = "tool_calls"
        if part:
            choice[self._part] = part

    def _may_think(self, content: object, *, ends: bool) -> bool:
        """A whole answer that is all thinking, cut off, is left as it is; a stream cannot wait for the end of it."""
        if self._part == "message":
            return isinstance(content, str) and "</think" in content
        return ends or isinstance(content, str)

    def _words(self, answer: dict[str, Any]) -> None:
        answer["object"] = "chat.completion" if self._part == "message" else "chat.completion.chunk"
        if answer.get("service_tier") not in (None, *SERVICE_TIERS):
            answer["service_tier"] = "default"

    def _tool_calls(self, part: dict[str, Any], key: object, *, ends: bool) -> None:
        calls = part.get("tool_calls")
        if not calls and key not in self._calls:
            return
        has_arguments = self._calls.setdefault(key, [])
        for at, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                self._tool_call(call, at, has_arguments)
        if self._part == "delta" and ends and not all(has_arguments):
            # A call whose arguments never came has none, which JSON writes as an empty object.
            missing = [at for at, has in enumerate(has_arguments) if not has]
            part["tool_calls"] = [
                *(calls if isinstance(calls, list) else ()),
                *({"index": at, "function": {"arguments": "{}"}} for at in missing),
            ]
            has_arguments[:] = [True] * len(has_arguments)

    def _tool_call(self, call: dict[str, Any], at: int, has_arguments: list[bool]) -> None:
        """Fill in what a call lacks; in a stream, what its first piece lacks."""
        function = call.get("function")
        if not isinstance(function, dict):
            return
        arguments = function.get("arguments")
        if isinstance(arguments, dict | list):
            arguments = function["arguments"] = _encode(arguments).decode()
        index = call.get("index")
        if self._part == "message":
            index = at
            if not arguments:
                function["arguments"] = "{}"
        elif not isinstance(index, int):
            # A piece with a name begins a call; any other goes on with the last.
            index = len(has_arguments) if function.get("name") else max(0, len(has_arguments) - 1)
            call["index"] = index
        if not 0 <= index < MAX_TOOL_CALLS:
            return
        if index >= len(has_arguments):
            has_arguments.extend([True] * (index - len(has_arguments)) + [False])
            call["id"] = call.get("id") or f"call_{index}"
            call["type"] = call.get("type") or "function"
        if arguments:
            has_arguments[index] = True


def _rename_reasoning(part: dict[str, Any]) -> None:
    reasoning = part.get("reasoning")
    if isinstance(reasoning, str):
        del part["reasoning"]
        if not part.get("reasoning_content"):
            part["reasoning_content"] = reasoning
    elif "reasoning" in part and reasoning is None:
        del part["reasoning"]


def _content_as_text(part: dict[str, Any]) -> None:
    """Parts as Mistral and Databricks write them; an object is an answer in JSON that the host has read already."""
    content = part.get("content")
    if isinstance(content, dict):
        part["content"] = _encode(content).decode()
    if not isinstance(content, list):
        return
    texts, thoughts = [], []
    for item in content:
        if isinstance(item, str):
            texts.append(item)
        if not isinstance(item, dict):
            continue
        match item.get("type"):
            case "thinking":
                thoughts.append(_text_in(item.get("thinking")))
            case "reasoning":
                thoughts.append(_text_in(item.get("summary") or item.get("text")))
            case "reference":
                # Mistral's place of a citation: numbers, and no text.
                continue
            case _:
                texts.append(_text_in(item.get("text")))
    part["content"] = "".join(texts) if texts or not thoughts else None
    if thoughts:
        part["reasoning_content"] = "".join(thoughts)


def _text_in(value: object) -> str:
    """A text, or a list of parts with texts."""
    if isinstance(value, str):
        return value
    items = value if isinstance(value, list) else ()
    return "".join(text for item in items if isinstance(item, dict) and isinstance(text := item.get("text"), str))


def _usage_in_words(usage: object) -> None:
    if not isinstance(usage, dict):
        return
    for name in _COUNTS:
        if usage.get(name, 0) is None:
            usage[name] = 0
    cached = next((usage[name] for name in _CACHED if isinstance(usage.get(name), int) and usage[name] > 0), 0)
    details = usage.get("prompt_tokens_details")
    if cached and not (isinstance(details, dict) and details.get("cached_tokens")):
        usage["prompt_tokens_details"] = {**(details if isinstance(details, dict) else {}), "cached_tokens": cached}
