"""`generationConfig`: sampling, limits, the form of the answer, and what callers say of it in Gemini's own words."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.wire.gemini.schema import json_schema_of, openapi_of
from router.wire.gemini.thinking import Thinking
from router.wire.gemini.tools import camel
from router.wire.members import FLAG, INTEGER, NUMBER, RAWS, Members, invalid, read
from router.wire.params import output_limit_of, response_format_of, stop_of

# Members of Gemini's that callers may write beside OpenAI's, as LiteLLM takes them; in either of Google's spellings.
_OWN = (
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
_MAX_CHOICES = 128

_modalities_decoder = msgspec.json.Decoder(list[str])
_schema_decoder = msgspec.json.Decoder(dict[str, object])


class _Voice(msgspec.Struct):
    voice: str | None = None


_audio_decoder = msgspec.json.Decoder(_Voice)

Config = dict[str, object]


def generation_of(members: Members, thinking: Thinking, *, output_tokens_limit: int) -> Config:
    """Raises GatewayError (INVALID_REQUEST)."""
    seed: int | None = members.take("seed", INTEGER)
    config: Config = {
        "candidateCount": _choices(members),
        "maxOutputTokens": output_limit_of(members, output_tokens_limit) or None,
        "temperature": members.take("temperature", NUMBER),
        "topP": members.take("top_p", NUMBER),
        "topK": _top_k(members),
        "stopSequences": stop_of(members) or None,
        "seed": seed,
        "presencePenalty": members.take("presence_penalty", NUMBER),
        "frequencyPenalty": members.take("frequency_penalty", NUMBER),
        "thinkingConfig": thinking.config,
        **_logprobs(members),
        **_modalities(members),
        **_form(members),
    }
    config = {name: value for name, value in config.items() if value is not None}
    return {**config, **_own(members)}


def _own(members: Members) -> Mapping[str, msgspec.Raw]:
    """What is said in Gemini's own words, which win, but for what admission has reckoned with."""
    found: dict[str, msgspec.Raw] = {}
    for name in ("generation_config", "generationConfig"):
        given = members.take(name, RAWS) or {}
        found |= {camel(each): raw for each, raw in given.items() if camel(each) not in _ADMITTED}
    for name in _OWN:
        for spelling in (name, camel(name)):
            raw = members.take_raw(spelling)
            if raw is not None:
                found[camel(name)] = raw
    return found


def _choices(members: Members) -> int | None:
    count = members.take("n", NUMBER)
    if count in (None, 1):
        return None
    if count != int(count) or not 1 <= count <= _MAX_CHOICES:
        raise invalid(f"Invalid n: it must be a whole number from 1 to {_MAX_CHOICES}.", "n")
    return int(count)


def _top_k(members: Members) -> int | float | None:
    top_k = members.take("top_k", NUMBER)
    # Servers that have top_k take 0 and -1 for none.
    return top_k if top_k is not None and top_k > 0 else None


def _logprobs(members: Members) -> Config:
    wanted = members.take("logprobs", FLAG)
    top: int | None = members.take("top_logprobs", INTEGER)
    return {"responseLogprobs": True, "logprobs": top} if wanted else {}


def _modalities(members: Members) -> Config:
    """`modalities`, and `audio`, of which only the voice can be said: the sound is always PCM."""
    modalities = members.take("modalities", _modalities_decoder)
    audio = members.take("audio", _audio_decoder)
    config: Config = {}
    if modalities and modalities != ["text"]:
        config["responseModalities"] = [each.upper() for each in modalities]
    if audio is not None and audio.voice:
        config["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": audio.voice}}}
    return config


def _form(members: Members) -> Config:
    """`response_format`."""
    wanted = response_format_of(members)
    if wanted is None:
        return {}
    config: Config = {"responseMimeType": "application/json"}
    if wanted.schema is not None:
        where = "response_format.json_schema.schema"
        schema = read(_schema_decoder, wanted.schema, where)
        own = openapi_of(schema, ordered=True)
        config |= {"responseSchema": own} if own is not None else {"responseJsonSchema": json_schema_of(schema, where)}
    return config
