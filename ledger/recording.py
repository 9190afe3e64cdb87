"""One router's stream of entries: what arrives while a transaction runs travels together in the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from gateway.v1 import ledger_pb2

from ledger.writer import Writer
from services.link import Link

# One transaction: its rows are encoded in one go, and the event loop, which calls may share, must not stand still for
# more than 5 ms. Larger ones save PostgreSQL little.
MAX_ENTRIES = 500
MAX_BYTES = 1024 * 1024

Frame = ledger_pb2.RecordFrame


class Recording:
    """Serves one link. The sender keeps what is not acknowledged, so nothing here needs to survive."""

    def __init__(self, link: Link[ledger_pb2.StoredFrame, Frame], writer: Writer) -> None:
        self._link = link
        self._writer = writer
        self._gathered: deque[tuple[Frame, int]] = deque()
        self._gathered_bytes = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._reader = asyncio.get_running_loop().create_task(self._read())
        self._reader.add_done_callback(lambda _: self._changed.set())

    async def run(self) -> None:
        """Until the link ends (it may raise LinkClosed then) or `stop` is called."""
        try:
            while frames := await self._next():
                if not await self._writer.write([frame.entry for frame in frames], self._is_over):
                    # Nothing after it may be acknowledged either: an acknowledgement covers all before it.
                    break
                self._link.send(ledger_pb2.StoredFrame(sequence=frames[-1].sequence))
        finally:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if not self._reader.cancelled():
            # LinkClosed, or a mistake that the transport logs whole.
            self._reader.result()

    def stop(self) -> None:
        """Read no more, write what is here, and end."""
        self._reader.cancel()

    async def _read(self) -> None:
        """Gather frames, while there is room; then the transport's own limits hold the sender back."""
        while True:
            await self._room.wait()
            for frame in await self._link.receive():
                size = frame.ByteSize()
                self._gathered.append((frame, size))
                self._gathered_bytes += size
            if len(self._gathered) >= MAX_ENTRIES or self._gathered_bytes >= MAX_BYTES:
                self._room.clear()
            self._changed.set()

    async def _next(self) -> Sequence[Frame]:
        """The frames of the next transaction; none when there will be no more."""
        while not self._gathered:
            if self._reader.done():
                return ()
            self._changed.clear()
            await self._changed.wait()
        frames: list[Frame] = []
        taken_bytes = 0
        while self._gathered and len(frames) < MAX_ENTRIES and taken_bytes < MAX_BYTES:
            frame, size = self._gathered.popleft()
            frames.append(frame)
            taken_bytes += size
        self._gathered_bytes -= taken_bytes
        if len(self._gathered) < MAX_ENTRIES and self._gathered_bytes < MAX_BYTES:
            self._room.set()
        return frames

    def _is_over(self) -> bool:
        return self._link.closed or self._reader.done()
