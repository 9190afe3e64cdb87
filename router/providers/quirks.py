"""How a host departs from OpenAI's language, as data: the closed vocabulary that rows of providers.toml may use.

The openai wire applies it (`router.wire.openai`); nothing here knows a host.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

import msgspec

# What may have to be done to messages, in the order in which it is done.
MessageQuirk = Literal[
    # `developer`, OpenAI's newer word, is written `system`.
    "developer_as_system",
    # Content that is a list of texts becomes one text.
    "flatten_content",
    # A document, or a sound, is its address or its data as one: parts of the types `document_url` and `input_audio`.
    "media_as_urls",
    # `name` is left out, but for tools' results.
    "no_names",
    # `cache_control`, Anthropic's mark, is left out of messages, parts and tools.
    "no_cache_control",
    # An assistant's `reasoning_content` is called `reasoning`.
    "reasoning",
    # The same becomes a part of the type `thinking`.
    "reasoning_as_part",
    # The same is left out, if neither of these has moved it, and `thinking_blocks` with it.
    "no_reasoning",
    # What answers of other providers have beyond OpenAI's members is left out of messages and calls.
    "no_extensions",
    # Of OpenAI's answers, what they said: a refusal is a text; annotations, and members that are null, are left out.
    "words_only",
]

# What may have to be done to answers, so that callers find OpenAI's form.
AnswerQuirk = Literal[
    # `reasoning` is called `reasoning_content`.
    "reasoning",
    # Content that is a list of parts, or an object, becomes a text; its thinking becomes `reasoning_content`.
    "content_parts",
    # What stands in <think> tags at the start of the content becomes `reasoning_content`.
    "think_tags",
    # Tool calls get what they lack of index, id and type, and arguments that are a text of JSON.
    "tool_calls",
    # `finish_reason`, `service_tier` and `object` in OpenAI's words.
    "words",
    # Counts that are null become 0, and cached input is told in OpenAI's place.
    "usage",
]


class Quirks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is changed on the way to a host, and on the way back. Members are those of the body's top level.

    rename: members that the host calls otherwise; what stands under its own word already wins. drop: members that it
    does not take, `name`, or one value of them, `name=value`: refused, or left out where `drop_params` says so; a
    value that asks for nothing is left out without a word. default: what is sent where the caller says nothing.
    clamp: the least and the greatest that a number may be. values: the host's own words for OpenAI's values. force:
    what is sent whatever the caller says. messages, answer: see above.
    """

    rename: Mapping[str, str] = {}
    drop: tuple[str, ...] = ()
    default: Mapping[str, Any] = {}
    clamp: Mapping[str, tuple[float, float]] = {}
    values: Mapping[str, Mapping[str, Any]] = {}
    force: Mapping[str, Any] = {}
    messages: tuple[MessageQuirk, ...] = ()
    answer: tuple[AnswerQuirk, ...] = ()

    def over(self, other: Quirks) -> Quirks:
        """Both together; where they disagree, these hold."""
        return Quirks(
            rename={**other.rename, **self.rename},
            drop=tuple(dict.fromkeys(other.drop + self.drop)),
            default={**other.default, **self.default},
            clamp={**other.clamp, **self.clamp},
            values={**other.values, **self.values},
            force={**other.force, **self.force},
            messages=tuple(dict.fromkeys(other.messages + self.messages)),
            answer=tuple(dict.fromkeys(other.answer + self.answer)),
        )


class ModelQuirks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Quirks of some of a host's models: those whose whole name the pattern `models` matches, at addresses in which
    `base` is found."""

    quirks: Quirks
    models: str = ".*"
    base: str = ""

    def fit(self, names: Iterable[str], api_base: str) -> bool:
        """Whether a model is meant, by any of its names, at an address."""
        return re.search(self.base, api_base) is not None and any(re.fullmatch(self.models, name) for name in names)


NONE = Quirks()


def quirks_for(
    general: Quirks, particular: Iterable[ModelQuirks], names: Collection[str], api_base: str
) -> Quirks | None:
    """The quirks of a model, by its names, at an address; None when it has none."""
    merged = general
    for each in particular:
        if each.fit(names, api_base):
            merged = each.quirks.over(merged)
    return None if merged == NONE else merged
