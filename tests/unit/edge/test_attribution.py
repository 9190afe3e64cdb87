"""Customers and tags that headers name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.attribution import attributed
from edge.peek import MAX_NAME_CHARS, MAX_TAGS, Peek, peek_chat
from services.errors import GatewayError, Reason

PEEK = peek_chat(b'{"model": "m", "messages": [], "user": "of-body", "metadata": {"tags": ["a", "b"]}}')


def with_headers(**headers: str) -> Peek:
    return attributed(PEEK, [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])


def test_other_headers_change_nothing() -> None:
    assert with_headers(authorization="Bearer sk-x", x_litellm_call_id="c") == PEEK


def test_a_customer_in_a_header_wins_and_tags_of_both_count_once() -> None:
    peek = with_headers(x_litellm_tags=" b, c ,,d", x_litellm_end_user_id="of-header")
    assert (peek.end_user_id, peek.tags) == ("of-header", ("a", "b", "c", "d"))
    assert with_headers(x_litellm_customer_id="first", x_litellm_end_user_id="second").end_user_id == "first"
    assert with_headers(x_litellm_end_user_id=" ").end_user_id == "of-body"


@pytest.mark.parametrize(
    ("headers", "param"),
    [
        ({"x_litellm_tags": ",".join(map(str, range(MAX_TAGS)))}, "x-litellm-tags"),
        ({"x_litellm_tags": "t" * (MAX_NAME_CHARS + 1)}, "x-litellm-tags"),
        ({"x_litellm_customer_id": "c" * (MAX_NAME_CHARS + 1)}, "x-litellm-customer-id"),
    ],
)
def test_too_much_is_the_callers_error(headers: dict[str, str], param: str) -> None:
    with pytest.raises(GatewayError) as refused:
        with_headers(**headers)
    assert (refused.value.reason, refused.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, param)


@given(st.lists(st.tuples(st.sampled_from([b"x-litellm-tags", b"x-litellm-customer-id"]), st.binary(max_size=2_000))))
def test_whatever_headers_hold_is_a_peek_or_the_callers_error(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        peek = attributed(PEEK, headers)
    except GatewayError:
        return
    assert len(peek.tags) <= MAX_TAGS
    assert all(0 < len(name) <= MAX_NAME_CHARS for name in (*peek.tags, peek.end_user_id))
