"""Newline-delimited JSON, as bytes: cutting a stream into whole lines, whatever the network made of it.

Lines end with LF or CRLF; blank ones say nothing; a byte order mark at the start is no part of the first.
"""

from __future__ import annotations

from router.wire.base import BrokenStream

# A picture in one line is the largest thing that providers send (a few MiB in base64); beyond this the provider is
# broken, and the buffer must end somewhere.
MAX_LINE_BYTES = 8 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class LineCutter:
    """`router.wire.base.Cutter` for lines. Any split of the same bytes gives the same lines."""

    __slots__ = ("_at_start", "_parts", "_size")

    def __init__(self) -> None:
        # The beginning of a line that has not ended yet, in pieces: joined once, when its end arrives, so that a
        # large line in many reads costs linear time.
        self._parts: list[bytes] = []
        self._size = 0
        self._at_start = True

    def feed(self, data: bytes) -> list[bytes]:
        """Lines that are whole now. Raises BrokenStream for one without an end."""
        if b"\n" not in data:
            self._keep(data)
            return []
        self._parts.append(data)
        lines = b"".join(self._parts).split(b"\n")
        self._parts, self._size = [], 0
        self._keep(lines.pop())
        return [line for line in map(self._trimmed, lines) if line]

    def rest(self) -> bytes:
        """What remains at the end of the stream: a line without its end, or nothing."""
        rest = self._trimmed(b"".join(self._parts))
        self._parts, self._size = [], 0
        return rest

    def _keep(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
        if self._size > MAX_LINE_BYTES:
            raise BrokenStream("a line of its stream has no end")

    def _trimmed(self, line: bytes) -> bytes:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        return line.strip()
