"""What the decoders of all translated streams have in common: events in, chunks out, and the ways in which it ends."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.base import BrokenStream, Cutter, StreamEnd, StreamStep, invalid_response
from router.wire.chunks import Chunks
from services.errors import GatewayError, Reason

_DONE = b"data: [DONE]\n\n"
# Thinking and citations are kept until their block ends. The longest thinking is some 128,000 tokens.
_MAX_KEPT_BYTES = 4 * 1024 * 1024


class TranslatedStream(ABC):
    """`router.wire.base.StreamDecoder` over a cutter; a subclass reads one event at a time.

    It sets `has_begun` when the answer has begun, `has_content` when something of it has arrived, `finish_reason` at
    the end of the first choice, `done` at the terminator.
    """

    def __init__(self, deployment: Deployment, cutter: Cutter, *, show_usage: bool, created: int) -> None:
        self.deployment = deployment
        self.chunks = Chunks(created)
        self.has_begun = False
        self.has_content = False
        self.finish_reason = ""
        self.done = False
        # Of the text, for what stands behind a place in it.
        self.content_chars = 0
        self.error: GatewayError | None = None
        self._cutter = cutter
        self._kept_bytes = 0
        self._show_usage = show_usage

    @abstractmethod
    def read(self, event: bytes) -> None:
        """One whole event."""

    def read_rest(self, rest: bytes) -> None:
        """What came without its end: an event all the same, when it is whole."""
        self.read(rest)

    def conclude(self) -> None:  # noqa: B027  most languages say themselves what ends a choice
        """Write what only the end of the stream allows to be said; it has ended well."""

    @abstractmethod
    def usage(self) -> common_pb2.TokenUsage | None:
        """As the provider has reported it; None when it has not."""

    def shown_usage(self) -> common_pb2.TokenUsage | None:
        """What the caller is told, where that is not what is paid for."""
        return self.usage()

    def say(self, text: str) -> None:
        """A piece of the text."""
        self.content_chars += len(text)
        self.has_content = True
        self.chunks.say(text)

    def think(self, text: str) -> None:
        """A piece of the visible thinking."""
        self.has_content = True
        self.chunks.think(text)

    def keep(self, size: int) -> None:
        """So much is kept until its block ends; what has no end breaks the stream."""
        self._kept_bytes += size
        if self._kept_bytes > _MAX_KEPT_BYTES:
            self.broken("its thinking or its citations have no end")

    def feed(self, data: bytes) -> StreamStep:
        """The next bytes, as the network gave them."""
        if not self.done and self.error is None:
            self._read_events(data)
        return StreamStep(self.chunks.take(), self.has_content, self.error, self.done)

    def close(self) -> StreamEnd:
        """The end, or as far as it got."""
        if not self.done and self.error is None:
            self._read_the_rest()
        if self.error is None and not self.finish_reason:
            self.error = self._cut_off()
        if self.error is None:
            self.conclude()
        usage = self.usage()
        shown = self.shown_usage() if self.error is None and self._show_usage else None
        if shown is not None:
            self.chunks.usage(shown)
        return StreamEnd(
            out=self.chunks.take(),
            last=_DONE if self.error is None else b"",
            usage=usage,
            content_events=self.chunks.content_events if usage is None else 0,
            content_bytes=self.chunks.content_bytes if usage is None else 0,
            finish_reason=self.finish_reason,
            error=self.error,
        )

    def broken(self, what: str) -> None:
        """What comes is no answer. what: completes "Invalid response: ..."."""
        self.error = invalid_response(self.deployment, what)

    def _read_events(self, data: bytes) -> None:
        try:
            for event in self._cutter.feed(data):
                self.read(event)
                if self.done or self.error is not None:
                    return
        except BrokenStream as broken:
            self.broken(broken.what)

    def _read_the_rest(self) -> None:
        try:
            rest = self._cutter.rest()
            if rest:
                self.read_rest(rest)
        except BrokenStream as broken:
            self.broken(broken.what)

    def _cut_off(self) -> GatewayError:
        if not self.has_begun:
            return invalid_response(self.deployment, "its stream has no message")
        return GatewayError(
            Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
            f"{self.deployment.provider} broke off its stream before the end.",
            provider=self.deployment.provider,
        )
