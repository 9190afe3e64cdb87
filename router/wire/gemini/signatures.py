"""Signatures of thoughts: what Gemini gives with a part of its answer and wants back with it in the next turn.

Callers find them in two places, and may bring them back in either: `provider_specific_fields`, where LiteLLM puts
them, and `extra_content.google`, where Google's own OpenAI-compatible endpoint does. LiteLLM also hides one in the id
of a call, from where it is read but not written: an id of a thousand characters is refused by other providers.
"""

from __future__ import annotations

import msgspec

from router.wire import asked
from router.wire.chat import Extra
from services.decoding import NOT_DECODED

# Google's own word for calls that were made by another model, or whose signature got lost: Gemini 3 refuses a call
# without any.
UNKNOWN = "skip_thought_signature_validator"

_IN_ID = "__thought__"


class _Specific(msgspec.Struct):
    thought_signature: str | None = None
    thought_signatures: list[str] = []


class _Google(msgspec.Struct):
    thought_signature: str | None = None


class _ExtraContent(msgspec.Struct):
    google: _Google | None = None


_specific_decoder = msgspec.json.Decoder(_Specific)
_extra_decoder = msgspec.json.Decoder(_ExtraContent)


def of_call(call: asked.ToolCall) -> str | None:
    """The signature of a call that the caller brings back."""
    return _found(call) or (call.id.partition(_IN_ID)[2] or None)


def of_message(message: asked.Message) -> str | None:
    """The signature of a message's words."""
    return _found(message)


def id_of(call_id: str) -> str:
    """The id alone."""
    return call_id.partition(_IN_ID)[0]


def for_call(signature: str | None) -> tuple[Extra | None, Extra | None]:
    """`provider_specific_fields` and `extra_content` of a call."""
    if not signature:
        return None, None
    return {"thought_signature": signature}, {"google": {"thought_signature": signature}}


def for_message(signature: str) -> tuple[Extra, Extra]:
    """The same of a message or a piece of one."""
    return {"thought_signatures": [signature]}, {"google": {"thought_signature": signature}}


def _found(holder: asked.ToolCall | asked.Message) -> str | None:
    """Others put other things there; those are none of Gemini's."""
    if holder.extra_content is not msgspec.UNSET:
        try:
            google = _extra_decoder.decode(holder.extra_content).google
        except NOT_DECODED:
            google = None
        if google is not None and google.thought_signature:
            return google.thought_signature
    if holder.provider_specific_fields is msgspec.UNSET:
        return None
    try:
        specific = _specific_decoder.decode(holder.provider_specific_fields)
    except NOT_DECODED:
        return None
    return specific.thought_signature or (specific.thought_signatures[-1] if specific.thought_signatures else None)
