"""What every wire offers, and the values that cross its border.

A wire is one provider language, as pure code: it opens no socket, reads no clock, and is total, which means that
whatever bytes it is given it answers with a value or a GatewayError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec
from gateway.v1 import common_pb2

from router.catalog import Deployment
from services.decoding import NOT_DECODED
from services.errors import GatewayError, Reason

_Read = TypeVar("_Read")


class HttpRequest(msgspec.Struct, frozen=True, gc=False):
    """What a provider is asked.

    headers carry the credential, so they stay out of the repr. show_usage: the caller of a stream asked for the usage
    event itself; otherwise the gateway asks for it and keeps it. dropped: names of the caller's members that are not
    sent, because the provider does not take them.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    show_usage: bool = False
    dropped: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"HttpRequest({self.method}, {self.url!r})"


class RequestMembers(msgspec.Struct, frozen=True, gc=False):
    """The body of a request before it is written, for a host that wants some of it elsewhere. The others as in
    HttpRequest."""

    members: Mapping[str, object]
    show_usage: bool
    dropped: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A whole answer, in the caller's language.

    usage: as the provider reports it; None when it does not. content_bytes: how much text was generated, for an
    estimate; not always counted when the usage is reported. finish_reason: of the first choice; empty when none was
    given.
    """

    body: bytes
    usage: common_pb2.TokenUsage | None
    content_bytes: int
    finish_reason: str


class StreamStep(msgspec.Struct, frozen=True, gc=False):
    """What some bytes of a stream came to.

    out: whole events in the caller's language, possibly none. has_content: the provider has begun to answer, now or
    earlier: some text, tool call or end of a choice has arrived. error: the provider failed in mid-stream; nothing
    that follows counts. done: the stream's terminator has arrived.
    """

    out: bytes
    has_content: bool
    error: GatewayError | None = None
    done: bool = False


class StreamEnd(msgspec.Struct, frozen=True, gc=False):
    """What a whole stream came to.

    out: events that were still in hand. last: the terminator, to be sent once the call is accounted for. error: set
    when the stream was cut off or was never one; `out` is still good, `last` is empty then. content_events: pieces of
    text that were generated, which is about one a token with most providers; content_bytes: their size. Both are for
    estimates, and 0 when the usage was reported.
    """

    out: bytes
    last: bytes
    usage: common_pb2.TokenUsage | None
    content_events: int
    content_bytes: int
    finish_reason: str
    error: GatewayError | None = None


class StreamDecoder(Protocol):
    """One stream. Splitting its bytes differently changes nothing but where `out` is split."""

    def feed(self, data: bytes) -> StreamStep:
        """The next bytes, as the network gave them."""

    def close(self) -> StreamEnd:
        """The end, or as far as it got: also called when the caller goes away."""


class BrokenStream(Exception):
    """The bytes are no stream of this kind. what: completes "Invalid response: ..."."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Cutter(Protocol):
    """Cuts bytes into whole events, whatever the network made of them. Both raise BrokenStream."""

    def feed(self, data: bytes) -> list[bytes]:
        """Events that are whole now."""

    def rest(self) -> bytes:
        """What remains when the bytes end; empty when nothing does."""


class Wire(Protocol):
    """One provider language, for callers who speak Chat Completions."""

    def encode(self, body: bytes, deployment: Deployment, *, stream: bool, output_tokens_limit: int) -> HttpRequest:
        """A caller's body as a request to the deployment.

        output_tokens_limit: no choice may be longer than what the hold pays for; 0: nothing is imposed. Raises
        GatewayError (INVALID_REQUEST).
        """

    def decode(self, body: bytes, deployment: Deployment) -> Answer:
        """The body of a 2xx answer. Raises GatewayError (PROVIDER_INVALID_RESPONSE, or what the provider says)."""

    def decode_error(
        self, status: int, headers: Mapping[str, str], body: bytes, deployment: Deployment
    ) -> GatewayError:
        """Any other answer. Names of headers are in lower case."""

    def stream(self, request: HttpRequest, deployment: Deployment) -> StreamDecoder:
        """A decoder for the stream that answers `request`."""


def invalid_response(deployment: Deployment, what: str, provider_status: int = 200) -> GatewayError:
    """The provider answered with something that is no answer."""
    return GatewayError(
        Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE,
        f"Empty or invalid response from {deployment.provider}: {what}.",
        provider=deployment.provider,
        provider_status=provider_status,
    )


def read_answer(
    decoder: msgspec.json.Decoder[_Read], body: bytes | msgspec.Raw, deployment: Deployment, what: str
) -> _Read:
    """The body of a 2xx answer in its type. what: it should be. Raises GatewayError (PROVIDER_INVALID_RESPONSE)."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid_response(deployment, f"it is not {what} ({error})") from None
    except NOT_DECODED:
        raise invalid_response(deployment, "it is not JSON") from None
