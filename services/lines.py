"""Where the log's lines go: written at once when they matter, else together with those of a moment."""

from __future__ import annotations

import asyncio
import atexit
import threading
from typing import BinaryIO

# A line of its own costs a call a system call, some 15 us. What a process that is killed may lose is a line a call of
# this time, and never a warning or an error.
GATHER_SECONDS = 0.05
GATHER_LINES = 256


class LineOutput:
    """structlog's last link: a method for each level. Lines below `warning` may wait, and go out in their order."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        # Log lines may come from any thread.
        self._lock = threading.Lock()
        atexit.register(self.flush)

    def info(self, line: bytes) -> None:
        """Write a line soon; at once where no event loop runs."""
        with self._lock:
            self._lines.append(line)
            waits = self._timer is not None and len(self._lines) < GATHER_LINES
        if not waits:
            self._flush_soon()

    def error(self, line: bytes) -> None:
        """Write a line now, after those that waited."""
        with self._lock:
            self._lines.append(line)
        self.flush()

    debug = info
    warning = critical = error

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            lines, self._lines = self._lines, []
            if lines:
                self._stream.write(b"\n".join(lines) + b"\n")
                self._stream.flush()

    def _flush_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if len(self._lines) >= GATHER_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = loop.call_later(GATHER_SECONDS, self.flush)
