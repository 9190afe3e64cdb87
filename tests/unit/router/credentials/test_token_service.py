"""What a token service's answer means. Own cases, by RFC 6749 (section 5) and Entra's list of codes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.credentials.base import NoCredential
from router.credentials.token_service import UNSTATED_LIFE_SECONDS, refusal, token_in
from services.errors import Reason

AUTHENTICATION = Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
UNAVAILABLE = Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@pytest.mark.parametrize(
    ("body", "life_seconds"),
    [
        (b'{"access_token":"t","expires_in":3599,"token_type":"Bearer","ext_expires_in":3599}', 3599),
        (b'{"access_token":"t","expires_in":"86399"}', 86399),
        (b'{"access_token":"t"}', UNSTATED_LIFE_SECONDS),
    ],
)
def test_a_token_and_its_life_are_read(body: bytes, life_seconds: float) -> None:
    fetched = token_in(body)
    assert (fetched.value, fetched.life_seconds) == ("t", life_seconds)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "é", "x" * 16385])
def test_a_token_that_no_header_can_carry_is_none(token: str) -> None:
    with pytest.raises(NoCredential) as caught:
        token_in(json.dumps({"access_token": token, "expires_in": 1}).encode())
    assert caught.value.reason == UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "body", "reason", "said"),
    [
        (
            400,
            {"error": "invalid_grant", "error_description": "Invalid JWT Signature."},
            AUTHENTICATION,
            "invalid_grant",
        ),
        (
            401,
            {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret the-secret."},
            AUTHENTICATION,
            "invalid_client, AADSTS7000215",
        ),
        (403, {}, AUTHENTICATION, "status 403"),
        (404, {"error": "<script>"}, AUTHENTICATION, "status 404"),
        (400, {"error": "temporarily_unavailable"}, UNAVAILABLE, "temporarily_unavailable"),
        (429, {}, UNAVAILABLE, "status 429"),
        (408, {}, UNAVAILABLE, "status 408"),
        (503, {"error": "server_error"}, UNAVAILABLE, "server_error"),
        (302, {}, UNAVAILABLE, "status 302"),
    ],
)
def test_who_is_at_fault_is_told_by_code_and_nothing_else(status: int, body: object, reason: Reason, said: str) -> None:
    failure = refusal(status, {}, json.dumps(body).encode())
    assert failure.reason == reason
    assert failure.what.endswith(f"({said})")
    assert "the-secret" not in failure.what


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("", None), ("-1", None), ("Fri, 31 Dec 1999 23:59:59 GMT", None)]
)
def test_when_to_ask_again_is_taken_from_a_number(header: str, seconds: float | None) -> None:
    assert refusal(429, {"retry-after": header}, b"").retry_after_seconds == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.sampled_from(["access_token", "expires_in", "error", "error_description"]), inner),
)


@given(body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()), status=st.integers(100, 599))
def test_no_answer_raises_anything_but_no_credential(body: bytes, status: int) -> None:
    try:
        token_in(body)
    except NoCredential as failure:
        assert failure.reason == UNAVAILABLE
    assert refusal(status, {}, body).reason in (AUTHENTICATION, UNAVAILABLE)


def test_a_body_that_is_nested_too_deep_is_an_answer_without_a_token() -> None:
    with pytest.raises(NoCredential):
        token_in(b'{"a":' * 30_000)
    assert refusal(400, {}, b"[" * 30_000).reason == AUTHENTICATION
