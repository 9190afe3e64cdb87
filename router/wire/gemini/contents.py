"""A conversation in Chat Completions as Gemini's: the system instruction apart, then turns of the user and the model.

System and developer messages become the system instruction, wherever they stand, in their order. The results of calls
are the user's, all those of one turn together, and so are media that a user's message without words gives right after
them: that is how callers give what a tool has shown. Neighbouring messages of the assistant become one turn, since a
call must follow the user's turn at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from router.wire.asked import Message, Part, arguments_in
from router.wire.gemini import signatures
from router.wire.gemini.parts import FunctionCall, FunctionResponse, SentPart, parts_of, texts_of
from router.wire.members import invalid, read
from services.decoding import NOT_DECODED

_USER, _MODEL = "user", "model"
_images_decoder = msgspec.json.Decoder(list[Part] | None)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Turn(msgspec.Struct):
    """What one side says, in one piece."""

    role: str
    parts: list[SentPart]


class Conversation(msgspec.Struct):
    """system: empty when there is none."""

    system: list[SentPart]
    turns: list[Turn]


def conversation_of(messages: Sequence[Message], *, call_ids: bool, must_sign: bool) -> Conversation:
    """call_ids: the host takes ids of calls; must_sign: the model refuses a turn's first call, and a picture, without
    a signature.

    Raises GatewayError (INVALID_REQUEST).
    """
    system: list[SentPart] = []
    turns: list[Turn] = []
    reader = _Reader(call_ids=call_ids)
    for at, message in enumerate(messages):
        param = f"messages[{at}]"
        if message.role in ("system", "developer"):
            system += texts_of(message.content, f"{param}.content")
            continue
        turn = reader.turn(message, param)
        if turns and _belongs_to(turn, turns[-1]):
            turns[-1].parts += turn.parts
        elif turn.parts:
            turns.append(turn)
    if must_sign:
        _sign(turns)
    if system and not turns:
        # Gemini demands a turn, even where the system instruction says it all.
        turns.append(Turn(_USER, [SentPart(text=" ")]))
    return Conversation(system, turns)


class _Reader:
    """Messages as turns; it remembers which call an id belongs to."""

    def __init__(self, *, call_ids: bool) -> None:
        self._call_ids = call_ids
        self._names: dict[str, str] = {}

    def turn(self, message: Message, param: str) -> Turn:
        match message.role:
            case "user":
                return Turn(_USER, parts_of(message.content, f"{param}.content"))
            case "assistant":
                return Turn(_MODEL, self._said(message, param))
            case "tool":
                return Turn(_USER, self._result(message, param))
        raise invalid(f"Invalid {param}.role: Gemini knows no role {message.role!r}.", f"{param}.role")

    def _said(self, message: Message, param: str) -> list[SentPart]:
        """The model's words and pictures, then its calls; for what it thought stand the signatures."""
        parts = parts_of(message.content or message.refusal, f"{param}.content")
        if message.images is not msgspec.UNSET:
            parts += parts_of(read(_images_decoder, message.images, f"{param}.images"), f"{param}.images")
        signature = signatures.of_message(message)
        if signature and parts:
            parts[-1].thought_signature = signature
        for at, call in enumerate(message.tool_calls or ()):
            arguments = arguments_in(call, f"{param}.tool_calls[{at}]")
            self._names[call.id] = call.function.name
            sent = FunctionCall(call.function.name, arguments, self._id(call.id))
            parts.append(SentPart(function_call=sent, thought_signature=signatures.of_call(call)))
        return parts

    def _result(self, message: Message, param: str) -> list[SentPart]:
        if message.tool_call_id is None:
            raise invalid(f"{param}.tool_call_id is missing.", f"{param}.tool_call_id")
        name = self._names.get(message.tool_call_id) or message.name
        if not name:
            what = "no call before it has this id, and Gemini needs the function's name"
            raise invalid(f"Invalid {param}.tool_call_id: {what}.", f"{param}.tool_call_id")
        parts = parts_of(message.content, f"{param}.content")
        text = "".join(part.text for part in parts if part.text is not None)
        response = FunctionResponse(name, _response(text), self._id(message.tool_call_id))
        return [SentPart(function_response=response), *(part for part in parts if part.text is None)]

    def _id(self, call_id: str) -> str | msgspec.UnsetType:
        return signatures.id_of(call_id) if self._call_ids else msgspec.UNSET


def _response(text: str) -> dict[str, object]:
    """A result as the object that Gemini demands: the caller's own where it is one."""
    try:
        return {**_object_decoder.decode(text)}
    except NOT_DECODED:
        return {"output": text}


def _belongs_to(turn: Turn, before: Turn) -> bool:
    if turn.role != before.role:
        return False
    if turn.role == _MODEL:
        return True
    after_results = any(part.function_response is not None for part in before.parts)
    return after_results and all(part.text is None for part in turn.parts)


def _sign(turns: Sequence[Turn]) -> None:
    """Of each turn of the model the first call carries a signature, and all pictures do."""
    for turn in turns:
        if turn.role == _MODEL:
            first = next((part for part in turn.parts if part.function_call is not None), None)
            for part in turn.parts:
                if part is first or part.inline_data is not None:
                    part.thought_signature = part.thought_signature or signatures.UNKNOWN
