"""Server-sent events, as bytes: cutting a stream into whole events, whatever the network made of it.

Only what the WHATWG standard says: lines end with LF, CR or CRLF; a blank line ends an event; a byte order mark at the
start is no part of it; lines that begin with a colon are comments.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.wire.base import BrokenStream

# A picture in one event is the largest thing that providers send (a few MiB in base64); beyond this the provider is
# broken, and the buffer must end somewhere.
MAX_EVENT_BYTES = 8 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class EventTooLarge(BrokenStream):
    """An event has no end within MAX_EVENT_BYTES."""

    def __init__(self) -> None:
        super().__init__("an event of its stream has no end")


class Splitter:
    """Gives the whole events of a stream, without the blank lines between them, with LF as the only line end.

    Any split of the same bytes gives the same events.
    """

    __slots__ = ("_after_cr", "_at_start", "_parts", "_size")

    def __init__(self) -> None:
        # The beginning of an event that has not ended yet, in pieces: joined once, when its end arrives, so that a
        # large event in many reads costs linear time.
        self._parts: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._at_start = True

    def is_plain(self, data: bytes) -> bool:
        """Whether `data` is whole events as `feed` would give them, nothing before it and nothing left over.

        So come nearly all reads of a stream, and they need not be fed, cut and joined.
        """
        return (
            not self._parts
            and not self._at_start
            and not self._after_cr
            and data.endswith(b"\n\n")
            and not data.startswith(b"\n")
            and b"\r" not in data
            and b"\n\n\n" not in data
        )

    def feed(self, data: bytes) -> list[bytes]:
        """Events that are whole now. Raises EventTooLarge."""
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        if not data:
            return []
        # An event ends at two line feeds; the first of them may have come with the bytes before.
        boundary_before = bool(self._parts) and self._parts[-1].endswith(b"\n") and data.startswith(b"\n")
        if not boundary_before and b"\n\n" not in data:
            self._keep(data)
            return []
        self._parts.append(data)
        events = b"".join(self._parts).split(b"\n\n")
        self._parts, self._size = [], 0
        rest = events.pop()
        if rest:
            self._keep(rest)
        return [event for event in map(self._trimmed, events) if event]

    def rest(self) -> bytes:
        """What remains at the end of the stream: an event without its final blank line, or nothing."""
        rest = self._trimmed(b"".join(self._parts)).rstrip(b"\n")
        self._parts, self._size = [], 0
        return rest

    def _with_line_feeds(self, data: bytes) -> bytes:
        # The LF of a CRLF may come in the next read; the CR has been taken for a line end already.
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLarge

    def _trimmed(self, event: bytes) -> bytes:
        # More than one blank line between events leaves line feeds at the start of the next.
        event = event.lstrip(b"\n")
        if self._at_start and event:
            self._at_start = False
            event = event.removeprefix(_BOM).lstrip(b"\n")
        return event


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of an event that anyone here reads. data: None when it has none (a comment, a keep-alive)."""

    event: bytes
    data: bytes | None


def fields_of(event: bytes) -> Fields:
    """Read an event of any shape."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return Fields(b"", event[6:])
    name = b""
    data: list[bytes] = []
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Fields(name, b"\n".join(data) if data else None)
