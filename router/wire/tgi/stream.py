"""Streams of `/generate_stream` as streams of Chat Completions: an event a token, the last of them with the details."""

from __future__ import annotations

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from router.wire.chat import answer_id
from router.wire.sse import Splitter, fields_of
from router.wire.tgi.answered import FINISH_REASONS, Details, Piece
from router.wire.tgi.errors import decode_stream_error
from router.wire.translated import TranslatedStream
from services.decoding import NOT_DECODED

_decoder = msgspec.json.Decoder(Piece)


class GenerateStream(TranslatedStream):
    """`router.wire.base.StreamDecoder` for `/generate_stream`.

    created: now, in seconds since 1970, which TGI does not tell.
    """

    def __init__(self, deployment: Deployment, *, show_usage: bool, created: int) -> None:
        super().__init__(deployment, Splitter(), show_usage=show_usage, created=created)
        self._seed = b"%d" % created
        self._usage: common_pb2.TokenUsage | None = None

    def read(self, event: bytes) -> None:
        """One event."""
        # Asked for a stream, a host may answer or fail in plain JSON.
        said = event if event.startswith(b"{") else fields_of(event).data
        if said is None or said.strip() == b"[DONE]":
            return
        try:
            piece = _decoder.decode(said)
        except NOT_DECODED:
            self.broken("an event of its stream is no token")
            return
        self._read(piece, said)

    def read_rest(self, rest: bytes) -> None:
        """What came without its final blank line, if it is whole. A piece of an event is no event."""
        said = rest if rest.startswith(b"{") else fields_of(rest).data
        try:
            piece = _decoder.decode(said or b"")
        except NOT_DECODED:
            return
        self._read(piece, said or b"")

    def usage(self) -> common_pb2.TokenUsage | None:
        """As the server has reported it; None when it has not."""
        return self._usage

    def _read(self, piece: Piece, said: bytes) -> None:
        if piece.error is not None:
            self.error = decode_stream_error(said, self.deployment)
            return
        if not self.has_begun:
            self.has_begun = True
            self.chunks.name(answer_id(self._seed + said), self.deployment.provider_model)
            self.chunks.begin()
        if piece.token is not None and piece.token.text and not piece.token.special:
            self.say(piece.token.text)
        if piece.details is not None or piece.generated_text is not None:
            self._finish(piece.details or Details())

    def _finish(self, details: Details) -> None:
        self._usage = details.usage()
        self.has_content = True
        self.finish_reason = FINISH_REASONS.get(details.finish_reason or "", "stop")
        self.chunks.finish(self.finish_reason)
        self.done = True
