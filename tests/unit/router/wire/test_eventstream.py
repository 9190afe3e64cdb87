"""AWS's event stream, with botocore's own parser as the judge of what a stream holds."""

from __future__ import annotations

import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from router.wire import eventstream
from router.wire.base import BrokenStream
from router.wire.eventstream import Message, MessageCutter, message_in
from tests.aws_events import framed, message

FIRST = message({":event-type": "a", ":message-type": "event"}, b'{"x":1}')
SECOND = message({}, b"")

# A value of each type, as AWS writes them.
VALUES = st.one_of(
    st.sampled_from([b"\x00", b"\x01"]),
    st.integers(-128, 127).map(lambda value: b"\x02" + struct.pack(">b", value)),
    st.integers(-(2**15), 2**15 - 1).map(lambda value: b"\x03" + struct.pack(">h", value)),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: b"\x04" + struct.pack(">i", value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: b"\x05" + struct.pack(">q", value)),
    st.binary(max_size=9).map(lambda value: b"\x06" + struct.pack(">H", len(value)) + value),
    st.text(max_size=9).map(lambda value: b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()),
    st.integers(0, 2**62).map(lambda value: b"\x08" + struct.pack(">q", value)),
    st.binary(min_size=16, max_size=16).map(lambda value: b"\x09" + value),
)
HEADERS = st.dictionaries(st.text(min_size=1, max_size=9), VALUES, max_size=4)
MESSAGES = st.tuples(HEADERS, st.binary(max_size=60))


def written(headers: dict[str, bytes], payload: bytes) -> bytes:
    names = ((name.encode(), value) for name, value in headers.items())
    return framed(b"".join(bytes((len(name),)) + name + value for name, value in names), payload)


def cut(pieces: list[bytes]) -> tuple[list[bytes], str]:
    """What comes of some bytes: whole messages, and why it ended."""
    cutter, found = MessageCutter(), []
    try:
        for piece in pieces:
            found += cutter.feed(piece)
        rest = cutter.rest()
    except BrokenStream as broken:
        return found, broken.what
    return found, "rest" if rest else ""


@given(st.lists(MESSAGES, max_size=4))
def test_it_reads_what_botocore_reads(messages: list[tuple[dict[str, bytes], bytes]]) -> None:
    data = b"".join(written(*each) for each in messages)
    theirs = EventStreamBuffer()
    theirs.add_data(data)
    expected = [
        Message({name: value for name, value in each.headers.items() if isinstance(value, str)}, each.payload)
        for each in theirs
    ]
    # A UUID is text to botocore, and nothing to us.
    uuids = [{name for name, value in headers.items() if value[0] == 9} for headers, _ in messages]
    for each, names in zip(expected, uuids, strict=True):
        for name in names:
            each.headers.pop(name, None)
    found, why = cut([data])
    assert ([message_in(each) for each in found], why) == (expected, "")


@given(st.lists(MESSAGES, max_size=3), st.binary(max_size=40), st.data())
def test_any_split_gives_the_same(
    messages: list[tuple[dict[str, bytes], bytes]], tail: bytes, data: st.DataObject
) -> None:
    whole = b"".join(written(*each) for each in messages) + tail
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    assert cut(pieces) == cut([whole])


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_broken_stream(data: bytes) -> None:
    for message_bytes in cut([data])[0]:
        message_in(message_bytes)
    try:
        message_in(framed(data, b""))
    except BrokenStream as broken:
        assert broken.what == "a message of its stream has broken headers"


@pytest.mark.parametrize("at", range(len(FIRST)))
def test_a_damaged_message_is_found_and_those_before_it_are_given(at: int) -> None:
    damaged = bytearray(FIRST)
    damaged[at] ^= 0x10
    found, why = cut([SECOND + bytes(damaged)])
    assert found == [SECOND]
    assert why in (
        "its stream is no event stream of AWS",
        "a message of its stream was damaged on the way",
    )


@pytest.mark.parametrize("at", range(1, len(FIRST)))
def test_a_cut_message_remains(at: int) -> None:
    assert cut([SECOND, FIRST[:at]]) == ([SECOND], "rest")


@pytest.mark.parametrize(
    ("size", "headers"),
    [(15, 0), (16, 1), (2**31, 0), (eventstream.MAX_MESSAGE_BYTES + 1, 0), (2**20, eventstream.MAX_HEADERS_BYTES + 1)],
)
def test_a_length_that_cannot_be_is_not_waited_for(size: int, headers: int) -> None:
    prelude = struct.pack(">II", size, headers)
    data = prelude + struct.pack(">I", zlib.crc32(prelude))
    assert cut([data]) == ([], "a message of its stream has a length that cannot be")


def test_after_a_broken_message_nothing_is_read() -> None:
    cutter = MessageCutter()
    assert cutter.feed(FIRST + b"x" * 12) == [FIRST]
    for _ in range(2):
        with pytest.raises(BrokenStream):
            cutter.feed(FIRST)
    with pytest.raises(BrokenStream):
        cutter.rest()


def test_a_header_that_is_longer_than_all_of_them_breaks_the_stream() -> None:
    assert cut([framed(b"\x01a\x02\x00", b"")])[1] == ""
    with pytest.raises(BrokenStream):
        message_in(framed(b"\x01a\x05\x00", b""))
    with pytest.raises(BrokenStream):
        message_in(framed(b"\x01a\x07\x00\x09x", b""))
