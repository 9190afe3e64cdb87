"""What `/generate` answers, whole or in a stream."""

from __future__ import annotations

import msgspec
from gateway.v1 import common_pb2

from router.wire.chat import Count, tokens_of

FINISH_REASONS = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


class Details(msgspec.Struct, gc=False):
    """How the answer ended, and what it took. prefill: the tokens of the prompt, where the server tells them."""

    finish_reason: str | None = None
    generated_tokens: Count = None
    input_length: Count = None
    prefill: list[msgspec.Raw] | None = None

    def usage(self) -> common_pb2.TokenUsage | None:
        """None where the server has not counted both."""
        read = self.input_length if self.input_length is not None else len(self.prefill or ()) or None
        return tokens_of(read, self.generated_tokens)


class Generated(msgspec.Struct, gc=False):
    """A whole answer. generation: the same of some of AWS's own containers. error: a text, in place of an answer."""

    generated_text: str | None = None
    generation: str | None = None
    details: Details | None = None
    error: object = None

    def text(self) -> str | None:
        """None where it is no answer."""
        return self.generated_text if self.generated_text is not None else self.generation


class _Token(msgspec.Struct, gc=False):
    """special: a mark of the model's, and no text of the answer."""

    text: str = ""
    special: bool = False


class Piece(msgspec.Struct, gc=False):
    """An event of a stream. generated_text: the whole text once more, with the last token."""

    token: _Token | None = None
    generated_text: str | None = None
    details: Details | None = None
    error: object = None
