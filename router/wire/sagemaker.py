"""Endpoints of Amazon SageMaker: what their containers speak, in AWS's envelope.

`sagemaker` is TGI's language, as most of AWS's containers speak it; `sagemaker_chat` is OpenAI's. A stream is an event
stream of AWS whose messages hold pieces of the container's own stream, cut wherever the network did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from router.catalog import Deployment
from router.wire.base import Answer, HttpRequest, RequestMembers, StreamDecoder
from router.wire.bedrock import errors as aws_errors
from router.wire.bedrock.envelope import EnvelopedStream
from router.wire.eventstream import Message
from router.wire.http import post
from router.wire.openai import OpenAIWire
from router.wire.openai.request import chat_request
from router.wire.tgi.errors import decode_error as decode_container_error
from router.wire.tgi.request import generate_request
from router.wire.tgi.response import decode
from router.wire.tgi.stream import GenerateStream
from router.wire.translating import TranslatingWire
from services.decoding import NOT_DECODED
from services.errors import GatewayError, Reason

_PART = "PayloadPart"
# "Model error": the container failed, with a status of its own.
_MODEL_ERROR = 424


class _ModelError(msgspec.Struct):
    original_status_code: int = msgspec.field(default=0, name="OriginalStatusCode")
    original_message: str = msgspec.field(default="", name="OriginalMessage")


_error_decoder = msgspec.json.Decoder(_ModelError)


class PayloadStream(EnvelopedStream):
    """`router.wire.base.StreamDecoder` that unpacks a container's stream for the decoder of its language."""

    def payload_of(self, message: Message) -> bytes:
        """A piece of the container's stream."""
        return message.payload if message.headers.get(":event-type") == _PART else b""

    def fed(self, event: bytes) -> bytes:
        """It is a stream already."""
        return event


class SageMakerWire(TranslatingWire):
    """`router.wire.base.Wire` for containers that speak TGI's language."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, encode, decode, decode_error, open_stream)


class SageMakerChatWire:
    """`router.wire.base.Wire` for containers that speak OpenAI's language."""

    def __init__(self) -> None:
        self._wire = OpenAIWire()

    def encode(self, body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
        asked = chat_request(body, deployment, stream=stream, output_tokens_limit=output_tokens_limit)
        return _request(asked, deployment, stream=stream)

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        return self._wire.decode(body, deployment)

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        return decode_error(status, headers, body, deployment)

    def stream(self, request: HttpRequest, deployment: Deployment) -> StreamDecoder:
        return PayloadStream(deployment, self._wire.stream(request, deployment))


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Of TGI's language. Raises GatewayError (INVALID_REQUEST)."""
    asked = generate_request(body, deployment, output_tokens_limit=output_tokens_limit)
    parameters = asked.members["parameters"]
    assert isinstance(parameters, dict)
    # Other containers than TGI repeat the prompt unless they are told not to.
    parameters.setdefault("return_full_text", False)
    members = {**asked.members, **({"stream": True} if stream else {})}
    return _request(RequestMembers(members, asked.show_usage, asked.dropped), deployment, stream=stream)


def open_stream(deployment: Deployment, *, show_usage: bool, created: int) -> PayloadStream:
    """Of TGI's language. created: now, in seconds since 1970."""
    return PayloadStream(deployment, GenerateStream(deployment, show_usage=show_usage, created=created))


def decode_error(status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment) -> GatewayError:
    """An answer that is not 2xx: the container's own failure where AWS tells it, else AWS's."""
    try:
        said = _error_decoder.decode(body)
    except NOT_DECODED:
        said = _ModelError()
    if 400 <= said.original_status_code <= 599:
        return decode_container_error(said.original_status_code, headers, said.original_message.encode(), deployment)
    error = aws_errors.decode_error(status, headers, body, deployment)
    if status == _MODEL_ERROR:
        error.reason = Reason.ERROR_REASON_PROVIDER_UNAVAILABLE
    return error


def _request(asked: RequestMembers, deployment: Deployment, *, stream: bool) -> HttpRequest:
    url = deployment.chat_url
    return post(
        f"{url}-response-stream" if stream else url,
        msgspec.json.encode(asked.members),
        deployment,
        stream=stream,
        show_usage=asked.show_usage,
        dropped=asked.dropped,
        # What the container shall answer; around it a stream is AWS's in any case.
        accept="application/json",
    )
