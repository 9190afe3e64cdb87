"""AWS's binary event stream (`application/vnd.amazon.eventstream`): cutting it into messages, and reading one.

    4 bytes  length of the whole message      4 bytes  length of its headers      4 bytes  CRC-32 of these eight
    headers: 1 byte length of the name, the name, 1 byte type of the value, the value
    payload
    4 bytes  CRC-32 of all that came before

Numbers are big-endian. A checksum that does not fit, or a length that cannot be, means that the stream is none.
"""

from __future__ import annotations

import struct
import zlib

import msgspec

from router.wire.base import BrokenStream

# The largest payload that Bedrock sends is a MB; an event with a picture may be a few MiB in base64. AWS's own limit
# is 24 MiB, which no answer of a model comes near.
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
# AWS's own limit.
MAX_HEADERS_BYTES = 128 * 1024

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_FRAME_BYTES = _PRELUDE.size + _CRC.size

# Sizes of the values of fixed size, by type: two booleans, four integers, a timestamp, a UUID.
_FIXED_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _STRING = 6, 7


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message. headers: those whose values are strings; nobody reads others."""

    headers: dict[str, str]
    payload: bytes


class MessageCutter:
    """`router.wire.base.Cutter` of an event stream: gives whole messages whose checksums fit, for `message_in`.

    Any split of the same bytes gives the same messages.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._broken: BrokenStream | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Messages that are whole now. Raises BrokenStream, after the messages before the broken one were given."""
        if self._broken is not None:
            raise self._broken
        self._buffer += data
        messages: list[bytes] = []
        at = 0
        try:
            while message := self._message_at(at):
                messages.append(message)
                at += len(message)
        except BrokenStream as broken:
            self._broken = broken
            if not messages:
                raise
        del self._buffer[:at]
        return messages

    def rest(self) -> bytes:
        """What remains at the end: a piece of a message. Raises BrokenStream."""
        if self._broken is not None:
            raise self._broken
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _message_at(self, at: int) -> bytes:
        """Empty when it is not whole yet."""
        if len(self._buffer) - at < _PRELUDE.size:
            return b""
        size, headers_size, crc = _PRELUDE.unpack_from(self._buffer, at)
        if crc != zlib.crc32(self._buffer[at : at + 8]):
            raise BrokenStream("its stream is no event stream of AWS")
        if not _FRAME_BYTES + headers_size <= size <= MAX_MESSAGE_BYTES or headers_size > MAX_HEADERS_BYTES:
            raise BrokenStream("a message of its stream has a length that cannot be")
        if len(self._buffer) - at < size:
            return b""
        message = bytes(self._buffer[at : at + size])
        if _CRC.unpack_from(message, size - _CRC.size)[0] != zlib.crc32(memoryview(message)[: -_CRC.size]):
            raise BrokenStream("a message of its stream was damaged on the way")
        return message


def message_in(message: bytes) -> Message:
    """Read a whole message, as the cutter gives it. Raises BrokenStream."""
    _, headers_size, _ = _PRELUDE.unpack_from(message)
    end = _PRELUDE.size + headers_size
    try:
        headers = _headers_in(message[_PRELUDE.size : end])
    except (IndexError, struct.error, UnicodeDecodeError, KeyError):
        raise BrokenStream("a message of its stream has broken headers") from None
    return Message(headers, message[end : -_CRC.size])


def _headers_in(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        kind = data[name_end]
        name = data[at + 1 : name_end].decode()
        at = name_end + 1
        if kind not in (_BYTES, _STRING):
            at += _FIXED_BYTES[kind]
        else:
            size = _LENGTH.unpack_from(data, at)[0]
            value = data[at + 2 : at + 2 + size]
            at += 2 + size
            if kind == _STRING:
                headers[name] = value.decode()
    if at != len(data):
        raise IndexError
    return headers
