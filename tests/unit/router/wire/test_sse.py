from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.sse import MAX_EVENT_BYTES, EventTooLarge, Fields, Splitter, fields_of

PIECES = [b"data: a", b"data:b", b": comment", b"event: error", b"\n", b"\r", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"x"]


def split(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = Splitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events, splitter.rest()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


@given(st.lists(st.sampled_from(PIECES), max_size=30), st.lists(st.integers(0, 1000), max_size=8))
def test_any_split_of_the_same_bytes_gives_the_same_events(pieces: list[bytes], places: list[int]) -> None:
    data = b"".join(pieces)
    assert split(cut(data, places)) == split([data])


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_byte_by_byte_is_a_split_like_any_other(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert split([data[at : at + 1] for at in range(len(data))]) == split([data])


@pytest.mark.parametrize("before", [b"", b"x\n\n", b"x\n\n\n", b"x\r\r", b"x\n\nx\n"])
def test_what_is_plain_would_come_out_of_the_splitter_as_it_went_in(before: bytes) -> None:
    """Every text of up to five pieces that matter."""
    for pieces in itertools.product([b"", b"x", b"\n", b"\r", b"\xef\xbb\xbf"], repeat=5):
        splitter = Splitter()
        splitter.feed(before)
        data = b"".join(pieces)
        if splitter.is_plain(data):
            assert b"".join(event + b"\n\n" for event in splitter.feed(data)) == data
            assert splitter.rest() == b""


def test_whole_events_after_whole_events_are_plain() -> None:
    splitter = Splitter()
    splitter.feed(b"data: a\n\n")
    assert splitter.is_plain(b"data: b\n\ndata: c\n\n")


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end_of_the_standard_ends_a_line(end: bytes) -> None:
    data = end.join([b"data: a", b"data: b", b"", b"data: c", b"", b""])
    assert split([data]) == ([b"data: a\ndata: b", b"data: c"], b"")


def test_a_byte_order_mark_at_the_start_is_no_part_of_the_stream() -> None:
    assert split([b"\xef", b"\xbb\xbfdata: a\n\ndata: \xef\xbb\xbf\n\n"]) == ([b"data: a", b"data: \xef\xbb\xbf"], b"")


def test_an_event_without_its_final_blank_line_is_what_rests() -> None:
    assert split([b"data: a\n\nda", b"ta: b\n"]) == ([b"data: a"], b"data: b")


def test_an_event_without_end_is_not_kept_for_ever() -> None:
    splitter = Splitter()
    part = b"x" * (MAX_EVENT_BYTES // 8)
    for _ in range(8):
        splitter.feed(part)
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x")


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (b"data: a", Fields(b"", b"a")),
        (b"data:a", Fields(b"", b"a")),
        (b"data:  a", Fields(b"", b" a")),
        (b"data: a\ndata: b", Fields(b"", b"a\nb")),
        (b"event: error\ndata: {}\nid: 7", Fields(b"error", b"{}")),
        (b": keep-alive", Fields(b"", None)),
        (b"data", Fields(b"", b"")),
        (b"retry: 10", Fields(b"", None)),
    ],
)
def test_fields_are_read_as_the_standard_says(event: bytes, fields: Fields) -> None:
    assert fields_of(event) == fields
