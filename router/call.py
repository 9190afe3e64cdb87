"""One call as the engine sees it: what the edge asked, and the way to answer. The session (`service.py`) is the real
one; tests drive the engine through a recorder of the same shape."""

from __future__ import annotations

from typing import Protocol

from gateway.v1 import router_pb2


class Caller(Protocol):
    """The far end of one call. When the caller is gone the engine's task is cancelled."""

    @property
    def request(self) -> router_pb2.Open:
        """What was asked."""

    async def body(self) -> bytes:
        """The whole request body, once it is here."""

    def sent(self, deployment_id: str) -> None:
        """A provider request has been started."""

    async def answer(self, head: router_pb2.Head, body: bytes, result: router_pb2.Result) -> None:
        """A whole answer at once, and the end of the call: `head`, `data` and `result`."""

    def head(self, head: router_pb2.Head, *, urgent: bool = True) -> None:
        """The answer begins; from here on there is no way back. Not urgent: it may travel with what follows."""

    async def data(self, body: bytes, *, urgent: bool = True) -> None:
        """A part of the answer: whole events of a stream. Waits while the caller reads slowly. urgent: as of a head."""

    def result(self, result: router_pb2.Result) -> None:
        """The call is over, well."""
