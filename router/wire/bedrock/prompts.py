"""Older families that InvokeModel asks with one text: how a conversation is written for each, and what they answer.

From the pages of the models' parameters in AWS's user guide. They take text and the usual parameters, no tools.
Converse takes most of them too, and more of what a caller may ask.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.asked import messages_of
from router.wire.base import Answer, BrokenStream, RequestMembers, invalid_response, read_answer
from router.wire.bedrock.address import model_of
from router.wire.bedrock.envelope import metrics_of, payload_in
from router.wire.bedrock.errors import decode_error, decode_exception, is_error
from router.wire.bedrock.request import NEUTRAL, Body
from router.wire.bedrock.stream import exception_in
from router.wire.chat import Choice, Completion, Count, answer_id, answer_of, tokens_of
from router.wire.chat import Message as Said
from router.wire.eventstream import MessageCutter, message_in
from router.wire.members import NUMBER, Members
from router.wire.params import output_limit_of, refuse_several_choices, stop_of, wants_usage
from router.wire.templates import (
    BOT,
    DEEPSEEK,
    HUMAN,
    LLAMA_2,
    LLAMA_3,
    MISTRAL,
    Template,
    prompt_of,
    system_apart,
    texts_of,
)
from router.wire.translated import TranslatedStream
from services.decoding import NOT_DECODED


class Family(msgspec.Struct, frozen=True):
    """prompt: the member of the body with the text; empty: Cohere's message and history. names: of OpenAI's parameters
    in the family's words. nested: the member that holds them; empty: the body itself. default_max_tokens: where the
    family demands a limit."""

    prompt: str
    names: Mapping[str, str]
    template: Template = Template()
    nested: str = ""
    default_max_tokens: int = 0


_COHERE = {"max": "max_tokens", "temperature": "temperature", "top_p": "p", "top_k": "k", "stop": "stop_sequences"}
_LLAMA = {"max": "max_gen_len", "temperature": "temperature", "top_p": "top_p"}
_PLAIN = {"max": "max_tokens", "temperature": "temperature", "top_p": "top_p", "stop": "stop"}
_CAMEL = {"temperature": "temperature", "top_p": "topP", "stop": "stopSequences"}
_CLAUDE = Family(
    "prompt",
    {
        "max": "max_tokens_to_sample",
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "stop": "stop_sequences",
    },
    HUMAN,
    default_max_tokens=4096,
)

FAMILIES: Mapping[str, Family] = {
    "ai21.j2": Family("prompt", {"max": "maxTokens", **_CAMEL}, BOT),
    "amazon.titan-text": Family("inputText", {"max": "maxTokenCount", **_CAMEL}, BOT, "textGenerationConfig"),
    "anthropic.claude-instant": _CLAUDE,
    "anthropic.claude-v2": _CLAUDE,
    "cohere.command": Family("prompt", _COHERE, BOT),
    "cohere.command-r": Family("", _COHERE),
    "deepseek.r1": Family("prompt", _PLAIN, DEEPSEEK),
    "meta.llama2": Family("prompt", _LLAMA, LLAMA_2),
    "meta.llama": Family("prompt", _LLAMA, LLAMA_3),
    "mistral.": Family("prompt", {**_PLAIN, "top_k": "top_k"}, MISTRAL),
}

_FINISH_REASONS = {
    "length": "length",
    "max_tokens": "length",
    "content_filtered": "content_filter",
    "error_toxic": "content_filter",
}


class _Text(msgspec.Struct, rename="camel", gc=False):
    """One of several texts, in the words of any family."""

    text: str | None = None
    output_text: str | None = None
    token_count: Count = None
    completion_reason: str | None = None
    stop_reason: str | None = msgspec.field(default=None, name="stop_reason")
    finish_reason: str | None = msgspec.field(default=None, name="finish_reason")
    data: _Text | None = None
    reason: _Reason | None = msgspec.field(default=None, name="finishReason")


class _Reason(msgspec.Struct, gc=False):
    reason: str | None = None


class _Written(msgspec.Struct, gc=False):
    """An answer, or an event of one, in the words of any family."""

    completion: str | None = None
    generation: str | None = None
    text: str | None = None
    output_text: str | None = msgspec.field(default=None, name="outputText")
    outputs: list[_Text] = []
    results: list[_Text] = []
    generations: list[_Text] = []
    completions: list[_Text] = []
    choices: list[_Text] = []
    stop_reason: str | None = None
    finish_reason: str | None = None
    completion_reason: str | None = msgspec.field(default=None, name="completionReason")
    prompt_token_count: Count = None
    generation_token_count: Count = None
    input_text_token_count: Count = msgspec.field(default=None, name="inputTextTokenCount")
    total_output_text_token_count: Count = msgspec.field(default=None, name="totalOutputTextTokenCount")

    def first(self) -> _Text:
        """The text and why it ends."""
        several = self.outputs or self.results or self.generations or self.completions or self.choices
        one = several[0] if several else _Text()
        whole = (self.completion, self.generation, self.text, self.output_text, one.text, one.output_text)
        text = next((each for each in whole if each is not None), one.data.text if one.data else None)
        reason = self.stop_reason or self.finish_reason or self.completion_reason
        reason = reason or one.stop_reason or one.finish_reason or one.completion_reason
        return _Text(text=text, stop_reason=reason or (one.reason.reason if one.reason else None))

    def counts(self) -> tuple[Count, Count]:
        """Input and output tokens, where the family counts."""
        results = self.results[0].token_count if self.results else None
        outputs = (self.generation_token_count, self.total_output_text_token_count, results)
        inputs = self.prompt_token_count if self.prompt_token_count is not None else self.input_text_token_count
        return inputs, next((each for each in outputs if each is not None), None)


_decoder = msgspec.json.Decoder(_Written)


def encode(family: Family, body: bytes, deployment: Deployment, output_tokens_limit: int) -> RequestMembers:
    """Raises GatewayError (INVALID_REQUEST)."""
    members = Members(body, deployment)
    messages = texts_of(messages_of(members))
    refuse_several_choices(members, "Bedrock")
    show_usage = wants_usage(members)
    given = {
        "max": output_limit_of(members, output_tokens_limit, family.default_max_tokens) or None,
        "temperature": members.take("temperature", NUMBER),
        "top_p": members.take("top_p", NUMBER),
        "top_k": members.take("top_k", NUMBER),
        "stop": stop_of(members) or None,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    untaken = [name for name in asked if name not in family.names]
    untaken += members.untaken(NEUTRAL)
    members.leave_out("Bedrock", untaken)
    parameters: Body = {family.names[name]: value for name, value in asked.items() if name in family.names}
    template = family.template
    prompt = template.start + prompt_of(template, messages)
    said: Body = {family.prompt: prompt} if family.prompt else _cohere(messages)
    # The provider's own words must not undo the limit, which may be what a hold pays for.
    sent = {**members.passed(), **said, **({family.nested: parameters} if family.nested else parameters)}
    return RequestMembers(sent, show_usage, tuple(members.dropped))


def decode(body: bytes, deployment: Deployment, *, created: int) -> Answer:
    """The body of a 2xx answer. created: now, in seconds since 1970, which Bedrock does not tell."""
    written = read_answer(_decoder, body, deployment, "an answer of such a model")
    said = written.first()
    if said.text is None:
        if is_error(body):
            raise decode_error(200, {}, body, deployment)
        raise invalid_response(deployment, "it has no text")
    choices = [Choice(0, Said(said.text), _finish_reason(said.stop_reason))]
    completion = Completion(answer_id(b"%d" % created + body), created, model_of(deployment), choices)
    return answer_of(completion, tokens_of(*written.counts()))


class PromptedStream(TranslatedStream):
    """`router.wire.base.StreamDecoder` for such models. created, seed: as for `ConverseStream`."""

    def __init__(self, deployment: Deployment, *, show_usage: bool, created: int, seed: bytes) -> None:
        super().__init__(deployment, MessageCutter(), show_usage=show_usage, created=created)
        self.chunks.name(answer_id(seed), model_of(deployment))
        self._input: Count = None
        self._output: Count = None

    def read(self, event: bytes) -> None:
        """One whole message."""
        message = message_in(event)
        failure = exception_in(message)
        if failure is not None:
            if not self.finish_reason:
                self.error = decode_exception(*failure, self.deployment, message.headers.get(":error-message", ""))
            return
        payload = payload_in(message)
        if not payload:
            return
        try:
            written = _decoder.decode(payload)
        except NOT_DECODED:
            raise BrokenStream("an event of its stream is none of such a model") from None
        self._read(written, payload)

    def read_rest(self, rest: bytes) -> None:
        """A piece of a message is no message."""

    def usage(self) -> common_pb2.TokenUsage | None:
        """As the provider has reported it; None when it has not."""
        return tokens_of(self._input, self._output)

    def _read(self, written: _Written, payload: bytes) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.chunks.begin()
        said = written.first()
        if said.text and not self.finish_reason:
            self.say(said.text)
        inputs, outputs = metrics_of(payload) or written.counts()
        self._input = self._input if inputs is None else inputs
        self._output = self._output if outputs is None else outputs
        if said.stop_reason and not self.finish_reason:
            self.has_content = True
            self.finish_reason = _finish_reason(said.stop_reason)
            self.chunks.finish(self.finish_reason)


def _finish_reason(reason: str | None) -> str:
    return _FINISH_REASONS.get((reason or "").lower(), "stop")


def _cohere(messages: list[tuple[str, str]]) -> Body:
    """The last words of the user, what was said before, and the system prompt apart."""
    system, turns = system_apart(messages)
    roles = {"user": "USER", "assistant": "CHATBOT"}
    history = [{"role": roles[role], "message": text} for role, text in turns[:-1]]
    body: Body = {"message": turns[-1][1] if turns else ""}
    return {**body, **({"chat_history": history} if history else {}), **({"preamble": system} if system else {})}
