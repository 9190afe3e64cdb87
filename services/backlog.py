"""What waits to be written on a link: frames as bytes, taken a batch at a time.

A batch is a message with nothing but `repeated frames = 1`, so its bytes are those of its frames one after the other,
each behind a tag and its length. Put together here, a frame is not copied into a message first: that took half of what
it costs to write one, and ten times as much where it carries a body of 60 KiB.
"""

from __future__ import annotations

from google.protobuf.message import Message

from services.link import MAX_BATCH_BYTES, MAX_FRAME_BYTES

# Field 1, with a length.
_TAG = 0x0A


class Backlog:
    """Of one direction of one link. `size`: its bytes."""

    __slots__ = ("_frames", "size")

    def __init__(self) -> None:
        self._frames: list[bytearray] = []
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._frames)

    def add(self, frame: Message) -> None:
        """Let a frame wait. ValueError when it is larger than MAX_FRAME_BYTES."""
        data = frame.SerializeToString()
        if len(data) > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {len(data)} bytes exceeds {MAX_FRAME_BYTES}")
        element = _head(len(data))
        element += data
        self._frames.append(element)
        self.size += len(element)

    def take(self) -> bytes:
        """The frames that have waited longest, as a batch of at most MAX_BATCH_BYTES."""
        if self.size <= MAX_BATCH_BYTES:
            taken, self._frames, self.size = self._frames, [], 0
            return b"".join(taken)
        size = count = 0
        for element in self._frames:
            if size + len(element) > MAX_BATCH_BYTES:
                break
            size += len(element)
            count += 1
        taken, self._frames = self._frames[:count], self._frames[count:]
        self.size -= size
        return b"".join(taken)

    def clear(self) -> None:
        """Forget them."""
        self._frames, self.size = [], 0


def _head(length: int) -> bytearray:
    """The tag, and the length as a varint: seven bits a byte, the lowest first."""
    head = bytearray((_TAG,))
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return head
