"""Cutting Gemini's streams: server-sent events, or, where a host does not know `alt=sse`, one long JSON array."""

from __future__ import annotations

import re

from router.wire.base import Cutter
from router.wire.sse import MAX_EVENT_BYTES, EventTooLarge, Splitter

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
# All that matters to where an object ends.
_MARKS = re.compile(rb'["\\{}\[\]]')
_OPEN, _CLOSE = b"{[", b"}]"


class StreamCutter:
    """The events of a stream of either kind; the first bytes tell which it is."""

    def __init__(self) -> None:
        self._cutter: Cutter | None = None
        self._start = b""

    def feed(self, data: bytes) -> list[bytes]:
        if self._cutter is None:
            self._start += data
            # Half a byte order mark could still become one.
            if _BOM.startswith(self._start):
                return []
            data = self._start.removeprefix(_BOM).lstrip(_SPACE)
            if not data:
                self._start = self._start[:3]
                return []
            self._cutter = ArrayCutter() if data[:1] in (b"[", b"{") else Splitter()
        return self._cutter.feed(data)

    def rest(self) -> bytes:
        return self._cutter.rest() if self._cutter is not None else b""


class ArrayCutter:
    """The objects of a JSON array as they become whole, or an object that stands alone."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._depth = 0
        self._in_text = False
        self._after_backslash = False

    def feed(self, data: bytes) -> list[bytes]:
        whole: list[bytes] = []
        start = 0
        at = 0
        while True:
            if self._after_backslash and at < len(data):
                # Whatever was escaped is no mark.
                self._after_backslash = False
                at += 1
            found = _MARKS.search(data, at)
            if found is None:
                break
            at = found.end()
            if self._reads(found[0]):
                self._parts.append(data[start:at])
                whole.append(b"".join(self._parts))
                self._parts, self._size, start = [], 0, at
            elif self._depth == 1 and found[0] == b"{" and not self._in_text:
                # What stands between two objects is no part of either.
                self._parts, self._size, start = [], 0, found.start()
        self._keep(data[start:])
        return whole

    def rest(self) -> bytes:
        rest = b"".join(self._parts) if self._depth or self._in_text else b""
        self._parts, self._size = [], 0
        return rest

    def _reads(self, mark: bytes) -> bool:
        """Take note of a mark; whether an object ends with it. Arrays outside of objects count for nothing."""
        if self._in_text:
            self._in_text = mark != b'"'
            self._after_backslash = mark == b"\\"
            self._in_text = self._in_text or self._after_backslash
            return False
        if mark == b'"':
            self._in_text = True
        elif mark in _OPEN and (self._depth or mark == b"{"):
            self._depth += 1
        elif mark in _CLOSE and self._depth:
            self._depth -= 1
            return self._depth == 0
        return False

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLarge
