"""Lines of JSON, cut out of whatever the network made of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire import ndjson
from router.wire.base import BrokenStream
from router.wire.ndjson import LineCutter


def cut(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    cutter = LineCutter()
    lines = [line for piece in pieces for line in cutter.feed(piece)]
    return lines, cutter.rest()


@pytest.mark.parametrize(
    ("data", "lines", "rest"),
    [
        (b"", [], b""),
        (b"{}\n", [b"{}"], b""),
        (b"{}\r\n\r\n\n[]\n", [b"{}", b"[]"], b""),
        (b"{}\n[", [b"{}"], b"["),
        (b"\xef\xbb\xbf{}\n\xef\xbb\xbf\n", [b"{}", b"\xef\xbb\xbf"], b""),
        (b"\xef\xbb\xbf{}", [], b"{}"),
    ],
)
def test_lines_are_cut_at_their_ends(data: bytes, lines: list[bytes], rest: bytes) -> None:
    assert cut([data]) == (lines, rest)


@given(st.lists(st.sampled_from([b"{}", b"\n", b"\r\n", b"\xef\xbb\xbf", b" ", "☺".encode()])), st.data())
def test_any_split_gives_the_same_lines(words: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(words)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]
    assert cut(pieces) == cut([whole])


def test_a_line_without_an_end_breaks_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "MAX_LINE_BYTES", 10)
    cutter = LineCutter()
    assert cutter.feed(b"x" * 10) == []
    assert cutter.feed(b"\n" + b"y" * 10) == [b"x" * 10]
    with pytest.raises(BrokenStream, match="no end"):
        cutter.feed(b"y")
