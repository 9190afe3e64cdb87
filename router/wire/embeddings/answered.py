"""Vectors as callers of embeddings know them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire import base
from router.wire.base import Answer, invalid_response
from router.wire.chat import MAX_TOKENS
from services.decoding import NOT_DECODED

BASE64 = "base64"

_vector_decoder = msgspec.json.Decoder(list[float])


_Read = TypeVar("_Read")


def read_answer(decoder: msgspec.json.Decoder[_Read], body: bytes | msgspec.Raw, deployment: Deployment) -> _Read:
    """A provider's answer in its type. Raises GatewayError (PROVIDER_INVALID_RESPONSE)."""
    return base.read_answer(decoder, body, deployment, "an answer with embeddings")


class _Form(msgspec.Struct):
    encoding_format: str | None = None


_form_decoder = msgspec.json.Decoder(_Form)


def form_of(asked: bytes, deployment: Deployment) -> str:
    """In what form the caller wants vectors: `base64`, or `float` where nobody says."""
    try:
        form = _form_decoder.decode(asked).encoding_format
    except NOT_DECODED:
        form = None
    return form or str(deployment.defaults.get("encoding_format", "float"))


def in_form(vector: msgspec.Raw, form: str, deployment: Deployment) -> object:
    """A vector, written as a list of numbers, in the form that is wanted: as base64 of little-endian floats.

    One that is a text already stays. Raises GatewayError (PROVIDER_INVALID_RESPONSE) when it is neither.
    """
    first = bytes(memoryview(vector)[:1])
    if first == b'"':
        return vector
    if first != b"[":
        raise invalid_response(deployment, "a vector is no list of numbers")
    if form != BASE64:
        return vector
    try:
        numbers = _vector_decoder.decode(vector)
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    except (*NOT_DECODED, OverflowError):
        raise invalid_response(deployment, "a vector is no list of numbers") from None


def answer_of(
    vectors: Sequence[msgspec.Raw],
    input_tokens: float | None,
    *,
    inputs: int,
    asked: bytes,
    deployment: Deployment,
) -> Answer:
    """The answer, with as many vectors as `inputs`, in their order; input_tokens: None when the provider tells none."""
    if len(vectors) != inputs:
        raise invalid_response(deployment, f"it has {len(vectors)} vectors for {inputs} inputs")
    form = form_of(asked, deployment)
    data = [
        {"object": "embedding", "index": index, "embedding": in_form(vector, form, deployment)}
        for index, vector in enumerate(vectors)
    ]
    usage = usage_of(input_tokens)
    tokens = usage.input_tokens if usage else 0
    body = {
        "object": "list",
        "data": data,
        "model": deployment.provider_model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Answer(msgspec.json.encode(body), usage, 0, "")


def usage_of(input_tokens: float | None) -> common_pb2.TokenUsage | None:
    """What was read, if the provider says so and it can be meant."""
    if input_tokens is None or not 0 <= input_tokens <= MAX_TOKENS:
        return None
    return common_pb2.TokenUsage(input_tokens=int(input_tokens))


class _Input(msgspec.Struct):
    input: str | list[msgspec.Raw] = ""


_input_decoder = msgspec.json.Decoder(_Input)


def inputs_in(asked: bytes) -> int:
    """How many inputs a caller's body has."""
    given = _input_decoder.decode(asked).input
    return 1 if isinstance(given, str) else len(given)
