"""InvokeModel: a model asked in the language of its own family, inside Bedrock's envelope.

Claude 3 and later        Anthropic's Messages, without the model and with a version of its own
Nova                      Converse's body
open models, Jamba        OpenAI's Chat Completions, without the model
older ones                one text (`prompts.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from router.catalog import Deployment
from router.wire.anthropic import AnthropicWire
from router.wire.anthropic.request import message_request
from router.wire.base import Answer, HttpRequest, RequestMembers, StreamDecoder
from router.wire.bedrock import prompts
from router.wire.bedrock.address import plain_model_of, url_of
from router.wire.bedrock.envelope import EnvelopedChatStream, EnvelopedStream, payload_in
from router.wire.bedrock.errors import decode_error
from router.wire.bedrock.prompts import PromptedStream
from router.wire.bedrock.request import EVENT_STREAM, body_of
from router.wire.bedrock.response import decode
from router.wire.bedrock.stream import ConverseStream, seed_of
from router.wire.eventstream import Message
from router.wire.http import post
from router.wire.members import RAWS, Members, invalid, read
from router.wire.openai import OpenAIWire
from router.wire.openai.request import chat_request
from router.wire.params import wants_usage
from services.decoding import NOT_DECODED
from services.errors import GatewayError

_ANTHROPIC_VERSION = "bedrock-2023-05-31"
# The address and the path say these.
_SAID_ELSEWHERE = ("model", "stream", "stream_options", "service_tier")


class _Language(Protocol):
    """What a family speaks."""

    def body(self, body: bytes, deployment: Deployment, *, stream: bool, limit: int) -> RequestMembers:
        """What is asked. Raises GatewayError (INVALID_REQUEST)."""

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        """A whole answer."""

    def stream(self, request: HttpRequest, deployment: Deployment) -> StreamDecoder:
        """A decoder of the stream that answers `request`."""


class InvokeWire:
    """`router.wire.base.Wire` for InvokeModel and InvokeModelWithResponseStream.

    clock: seconds since 1970, for `created` of an answer.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        claude, chat = _Claude(clock), _Chat()
        self._languages: Mapping[str, _Language] = {
            **{beginning: _Prompted(family, clock) for beginning, family in prompts.FAMILIES.items()},
            "anthropic.": claude,
            "amazon.nova": _Nova(clock),
            **dict.fromkeys(_OPENAI_SHAPED, chat),
        }

    def encode(self, body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
        language = self._language_of(deployment)
        asked = language.body(body, deployment, stream=stream, limit=output_tokens_limit)
        return post(
            url_of(deployment, "invoke-with-response-stream" if stream else "invoke"),
            msgspec.json.encode(asked.members),
            deployment,
            stream=stream,
            show_usage=asked.show_usage,
            dropped=asked.dropped,
            accept=EVENT_STREAM if stream else "",
        )

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return self._language_of(deployment).decode(body, deployment)

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return decode_error(status, headers, body, deployment)

    def stream(self, request: HttpRequest, deployment: Deployment) -> StreamDecoder:
        return self._language_of(deployment).stream(request, deployment)

    def _language_of(self, deployment: Deployment) -> _Language:
        """Of the beginnings that fit, the longest decides. Raises GatewayError (INVALID_REQUEST) when none does."""
        model = plain_model_of(deployment)
        fitting = [beginning for beginning in self._languages if model.startswith(beginning)]
        if not fitting:
            raise invalid(
                f"What InvokeModel has to send to {deployment.provider_model!r} is not known: its name does not say of "
                "which family it is. Use bedrock/converse/... for it.",
                "model",
            )
        return self._languages[max(fitting, key=len)]


# From the pages of the models' parameters in AWS's user guide, as of early 2026.
_OPENAI_SHAPED = (
    "ai21.jamba",
    "deepseek.v",
    "google.",
    "minimax.",
    "mistral.magistral",
    "mistral.ministral",
    "mistral.mistral-large-2407",
    "mistral.mistral-large-3",
    "mistral.pixtral",
    "mistral.voxtral",
    "moonshot",
    "nvidia.",
    "openai.",
    "qwen.",
    "writer.",
    "zai.",
)


class _Claude:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._wire = AnthropicWire(clock)

    def body(self, body: bytes, deployment: Deployment, *, stream: bool, limit: int) -> RequestMembers:
        asked = message_request(body, deployment, stream=stream, output_tokens_limit=limit)
        members = {"anthropic_version": _ANTHROPIC_VERSION, **_without_what_is_said_elsewhere(asked)}
        return RequestMembers(members, asked.show_usage, asked.dropped)

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return self._wire.decode(body, deployment)

    def stream(self, request: HttpRequest, deployment: Deployment) -> StreamDecoder:
        return EnvelopedStream(deployment, self._wire.stream(request, deployment))


class _Chat:
    def __init__(self) -> None:
        self._wire = OpenAIWire()

    def body(self, body: bytes, deployment: Deployment, *, stream: bool, limit: int) -> RequestMembers:
        asked = chat_request(body, deployment, stream=stream, output_tokens_limit=limit)
        return RequestMembers(_without_what_is_said_elsewhere(asked), asked.show_usage, asked.dropped)

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return self._wire.decode(body, deployment)

    def stream(self, request: HttpRequest, deployment: Deployment) -> StreamDecoder:
        return EnvelopedChatStream(deployment, self._wire.stream(request, deployment))


class _Nova:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def body(self, body: bytes, deployment: Deployment, *, stream: bool, limit: int) -> RequestMembers:
        members = Members(body, deployment)
        show_usage = wants_usage(members)
        sent = body_of(members, deployment, limit)
        # The model's own parameters are its own here: no member apart, and `topK` beside the others.
        fields = sent.pop("additionalModelRequestFields", {})
        for name, value in fields.items() if isinstance(fields, dict) else ():
            before = sent.setdefault(name, value)
            if isinstance(before, dict):
                # The limit among them may be what a hold pays for.
                sent[name] = {**_members_of(value, name), **before}
        return RequestMembers({"schemaVersion": "messages-v1", **sent}, show_usage, tuple(members.dropped))

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return decode(body, deployment, created=int(self._clock()))

    def stream(self, request: HttpRequest, deployment: Deployment) -> StreamDecoder:
        now = self._clock()
        return _NovaStream(deployment, show_usage=request.show_usage, created=int(now), seed=seed_of(request, now))


class _NovaStream(ConverseStream):
    """Converse's events, each an object with its name as the one member."""

    def read_message(self, message: Message) -> None:
        """A message that is no exception."""
        payload = payload_in(message)
        if not payload:
            return
        try:
            event = RAWS.decode(payload)
        except NOT_DECODED:
            self.broken("an event of its stream is no JSON object")
            return
        for name, said in event.items():
            self.read_event(name, bytes(said))


class _Prompted:
    def __init__(self, family: prompts.Family, clock: Callable[[], float]) -> None:
        self._family = family
        self._clock = clock

    def body(self, body: bytes, deployment: Deployment, *, stream: bool, limit: int) -> RequestMembers:
        return prompts.encode(self._family, body, deployment, limit)

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return prompts.decode(body, deployment, created=int(self._clock()))

    def stream(self, request: HttpRequest, deployment: Deployment) -> StreamDecoder:
        now = self._clock()
        return PromptedStream(deployment, show_usage=request.show_usage, created=int(now), seed=seed_of(request, now))


def _members_of(value: object, param: str) -> Mapping[str, object]:
    """What a caller gave where there is an object already. Raises GatewayError (INVALID_REQUEST)."""
    if isinstance(value, dict):
        return value
    return read(RAWS, msgspec.json.encode(value), param)


def _without_what_is_said_elsewhere(asked: RequestMembers) -> dict[str, object]:
    return {name: value for name, value in asked.members.items() if name not in _SAID_ELSEWHERE}
