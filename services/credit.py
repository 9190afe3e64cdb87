"""Credit: how many bytes of `data` may be under way, so that a slow reader costs memory to nobody.

A sender takes credit before it sends and waits when there is none; the receiver gives it back as it consumes. A window
may lie inside a wider one: a call's (256 KiB) inside its link's (16 MiB).
"""

from __future__ import annotations

import asyncio

CALL_BYTES = 256 * 1024
LINK_BYTES = 16 * 1024 * 1024
# A receiver acknowledges in steps of this: a frame a step, not one a chunk.
STEP_BYTES = 64 * 1024


class Window:
    """What one sender may still send."""

    __slots__ = ("_outer", "_waiters", "available")

    def __init__(self, available: int, outer: Window | None = None) -> None:
        self.available = available
        self._outer = outer
        self._waiters: list[asyncio.Future[None]] = []

    def try_take(self, size: int) -> bool:
        """Take credit if there is some left here and in the wider window.

        The last taker may overdraw by one frame, so that a frame larger than what is left need not be cut.
        """
        if self.available <= 0 or (self._outer is not None and self._outer.available <= 0):
            return False
        self.available -= size
        if self._outer is not None:
            self._outer.available -= size
        return True

    async def take(self, size: int) -> None:
        """Take credit, waiting for it as long as it needs."""
        while not self.try_take(size):
            blocking = self if self.available <= 0 or self._outer is None else self._outer
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            blocking._waiters.append(waiter)
            try:
                await waiter
            finally:
                if not waiter.done() or waiter.cancelled():
                    blocking._waiters = [other for other in blocking._waiters if other is not waiter]

    def give(self, size: int) -> None:
        """The receiver has consumed so much."""
        self.available += size
        self._wake()
        if self._outer is not None:
            self._outer.available += size
            self._outer._wake()

    def give_back_to_outer(self, size: int) -> None:
        """The call is over: what it still had under way no longer counts against the link."""
        if self._outer is not None:
            self._outer.available += size
            self._outer._wake()

    def _wake(self) -> None:
        if self.available > 0:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
