"""Replicate: one prediction a call, waited for; `input` is the model's own, so only what most language models have.

A prediction that is not over when the wait is (60 seconds are the longest that Replicate has) is cancelled there and
fails here. Nobody asks again, and nobody opens the second address at which Replicate would stream: an answer that was
asked for as a stream comes in one piece.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.asked import messages_of
from router.wire.base import Answer, BrokenStream, HttpRequest, invalid_response, read_answer
from router.wire.chat import Choice, Completion, Count, Message, answer_of, tokens_of
from router.wire.http import post
from router.wire.members import INTEGER, NUMBER, Members
from router.wire.openai.errors import decode_error
from router.wire.params import output_limit_of, refuse_several_choices, stop_of, wants_tier, wants_usage
from router.wire.templates import PLAIN, prompt_of, system_apart, texts_of
from router.wire.translated import TranslatedStream
from router.wire.translating import TranslatingWire
from services.errors import GatewayError, Reason

_HEADERS = {"prefer": "wait=60", "cancel-after": "60s"}
# The largest that an answer can be; it is kept until it is whole.
_MAX_BODY_BYTES = 8 * 1024 * 1024

# A model with the hash of its version; without it, the version is the newest.
_VERSIONED = re.compile(r"[^:]+:([0-9a-f]{64})")
# What a model calls the limit of its answer, where that is not `max_tokens`; by the beginning of its name.
_LIMITS: Mapping[str, str] = {
    "meta/llama-2": "max_new_tokens",
    "openai/": "max_completion_tokens",
    "replicate/flan-t5": "max_length",
    "replicate/vicuna": "max_length",
}
_OTHER_LIMITS = ("max_new_tokens", "max_length")
_NEUTRAL: Mapping[str, object] = {
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "parallel_tool_calls": True,
    "reasoning_effort": "none",
    "response_format": {"type": "text"},
    "store": False,
    "tool_choice": "none",
    "tools": [],
    "top_logprobs": 0,
}


class _Metrics(msgspec.Struct):
    input_token_count: Count = None
    output_token_count: Count = None


class _Prediction(msgspec.Struct):
    """output: a text, or its pieces."""

    id: str = ""
    status: str = ""
    output: list[str] | str | None = None
    error: object = None
    metrics: _Metrics | None = None

    def usage(self) -> common_pb2.TokenUsage | None:
        """None where nobody counted."""
        metrics = self.metrics or _Metrics()
        return tokens_of(metrics.input_token_count, metrics.output_token_count)


_decoder = msgspec.json.Decoder(_Prediction)


class ReplicateWire(TranslatingWire):
    """`router.wire.base.Wire` for Replicate's predictions."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, encode, decode, decode_error, PredictionStream)


def encode(body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
    """Raises GatewayError (INVALID_REQUEST)."""
    members = Members(body, deployment)
    prompt = _prompt(texts_of(messages_of(members)))
    refuse_several_choices(members, "Replicate")
    show_usage = wants_usage(members)
    untaken = ["service_tier"] if wants_tier(members) else []
    model = deployment.provider_model
    seed: int | None = members.take("seed", INTEGER)
    limit_name = next((name for beginning, name in _LIMITS.items() if model.startswith(beginning)), "max_tokens")
    given: dict[str, object] = {
        **prompt,
        limit_name: _limit_of(members, output_tokens_limit) or None,
        **{
            name: members.take(name, NUMBER)
            for name in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty")
        },
        "seed": seed,
        "stop_sequences": ",".join(stop_of(members)) or None,
    }
    untaken += members.untaken(_NEUTRAL)
    members.leave_out("Replicate", untaken)
    asked: dict[str, object] = {"input": members.completed(given)}
    version = _VERSIONED.fullmatch(model)
    if version:
        asked["version"] = version[1]
    return post(
        _url(deployment, is_versioned=version is not None),
        msgspec.json.encode(asked),
        deployment,
        stream=stream,
        show_usage=show_usage,
        headers=_HEADERS,
        dropped=tuple(members.dropped),
        accept="application/json",
    )


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970."""
    prediction, text = _read(body, deployment)
    completion = Completion(prediction.id, created, deployment.provider_model, [Choice(0, Message(text), "stop")])
    return answer_of(completion, prediction.usage())


class _WholeBody:
    """`router.wire.base.Cutter` that cuts nothing: what comes is one answer, which is whole when it ends."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Never an event."""
        self._size += len(data)
        if self._size > _MAX_BODY_BYTES:
            raise BrokenStream("it has no end")
        self._parts.append(data)
        return []

    def rest(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)


class PredictionStream(TranslatedStream):
    """`router.wire.base.StreamDecoder` of an answer that comes whole: one piece of text, at the end.

    created: now, in seconds since 1970.
    """

    def __init__(self, deployment: Deployment, *, show_usage: bool, created: int) -> None:
        super().__init__(deployment, _WholeBody(), show_usage=show_usage, created=created)
        self._usage: common_pb2.TokenUsage | None = None

    def read(self, event: bytes) -> None:
        """The whole answer."""
        try:
            prediction, text = _read(event, self.deployment)
        except GatewayError as error:
            self.error = error
            return
        self._usage = prediction.usage()
        self.has_begun = True
        self.chunks.name(prediction.id, self.deployment.provider_model)
        self.chunks.begin()
        self.say(text)
        self.finish_reason = "stop"
        self.chunks.finish(self.finish_reason)

    def usage(self) -> common_pb2.TokenUsage | None:
        """As Replicate has reported it; None when it has not."""
        return self._usage


def _read(body: bytes, deployment: Deployment) -> tuple[_Prediction, str]:
    """A prediction that has succeeded, and its text. Raises GatewayError."""
    prediction = read_answer(_decoder, body, deployment, "a prediction")
    match prediction.status:
        case "starting" | "processing":
            raise _failed(Reason.ERROR_REASON_PROVIDER_TIMEOUT, "has not answered within 60 seconds", deployment)
        case "failed" | "canceled" | "aborted":
            said = prediction.error if isinstance(prediction.error, str) and prediction.error else prediction.status
            raise decode_error(500, {}, msgspec.json.encode({"message": said}), deployment)
    if prediction.status != "succeeded" or prediction.output is None:
        raise invalid_response(deployment, "it is no prediction that has succeeded with a text")
    output = prediction.output
    return prediction, output if isinstance(output, str) else "".join(output)


def _failed(reason: Reason, what: str, deployment: Deployment) -> GatewayError:
    return GatewayError(reason, f"{deployment.provider} {what}.", provider=deployment.provider, provider_status=200)


def _limit_of(members: Members, hold_limit: int) -> int:
    """The lowest that anybody says, in whatever word: what admission has reckoned with is not exceeded. 0: no limit."""
    own = [
        int(number)
        for name in _OTHER_LIMITS
        if (number := members.take(name, NUMBER)) is not None and 1 <= number < 2**53
    ]
    limit = output_limit_of(members, hold_limit)
    return min([limit, *own] if limit > 0 else own, default=limit)


def _prompt(texts: Sequence[tuple[str, str]]) -> dict[str, object]:
    """The system prompt apart; of several turns, one text: the models' own templates go around it."""
    system, turns = system_apart(texts)
    only = turns[0][1] if len(turns) == 1 and turns[0][0] == "user" else None
    return {"prompt": prompt_of(PLAIN, turns) if only is None else only, "system_prompt": system or None}


def _url(deployment: Deployment, *, is_versioned: bool) -> str:
    """Of a version, a deployment of one's own (`deployments/OWNER/NAME`), or a model."""
    base, model = deployment.api_base.rstrip("/"), deployment.provider_model
    if is_versioned:
        return f"{base}/predictions"
    named = quote(model, safe="/")
    return f"{base}/{named}/predictions" if model.startswith("deployments/") else f"{base}/models/{named}/predictions"
