"""The holds of the calls that run in this process now: what is renewed, and what is reported after a loss of memory."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.v1 import keystore_pb2, router_pb2


class LiveHolds:
    """Live calls with money held for them, or under limits, by dispatch id."""

    def __init__(self) -> None:
        self._calls: dict[bytes, router_pb2.Open] = {}
        # Of holds that have grown, what they come to.
        self._grown: dict[bytes, int] = {}

    def add(self, request: router_pb2.Open) -> None:
        """A call begins."""
        if request.hold.epoch or request.hold.limited:
            self._calls[request.dispatch_id] = request

    def remove(self, request: router_pb2.Open) -> None:
        """A call has ended, and its entry is in the outbox."""
        self._calls.pop(request.dispatch_id, None)
        self._grown.pop(request.dispatch_id, None)

    def grow(self, dispatch_id: bytes, held_nano_usd: int) -> None:
        """The keystore holds so much by now, if the call is still live."""
        if dispatch_id in self._calls:
            self._grown[dispatch_id] = held_nano_usd

    def ids(self) -> list[bytes]:
        """The dispatch ids."""
        return list(self._calls)

    def report(self) -> Iterator[keystore_pb2.OpenHold]:
        """Each hold, whole."""
        for request in list(self._calls.values()):
            yield keystore_pb2.OpenHold(
                dispatch_id=request.dispatch_id,
                principal=request.principal,
                model=request.model,
                held_nano_usd=self._grown.get(request.dispatch_id, request.hold.held_nano_usd),
            )
