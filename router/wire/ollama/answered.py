"""What Ollama's answers hold, whole or in a stream: each line of a stream has the members of a whole answer."""

from __future__ import annotations

import hashlib

import msgspec
from gateway.v1 import common_pb2

from router.wire.chat import Count, arguments_of, count

FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    # The model was only loaded into memory, or out of it.
    "load": "stop",
    "unload": "stop",
}


class _Function(msgspec.Struct, gc=False):
    name: str = ""
    arguments: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Call(msgspec.Struct, gc=False):
    """id: of newer versions only. A call comes whole, in a stream too."""

    function: _Function
    id: str | None = None

    def arguments(self) -> str:
        """An object; from some models a text that holds one."""
        text = arguments_of(self.function.arguments)
        return (_text_decoder.decode(text) or "{}") if text.startswith('"') else text


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class _TokenLogprob(msgspec.Struct, gc=False):
    token: str
    logprob: float
    bytes: list[int] | None = None


class Logprob(_TokenLogprob, gc=False):
    """A token, and how likely it and others were in its place: OpenAI's words, which leave no member out."""

    top_logprobs: list[_TokenLogprob] = []


class Answered(msgspec.Struct, gc=False):
    """A whole answer, or a line of a stream. error: a text, in place of an answer."""

    error: object = None
    model: str = ""
    created_at: str = ""
    message: _Message | None = None
    logprobs: list[Logprob] | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Count = None
    eval_count: Count = None

    def usage(self) -> common_pb2.TokenUsage | None:
        """None when nothing was counted. A count of 0 is left out there: a prompt that was all in the cache."""
        if self.prompt_eval_count is None and self.eval_count is None:
            return None
        return common_pb2.TokenUsage(input_tokens=count(self.prompt_eval_count), output_tokens=count(self.eval_count))

    def finish_reason(self, *, calls: bool) -> str:
        """calls: the answer has calls of tools, which Ollama does not take for a reason to stop."""
        found = FINISH_REASONS.get(self.done_reason or "", "stop")
        return "tool_calls" if calls and found == "stop" else found

    def weighed(self) -> msgspec.Raw | None:
        """OpenAI's `logprobs`; None when there are none."""
        return msgspec.Raw(msgspec.json.encode({"content": self.logprobs})) if self.logprobs else None


class Ids:
    """Makes the ids that OpenAI's language demands: unique, and the same for the same answer.

    Ollama tells when it wrote a line, to the nanosecond. created: our own time, where it does not.
    """

    def __init__(self, created: int) -> None:
        self._created = created

    def of_answer(self, first: Answered) -> str:
        return f"chatcmpl-{self._digest(first.created_at, first.model)}"

    def of_call(self, call: Call, at: int, line: Answered) -> str:
        """Ollama's own id, if it has one. at: which of the answer's calls it is."""
        return call.id or f"call_{self._digest(line.created_at, str(at), call.function.name, call.arguments())}"

    def _digest(self, *parts: str) -> str:
        whole = "\0".join((str(self._created), *parts))
        return hashlib.sha256(whole.encode(errors="replace")).hexdigest()[:24]


_text_decoder = msgspec.json.Decoder(str)
answered_decoder = msgspec.json.Decoder(Answered)
