"""InvokeModel's streams: a model's own events, each in base64 in a message of the event stream."""

from __future__ import annotations

from base64 import b64decode

import msgspec

from router.catalog import Deployment
from router.wire.base import BrokenStream, StreamDecoder, StreamEnd, StreamStep, invalid_response
from router.wire.bedrock.errors import decode_exception
from router.wire.bedrock.stream import exception_in
from router.wire.eventstream import Message, MessageCutter, message_in
from services.decoding import NOT_DECODED
from services.errors import GatewayError


class _Part(msgspec.Struct, gc=False):
    bytes: str = ""


class _Metrics(msgspec.Struct, rename="camel", gc=False):
    input_token_count: int | None = None
    output_token_count: int | None = None


class _Measured(msgspec.Struct, gc=False):
    metrics: _Metrics | None = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")
    usage: msgspec.Raw = msgspec.Raw(b"null")


_part_decoder = msgspec.json.Decoder(_Part)
_measured_decoder = msgspec.json.Decoder(_Measured)


def payload_in(message: Message) -> bytes:
    """The model's event in a message; empty for a message of another kind. Raises BrokenStream."""
    if message.headers.get(":event-type") != "chunk":
        return b""
    try:
        return b64decode(_part_decoder.decode(message.payload).bytes, validate=True)
    except (*NOT_DECODED, ValueError):
        raise BrokenStream("a message of its stream holds no event") from None


def metrics_of(payload: bytes) -> tuple[int, int] | None:
    """What Bedrock has counted, on the last event of a stream that does not count itself: input and output tokens."""
    try:
        measured = _measured_decoder.decode(payload)
    except NOT_DECODED:
        return None
    metrics = measured.metrics
    if metrics is None or measured.usage != msgspec.Raw(b"null"):
        return None
    if metrics.input_token_count is None or metrics.output_token_count is None:
        return None
    return metrics.input_token_count, metrics.output_token_count


class EnvelopedStream:
    """`router.wire.base.StreamDecoder` that unpacks a model's events for the decoder of its own language, which reads
    them as server-sent events."""

    def __init__(self, deployment: Deployment, inner: StreamDecoder) -> None:
        self._deployment = deployment
        self._inner = inner
        self._cutter = MessageCutter()
        self._step = StreamStep(b"", False)
        self._error: GatewayError | None = None
        self._end: StreamEnd | None = None

    def feed(self, data: bytes) -> StreamStep:
        """The next bytes, as the network gave them."""
        out: list[bytes] = []
        if not self._step.done and self._error is None:
            try:
                self._unpack(data, out)
            except BrokenStream as broken:
                self._error = invalid_response(self._deployment, broken.what)
        return StreamStep(b"".join(out), self._step.has_content, self._error, self._step.done)

    def close(self) -> StreamEnd:
        """The end, or as far as it got."""
        if not self._step.done and self._error is None:
            try:
                # A piece of a message is no message.
                self._cutter.rest()
            except BrokenStream as broken:
                self._error = invalid_response(self._deployment, broken.what)
        end = self._end or self._inner.close()
        return end if self._error is None else msgspec.structs.replace(end, last=b"", error=self._error)

    def payload_of(self, message: Message) -> bytes:
        """What a message holds; empty for one of another kind. Raises BrokenStream."""
        return payload_in(message)

    def events_of(self, payload: bytes) -> list[bytes]:
        """What the inner decoder gets of one event."""
        return [payload]

    def fed(self, event: bytes) -> bytes:
        """An event as the inner decoder reads it."""
        return _as_server_sent(event)

    def _fail(self, error: GatewayError) -> None:
        self._end = self._inner.close()
        if self._end.error is None:
            # What follows the end of the answer takes nothing from it.
            self._step = StreamStep(b"", self._step.has_content, done=True)
        else:
            self._error = error

    def _unpack(self, data: bytes, out: list[bytes]) -> None:
        for cut in self._cutter.feed(data):
            message = message_in(cut)
            failure = exception_in(message)
            if failure is not None:
                said = message.headers.get(":error-message", "")
                self._fail(decode_exception(*failure, self._deployment, said))
                return
            payload = self.payload_of(message)
            for event in self.events_of(payload) if payload else ():
                self._step = self._inner.feed(self.fed(event))
                out.append(self._step.out)
                self._error = self._step.error
                if self._step.done or self._error is not None:
                    return


class EnvelopedChatStream(EnvelopedStream):
    """The same for models that speak OpenAI's language: Bedrock's count is their usage, where they give none."""

    def events_of(self, payload: bytes) -> list[bytes]:
        """The event, and behind it one with the usage when Bedrock has counted."""
        counted = metrics_of(payload)
        if counted is None:
            return [payload]
        usage = {"prompt_tokens": counted[0], "completion_tokens": counted[1], "total_tokens": sum(counted)}
        chunk = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": [], "usage": usage}
        return [payload, msgspec.json.encode(chunk)]


def _as_server_sent(event: bytes) -> bytes:
    return b"data: " + b"\ndata: ".join(event.splitlines()) + b"\n\n"
