"""AWS's event streams as they are written: what the tests of Bedrock feed to the decoders."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message; all values of its headers are strings."""
    named = b"".join(
        bytes((len(name.encode()),)) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    return framed(named, payload)


def framed(headers: bytes, payload: bytes) -> bytes:
    """A message around headers that are written already."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    rest = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return rest + struct.pack(">I", zlib.crc32(rest))


def event(name: str, **members: Any) -> bytes:
    """An event of Converse's."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, json.dumps(members).encode())


def chunk(payload: bytes) -> bytes:
    """An event of InvokeModel's: another JSON event in base64, and the padding that Bedrock adds."""
    return event("chunk", bytes=b64encode(payload).decode(), p="abc")


def exception(kind: str, text: str) -> bytes:
    """A failure in the stream."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, json.dumps({"message": text}).encode())


def events_as_messages(events: Iterable[Mapping[str, Any]]) -> bytes:
    """A stream from `{name: members}`, `{"exception": [kind, text]}`, or `{"chunk": what is in it}`."""
    return b"".join(_written(name, said) for each in events for name, said in each.items())


def _written(name: str, said: Any) -> bytes:
    if name == "exception":
        return exception(*said)
    if name == "chunk":
        return chunk(json.dumps(said).encode())
    return event(name, **said)
