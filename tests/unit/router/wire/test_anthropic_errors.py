"""Failures, by the statuses and types of Anthropic's documentation."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.anthropic.errors import decode_error, decode_stream_error
from services.errors import GatewayError, Reason


@pytest.fixture
def anthropic(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="anthropic", api_key="sk-ant-secret", wire="anthropic")


def said(kind: str, message: str = "Said so.") -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}).encode()


CASES = [
    (400, "invalid_request_error", Reason.ERROR_REASON_PROVIDER_REJECTED),
    (401, "authentication_error", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
    (402, "billing_error", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
    (403, "permission_error", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
    (404, "not_found_error", Reason.ERROR_REASON_PROVIDER_NOT_FOUND),
    (413, "request_too_large", Reason.ERROR_REASON_REQUEST_TOO_LARGE),
    (429, "rate_limit_error", Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
    (500, "api_error", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    (504, "timeout_error", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    (529, "overloaded_error", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
]


@pytest.mark.parametrize(("status", "kind", "reason"), CASES)
def test_a_status_means_the_same_before_and_in_a_stream(
    anthropic: Deployment, status: int, kind: str, reason: Reason
) -> None:
    for error in (decode_error(status, {}, said(kind), anthropic), decode_stream_error(said(kind), anthropic)):
        assert (error.reason, error.provider_status, error.message) == (reason, status, "Said so.")
        assert error.provider == "anthropic"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("prompt is too long: 210000 tokens > 200000 maximum", Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED),
        (
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length",
            Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED,
        ),
        ("Output blocked by content filtering policy", Reason.ERROR_REASON_CONTENT_POLICY_VIOLATION),
        (
            "Your credit balance is too low to access the Anthropic API.",
            Reason.ERROR_REASON_PROVIDER_AUTHENTICATION,
        ),
        ("temperature: range: 0..1", Reason.ERROR_REASON_PROVIDER_REJECTED),
    ],
)
def test_what_only_the_text_tells_apart(anthropic: Deployment, message: str, reason: Reason) -> None:
    assert decode_error(400, {}, said("invalid_request_error", message), anthropic).reason == reason


def test_a_rate_limit_says_when_to_come_back(anthropic: Deployment) -> None:
    assert decode_error(429, {"retry-after": "17"}, said("rate_limit_error"), anthropic).retry_after_seconds == 17


def test_the_credential_is_not_repeated(anthropic: Deployment) -> None:
    error = decode_error(401, {}, said("authentication_error", "bad key sk-ant-secret"), anthropic)
    assert "secret" not in error.message


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"error":5}', b'{"error":{"type":5}}', said("never_heard_of")])
def test_an_unknown_error_in_a_stream_is_the_providers_failure(anthropic: Deployment, data: bytes) -> None:
    assert decode_stream_error(data, anthropic).reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(status=st.integers(100, 999), body=st.binary(max_size=40))
def test_any_failure_is_a_gateway_error(anthropic: Deployment, status: int, body: bytes) -> None:
    assert isinstance(decode_error(status, {}, body, anthropic), GatewayError)
    assert isinstance(decode_stream_error(body, anthropic), GatewayError)
