"""Failures, by the statuses and words of Google's documentation."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.gemini.errors import decode_error, decode_stream_error
from services.errors import GatewayError, Reason


@pytest.fixture
def gemini(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="gemini", api_key="my-own-secret", wire="gemini")


def said(code: int, status: str, message: str = "Said so.", details: list[Any] | None = None) -> bytes:
    error = {"code": code, "message": message, "status": status, "details": details or []}
    return json.dumps({"error": error}).encode()


CASES = [
    (400, "INVALID_ARGUMENT", Reason.ERROR_REASON_PROVIDER_REJECTED),
    (400, "FAILED_PRECONDITION", Reason.ERROR_REASON_PROVIDER_REJECTED),
    (401, "UNAUTHENTICATED", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
    (403, "PERMISSION_DENIED", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
    (404, "NOT_FOUND", Reason.ERROR_REASON_PROVIDER_NOT_FOUND),
    (429, "RESOURCE_EXHAUSTED", Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
    (499, "CANCELLED", Reason.ERROR_REASON_PROVIDER_REJECTED),
    (500, "INTERNAL", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    (503, "UNAVAILABLE", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    (504, "DEADLINE_EXCEEDED", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
]


@pytest.mark.parametrize(("status", "word", "reason"), CASES)
def test_a_status_means_the_same_before_and_in_a_stream(
    gemini: Deployment, status: int, word: str, reason: Reason
) -> None:
    body = said(status, word)
    for error in (
        decode_error(status, {}, body, gemini),
        decode_error(status, {}, b"[" + body + b"]", gemini),
        decode_stream_error(body, gemini),
        decode_stream_error(said(0, word), gemini) if status != 500 else decode_stream_error(body, gemini),
    ):
        assert (error.reason, error.provider_status, error.message) == (reason, status, "Said so.")
        assert error.provider == "gemini"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED,
        ),
        (
            "The input token count exceeds the maximum number of tokens allowed 32768.",
            Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED,
        ),
        ("API key not valid. Please pass a valid API key.", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        ("API key expired. Please renew the API key.", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        ("User location is not supported for the API use.", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        ("Function calling is not enabled for this model", Reason.ERROR_REASON_PROVIDER_REJECTED),
    ],
)
def test_what_only_the_text_tells_apart(gemini: Deployment, message: str, reason: Reason) -> None:
    assert decode_error(400, {}, said(400, "INVALID_ARGUMENT", message), gemini).reason == reason


def test_a_key_that_is_none_is_told_by_the_details_too(gemini: Deployment) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "x"}]
    error = decode_error(400, {}, said(400, "INVALID_ARGUMENT", "No.", details), gemini)
    assert error.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION


@pytest.mark.parametrize(
    ("delay", "headers", "seconds"),
    [
        ("48s", {}, 48),
        ("0.5s", {}, 0.5),
        ("999999999s", {}, 86_400),
        ("soon", {}, None),
        ("48s", {"retry-after": "3"}, 3),
    ],
)
def test_a_rate_limit_says_when_to_come_back(
    gemini: Deployment, delay: str, headers: dict[str, str], seconds: float | None
) -> None:
    details = [{"@type": "help", "links": []}, {"@type": "retry", "retryDelay": delay}]
    error = decode_error(429, headers, said(429, "RESOURCE_EXHAUSTED", "Slow.", details), gemini)
    assert error.retry_after_seconds == seconds


def test_the_credential_is_not_repeated(gemini: Deployment) -> None:
    message = "bad key my-own-secret, or AIzaSyExampleExample, or ya29.a0ExampleToken-x"
    error = decode_error(401, {}, said(401, "UNAUTHENTICATED", message), gemini)
    assert error.message == "bad key ***, or ***, or ***"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"error":5}', b'{"error":{"status":5}}', said(200, "OK"), said(7, "NEW_WORD")]
)
def test_an_unknown_error_in_a_stream_is_the_providers_failure(gemini: Deployment, data: bytes) -> None:
    assert decode_stream_error(data, gemini).reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(status=st.integers(100, 999), body=st.binary(max_size=40))
def test_any_failure_is_a_gateway_error(gemini: Deployment, status: int, body: bytes) -> None:
    assert isinstance(decode_error(status, {}, body, gemini), GatewayError)
    assert isinstance(decode_stream_error(body, gemini), GatewayError)
