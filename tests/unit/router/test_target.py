"""Heads of requests: what is asked for stands in them, and nothing else can get in."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.target import Origin, head_of, target_of
from router.wire.base import HttpRequest


@pytest.mark.parametrize(
    ("url", "origin", "path", "host"),
    [
        ("http://a.example/v1", Origin("a.example", 80, False), "/v1", "a.example"),
        ("https://a.example", Origin("a.example", 443, True), "/", "a.example"),
        (
            "HTTPS://A.Example:8443/x?api-version=1&q=a b",
            Origin("a.example", 8443, True),
            "/x?api-version=1&q=a%20b",
            "a.example:8443",
        ),
        ("http://[::1]:80/v1/%2Fx", Origin("::1", 80, False), "/v1/%2Fx", "[::1]"),
        (
            "http://b\u00fccher.example/\u00fc",
            Origin("xn--bcher-kva.example", 80, False),
            "/%C3%BC",
            "xn--bcher-kva.example",
        ),
        ("https://u:p%40@a.example/v1#part", Origin("a.example", 443, True), "/v1", "a.example"),
    ],
)
def test_a_url_is_read_as_browsers_read_it(url: str, origin: Origin, path: str, host: str) -> None:
    target = target_of(url)
    assert (target.origin, target.path, target.host) == (origin, path, host)


def test_a_login_in_the_address_is_sent_unless_there_is_another() -> None:
    target = target_of("https://user:p%40ss@a.example/v1")
    assert b"authorization: Basic dXNlcjpwQHNz" in head_of(HttpRequest("POST", "", {}, b""), target)
    assert b"Basic" not in head_of(HttpRequest("POST", "", {"authorization": "Bearer x"}, b""), target)


@pytest.mark.parametrize(
    "url", ["", "a.example/v1", "ftp://a.example", "http://", "http://a b/", "http://a.example:x/", "http://[::1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"not an http address|not the name|URL|netloc|Port|port"):
        target_of(url)


@pytest.mark.parametrize("name", ["content-length", "transfer-encoding", "connection", "a b", "", "x:", "x\r\ny"])
def test_headers_that_frame_a_message_or_are_none_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a header"):
        head_of(HttpRequest("POST", "", {name: "1"}, b""), target_of("http://a.example/"))


class Seen:
    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


@given(st.text(), st.text(max_size=40), st.binary(max_size=100))
@example("", "0\t", b"")
def test_whatever_stands_in_a_path_or_a_header_no_other_header_comes_of_it(path: str, value: str, body: bytes) -> None:
    """A parser sees exactly the headers that were asked for, or the request is refused."""
    try:
        head = head_of(HttpRequest("POST", "", {"x-given": value}, body), target_of("http://a.example/" + path))
    except ValueError:
        return
    seen = Seen()
    parser = httptools.HttpRequestParser(seen)
    parser.feed_data(head + body)
    assert [name for name, _ in seen.headers] == [b"host", b"x-given", b"content-length"]
    assert seen.headers[1][1] == value.strip(" \t").encode()
    assert seen.url.isascii()
