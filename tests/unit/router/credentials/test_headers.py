"""A provider that repeats what it was sent gives no credential away."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.credentials.headers import masked, with_headers
from router.wire.base import HttpRequest

SECRETS = st.text("abcdefABCDEF0123456789+/=._-", min_size=8, max_size=60)


def request_with(headers: dict[str, str]) -> HttpRequest:
    return HttpRequest("POST", "https://h.example/", headers, b"")


@given(secret=SECRETS, escape=st.booleans())
@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("authorization", "Bearer "),
        ("authorization", ""),
        ("api-key", ""),
        ("x-goog-api-key", ""),
        ("x-amz-security-token", ""),
    ],
)
def test_no_credential_is_repeated(name: str, prefix: str, secret: str, escape: bool) -> None:
    body = json.dumps({"message": f"The canonical string was {name}:{prefix}{secret} indeed"}).encode()
    if escape:
        body = body.replace(b"/", b"\\/")
    said = masked(body, request_with({name: prefix + secret}))
    assert secret not in json.loads(said)["message"]
    assert json.loads(said)["message"].endswith("*** indeed")


def test_what_is_no_credential_stays() -> None:
    assert masked(b"short text/plain", request_with({"api-key": "text", "accept": "text/plain"})) == b"short text/plain"


def test_headers_are_added_and_nothing_else_changes() -> None:
    request = HttpRequest("POST", "https://h.example/", {"a": "1"}, b"body", show_usage=True)
    assert with_headers(request, {"b": "2"}) == HttpRequest(
        "POST", "https://h.example/", {"a": "1", "b": "2"}, b"body", show_usage=True
    )
    assert request.headers == {"a": "1"}
