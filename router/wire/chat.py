"""What callers are answered in: a chat completion, whole or in chunks, for the wires that translate into it.

Beyond OpenAI's members: `reasoning_content` (the visible thinking), `thinking_blocks` (with signatures, to be sent back
in a loop of tools), `annotations`, `citations`, `images` (as LiteLLM has them), and what only one provider has in
`provider_specific_fields` (LiteLLM's place for it) and `extra_content` (Google's).
"""

from __future__ import annotations

import hashlib

import msgspec
from gateway.v1 import common_pb2

from router.wire.base import Answer

# No model counts further; a larger number is a broken provider and must not become money.
MAX_TOKENS = 1 << 40

# A count as a provider writes it.
Count = int | float | None


def count(value: Count) -> int:
    """A count that can be money; 0 for what is none."""
    return int(value) if value is not None and 0 <= value <= MAX_TOKENS else 0


def tokens_of(read: Count, written: Count) -> common_pb2.TokenUsage | None:
    """The usage of a provider that counts no more than these two; None where it has not counted both."""
    if read is None or written is None:
        return None
    return common_pb2.TokenUsage(input_tokens=count(read), output_tokens=count(written))


def answer_id(seed: bytes) -> str:
    """An id for an answer that has none in its body: the same for the same bytes."""
    return f"chatcmpl-{hashlib.sha256(seed).hexdigest()[:24]}"


class _PromptDetails(msgspec.Struct, omit_defaults=True):
    cached_tokens: int
    cache_creation_tokens: int
    audio_tokens: int = 0
    image_tokens: int = 0


class _CompletionDetails(msgspec.Struct, omit_defaults=True):
    reasoning_tokens: int
    audio_tokens: int = 0
    image_tokens: int = 0


class ChatUsage(msgspec.Struct):
    """`usage` of a chat completion; the two last members are LiteLLM's."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _PromptDetails
    completion_tokens_details: _CompletionDetails
    cache_creation_input_tokens: int
    cache_read_input_tokens: int

    @classmethod
    def of(cls, tokens: common_pb2.TokenUsage) -> ChatUsage:
        return cls(
            prompt_tokens=tokens.input_tokens,
            completion_tokens=tokens.output_tokens,
            total_tokens=tokens.input_tokens + tokens.output_tokens,
            prompt_tokens_details=_PromptDetails(
                tokens.cache_read_tokens,
                tokens.cache_write_tokens,
                # Ours counts what was read from the cache apart.
                tokens.input_audio_tokens + tokens.cache_read_audio_tokens,
                tokens.input_image_tokens,
            ),
            completion_tokens_details=_CompletionDetails(
                tokens.reasoning_tokens, tokens.output_audio_tokens, tokens.output_image_tokens
            ),
            cache_creation_input_tokens=tokens.cache_write_tokens,
            cache_read_input_tokens=tokens.cache_read_tokens,
        )


class Function(msgspec.Struct, omit_defaults=True, gc=False):
    """A called function; in a stream name comes first and arguments in pieces."""

    arguments: str
    name: str | None = None


# What only one provider has, by name.
Extra = dict[str, object]


class ToolCall(msgspec.Struct, omit_defaults=True, gc=False):
    """A call of a tool; `index` in streams only, where id and name come once."""

    type: str
    function: Function
    index: int | None = None
    id: str | None = None
    provider_specific_fields: Extra | None = None
    extra_content: Extra | None = None


class ThinkingBlock(msgspec.Struct, omit_defaults=True, gc=False):
    """A block of thinking as callers must send it back; `data` of a redacted one."""

    type: str
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class UrlCitation(msgspec.Struct, gc=False):
    """A page, and the characters of the content that it stands behind."""

    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(msgspec.Struct, gc=False):
    """A citation of a page of the web, in OpenAI's form."""

    type: str
    url_citation: UrlCitation


class ImageUrl(msgspec.Struct, gc=False):
    """A picture as a data URL."""

    url: str


class Image(msgspec.Struct, gc=False):
    """A picture in an answer, the `index`th."""

    index: int
    image_url: ImageUrl
    type: str = "image_url"


class Audio(msgspec.Struct, gc=False):
    """Sound in an answer, in base64. expires_at: in seconds since 1970; 0: nothing is kept at the provider."""

    id: str
    data: str
    expires_at: int = 0
    transcript: str = ""


class Message(msgspec.Struct, omit_defaults=True, tag_field="role", tag="assistant"):
    """The message of a whole answer."""

    content: str | None
    refusal: str | None = None
    tool_calls: list[ToolCall] = []
    reasoning_content: str = ""
    thinking_blocks: list[ThinkingBlock] = []
    annotations: list[Annotation] = []
    citations: list[msgspec.Raw] = []
    images: list[Image] = []
    audio: Audio | None = None
    provider_specific_fields: Extra | None = None
    extra_content: Extra | None = None

    def size(self) -> int:
        """Bytes of generated text."""
        texts = [self.content or "", self.reasoning_content]
        texts += [call.function.arguments for call in self.tool_calls]
        return sum(len(text.encode()) for text in texts)


class Choice(msgspec.Struct, omit_defaults=True):
    """logprobs: in OpenAI's form, when they were asked for."""

    index: int
    message: Message
    finish_reason: str
    logprobs: msgspec.Raw | None = None


class Completion(msgspec.Struct, omit_defaults=True, tag_field="object", tag="chat.completion"):
    """A whole answer. created: in seconds since 1970."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage | None = None


class Delta(msgspec.Struct, omit_defaults=True, gc=False):
    """What a chunk adds to the answer."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[ThinkingBlock] | None = None
    annotations: list[Annotation] = []
    citations: list[msgspec.Raw] = []
    images: list[Image] = []
    audio: Audio | None = None
    provider_specific_fields: Extra | None = None
    extra_content: Extra | None = None


def answer_of(
    completion: Completion, usage: common_pb2.TokenUsage | None, shown: common_pb2.TokenUsage | None = None
) -> Answer:
    """A completion as an answer, told with its usage. shown: what the caller is told, where that is not what is paid
    for."""
    told = usage if shown is None else shown
    completion.usage = ChatUsage.of(told) if told is not None else None
    return Answer(
        body=msgspec.json.encode(completion),
        usage=usage,
        content_bytes=sum(choice.message.size() for choice in completion.choices),
        finish_reason=completion.choices[0].finish_reason,
    )


def arguments_of(tool_input: msgspec.Raw | msgspec.UnsetType) -> str:
    """The input of a call as OpenAI's text of JSON; without any, an empty object."""
    text = "" if tool_input is msgspec.UNSET else bytes(tool_input).decode(errors="replace")
    return "{}" if text in ("", "null") else text
