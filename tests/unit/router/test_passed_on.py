"""What callers see of a provider's headers: a closed list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.passed_on import MAX_HEADERS, MAX_VALUE_CHARS, passed_on, shown_base


def test_limits_and_ids_are_passed_on_and_nothing_else() -> None:
    headers = {
        "x-ratelimit-remaining-tokens": "1999980",
        "anthropic-ratelimit-requests-limit": "50",
        "request-id": "req_1",
        "set-cookie": "session=secret",
        "openai-organization": "org",
        "server": "cloudflare",
    }
    assert passed_on(headers).split("\n") == [
        "x-ratelimit-remaining-tokens: 1999980",
        "anthropic-ratelimit-requests-limit: 50",
        "request-id: req_1",
    ]


@given(st.dictionaries(st.sampled_from(["x-ratelimit-a", "retry-after", "x-request-id", "etag"]), st.text()))
def test_whatever_a_provider_sends_each_line_is_one_header(headers: dict[str, str]) -> None:
    said = passed_on(headers)
    for line in said.split("\n") if said else []:
        name, _, value = line.partition(": ")
        assert headers[name] == value
        assert len(value) <= MAX_VALUE_CHARS


def test_there_are_only_so_many() -> None:
    assert len(passed_on({f"x-ratelimit-{n}": "1" for n in range(1000)}).split("\n")) == MAX_HEADERS


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("https://api.example.com/v1?key=secret", "https://api.example.com/v1"),
        ("https://user:secret@example.com/v1", ""),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(base: str, shown: str) -> None:
    assert shown_base(base) == shown
