"""The holds of the calls that run in this process now: what is renewed, and what is reported after a loss of memory."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.v1 import keystore_pb2, router_pb2


class LiveHolds:
    """Live calls with money held for them, by dispatch id."""

    def __init__(self) -> None:
        self._calls: dict[bytes, router_pb2.Open] = {}

    def add(self, request: router_pb2.Open) -> None:
        """A call begins."""
        if request.hold.epoch:
            self._calls[request.dispatch_id] = request

    def remove(self, request: router_pb2.Open) -> None:
        """A call has ended, and its entry is in the outbox."""
        self._calls.pop(request.dispatch_id, None)

    def ids(self) -> list[bytes]:
        """The dispatch ids."""
        return list(self._calls)

    def report(self) -> Iterator[keystore_pb2.OpenHold]:
        """Each hold, whole."""
        for request in list(self._calls.values()):
            yield keystore_pb2.OpenHold(
                dispatch_id=request.dispatch_id,
                principal=request.principal,
                held_nano_usd=request.hold.held_nano_usd,
            )
