"""What callers say in Gemini's own words, beside OpenAI's: of the request, and of its `generationConfig`.

As members of the body, where LiteLLM takes them, or in `google`, where Google's own OpenAI-compatible endpoint does; in
either of the two spellings of Google's API.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from router.wire.members import RAW, RAWS, Members

_REQUEST = ("safety_settings", "cached_content", "tool_config", "model_armor_config", "labels")
_GENERATION = (
    "thinking_config",
    "response_modalities",
    "response_mime_type",
    "response_schema",
    "response_json_schema",
    "speech_config",
    "image_config",
    "media_resolution",
    "audio_timestamp",
)
# How much an answer may cost is said in OpenAI's words only, which admission has reckoned with.
_ADMITTED = frozenset(("maxOutputTokens", "candidateCount"))

Raws = dict[str, msgspec.Raw]


class OwnWords(msgspec.Struct):
    """By the names that Google's API writes."""

    request: Raws
    generation: Raws


def own_words_of(members: Members) -> OwnWords:
    """Raises GatewayError (INVALID_REQUEST)."""
    google = {camel(name): raw for name, raw in (members.take("google", RAWS) or {}).items()}
    generation: Raws = {}
    for name in ("generation_config", "generationConfig"):
        generation |= {camel(each): raw for each, raw in (members.take(name, RAWS) or {}).items()}
    generation |= _found(members, google, _GENERATION)
    generation = {name: raw for name, raw in generation.items() if name not in _ADMITTED}
    return OwnWords(_found(members, google, _REQUEST), generation)


def camel(name: str) -> str:
    """A name of Google's API as it writes it; it takes both spellings."""
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def _found(members: Members, google: Raws, names: Sequence[str]) -> Raws:
    found = {camel(name): google[camel(name)] for name in names if camel(name) in google}
    for name in names:
        # A name of one word has one spelling.
        for spelling in dict.fromkeys((name, camel(name))):
            raw = members.take(spelling, RAW)
            if raw is not None:
                found[camel(name)] = raw
    return found
