"""Whole answers, and the usage that answers and streams report."""

from __future__ import annotations

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.base import Answer, invalid_response, read_answer
from router.wire.chat import Count, count
from router.wire.openai.answer import AnswerFixes
from router.wire.openai.errors import decode_stream_error
from router.wire.tiers import tier_of
from services.decoding import NOT_DECODED

# The value of a raw member that is not there.
ABSENT = msgspec.Raw()


class _InputDetails(msgspec.Struct, gc=False):
    audio_tokens: Count = None
    image_tokens: Count = None
    cached_tokens: Count = None
    cache_write_tokens: Count = None
    cache_creation_tokens: Count = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    # Words for cached input: DeepSeek's, Moonshot's and Together's, Mistral's, and Databricks' and LiteLLM's.
    prompt_cache_hit_tokens: Count = None
    cached_tokens: Count = None
    num_cached_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None


class Content(msgspec.Struct, gc=False):
    """The members of a message or a delta that hold what was generated."""

    content: msgspec.Raw = ABSENT
    refusal: msgspec.Raw = ABSENT
    reasoning_content: msgspec.Raw = ABSENT
    reasoning: msgspec.Raw = ABSENT
    tool_calls: msgspec.Raw = ABSENT
    function_call: msgspec.Raw = ABSENT
    audio: msgspec.Raw = ABSENT

    def size(self) -> int:
        """Bytes of generated text, as JSON writes it; 0 when there is none."""
        size = _size(self.content) + _size(self.refusal) + (_size(self.reasoning_content) or _size(self.reasoning))
        return size + _size(self.tool_calls) + _size(self.function_call) + _size(self.audio)


class _Choice(msgspec.Struct, gc=False):
    message: Content | None = None
    finish_reason: str | None = None


class _Completion(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_NO_INPUT_DETAILS = _InputDetails()
_NO_OUTPUT_DETAILS = _OutputDetails()
_NOTHING = frozenset((b"", b"null", b'""', b"[]", b"{}"))
_completion_decoder = msgspec.json.Decoder(_Completion)
_usage_decoder = msgspec.json.Decoder(_Usage)


def decode(body: bytes, deployment: Deployment) -> Answer:
    """The body of a 2xx answer: read for its usage, passed on untouched where no quirk speaks of it."""
    if deployment.quirks is not None and deployment.quirks.answer:
        fixes = AnswerFixes(deployment.quirks.answer, part="message")
        body = body if fixes.leaves(body) else fixes.body(body)
    completion = read_answer(_completion_decoder, body, deployment, "a chat completion")
    if not is_nothing(completion.error):
        # Some hosts send their errors with status 200.
        raise decode_stream_error(body, deployment)
    if not completion.choices:
        raise invalid_response(deployment, "it has no choices")
    usage = usage_of(completion.usage, completion.service_tier)
    content_bytes = 0
    if usage is None:
        content_bytes = sum(choice.message.size() for choice in completion.choices if choice.message)
    return Answer(
        body=body,
        usage=usage,
        content_bytes=content_bytes,
        finish_reason=completion.choices[0].finish_reason or "",
    )


def usage_of(raw: msgspec.Raw, service_tier: msgspec.Raw = ABSENT) -> common_pb2.TokenUsage | None:
    """A `usage` member as tokens, with what stands beside it as `service_tier`; None when it is absent, null or
    senseless."""
    if is_nothing(raw):
        return None
    try:
        usage = _usage_decoder.decode(raw)
    except NOT_DECODED:
        return None
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return None
    inputs = usage.prompt_tokens_details or _NO_INPUT_DETAILS
    outputs = usage.completion_tokens_details or _NO_OUTPUT_DETAILS
    reasoning = count(outputs.reasoning_tokens)
    prompt, completion = count(usage.prompt_tokens), count(usage.completion_tokens)
    if reasoning and count(usage.total_tokens) == prompt + completion + reasoning:
        # xAI reports, and bills, reasoning beside the completion; OpenAI within it.
        completion += reasoning
    return common_pb2.TokenUsage(
        input_tokens=prompt,
        output_tokens=completion,
        cache_read_tokens=count(inputs.cached_tokens)
        or count(usage.prompt_cache_hit_tokens)
        or count(usage.cached_tokens)
        or count(usage.num_cached_tokens)
        or count(usage.cache_read_input_tokens),
        cache_write_tokens=count(inputs.cache_write_tokens)
        or count(inputs.cache_creation_tokens)
        or count(usage.cache_creation_input_tokens),
        reasoning_tokens=reasoning,
        input_audio_tokens=count(inputs.audio_tokens),
        input_image_tokens=count(inputs.image_tokens),
        output_audio_tokens=count(outputs.audio_tokens),
        output_image_tokens=count(outputs.image_tokens),
        service_tier=tier_of(bytes(service_tier).decode("utf-8", "replace").strip('"')),
    )


def is_nothing(raw: msgspec.Raw) -> bool:
    """Whether a member is absent or says nothing."""
    return raw is ABSENT or bytes(raw) in _NOTHING


def _size(raw: msgspec.Raw) -> int:
    if is_nothing(raw):
        return 0
    value = bytes(raw)
    return len(value) - 2 if value.startswith(b'"') else len(value)
