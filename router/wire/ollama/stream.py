"""Streams of Ollama's chat, a line of JSON for each piece, as streams of Chat Completions.

A call of a tool comes whole. The line that is `done` is the terminator and tells the usage.
"""

from __future__ import annotations

from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.ndjson import LineCutter
from router.wire.ollama.answered import Answered, Ids, answered_decoder
from router.wire.openai.errors import decode_stream_error
from router.wire.translated import TranslatedStream
from services.decoding import NOT_DECODED


class OllamaStream(TranslatedStream):
    """`router.wire.base.StreamDecoder` for Ollama's chat. created: now, in seconds since 1970."""

    def __init__(self, deployment: Deployment, *, show_usage: bool, created: int) -> None:
        super().__init__(deployment, LineCutter(), show_usage=show_usage, created=created)
        self._ids = Ids(created)
        self._calls = 0
        self._usage: common_pb2.TokenUsage | None = None

    def read(self, event: bytes) -> None:
        """One line."""
        answered = _line(event)
        if answered is None:
            self.broken("a line of its stream is no answer")
        else:
            self._read(answered, event)

    def read_rest(self, rest: bytes) -> None:
        """What came without its line end, if it is whole. A piece of a line is no line."""
        answered = _line(rest)
        if answered is not None:
            self._read(answered, rest)

    def usage(self) -> common_pb2.TokenUsage | None:
        """As Ollama has reported it; None when it has not."""
        return self._usage

    def _read(self, answered: Answered, line: bytes) -> None:
        if answered.error is not None:
            self.error = decode_stream_error(line, self.deployment)
            return
        if not self.has_begun and (answered.message is not None or answered.done):
            self.has_begun = True
            self.chunks.name(self._ids.of_answer(answered), answered.model or self.deployment.provider_model)
            self.chunks.begin()
        self._say(answered)
        if answered.done:
            self._finish(answered)

    def _say(self, answered: Answered) -> None:
        message = answered.message
        if message is None:
            return
        if message.thinking:
            self.think(message.thinking)
        if message.content:
            self.say(message.content)
        weighed = answered.weighed()
        if weighed is not None:
            self.chunks.weigh(weighed)
        for call in message.tool_calls or ():
            self.has_content = True
            self.chunks.call(self._calls, self._ids.of_call(call, self._calls, answered), call.function.name)
            self.chunks.arguments(self._calls, call.arguments())
            self._calls += 1

    def _finish(self, answered: Answered) -> None:
        self._usage = answered.usage()
        self.has_content = True
        self.finish_reason = answered.finish_reason(calls=self._calls > 0)
        self.chunks.finish(self.finish_reason)
        self.done = True


def _line(line: bytes) -> Answered | None:
    try:
        return answered_decoder.decode(line)
    except NOT_DECODED:
        return None
