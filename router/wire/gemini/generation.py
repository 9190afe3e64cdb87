"""`generationConfig`: sampling, limits, and the form of the answer."""

from __future__ import annotations

import msgspec

from router.wire.gemini.schema import json_schema_of, openapi_of
from router.wire.gemini.thinking import Thinking
from router.wire.members import FLAG, INTEGER, NUMBER, Members, invalid, read
from router.wire.params import output_limit_of, response_format_of, stop_of

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
    return {name: value for name, value in config.items() if value is not None}


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
