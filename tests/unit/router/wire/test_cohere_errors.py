"""Failures, by the statuses and messages of Cohere's documentation."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.cohere import CohereWire
from router.wire.cohere.errors import decode_error, decode_stream_error, unfinished
from router.wire.cohere_v1 import CohereV1Wire
from services.errors import GatewayError, Reason


@pytest.fixture
def cohere(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="cohere", api_key="co-secret-key", wire="cohere")


def said(message: str = "Said so.") -> bytes:
    return json.dumps({"id": "c14c80c3", "message": message}).encode()


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (400, "invalid request: list of documents must not be empty", Reason.ERROR_REASON_PROVIDER_REJECTED),
        (
            400,
            "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292.",
            Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED,
        ),
        (400, "too many tokens: size limit exceeded by 11326 tokens.", Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED),
        (
            400,
            "too many tokens: max tokens must be less than or equal to 4096, the maximum output for this model",
            Reason.ERROR_REASON_PROVIDER_REJECTED,
        ),
        (401, "invalid api token", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        (402, "Please add or update your payment method", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        (403, "forbidden", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        (404, "model 'x' not found, make sure the correct model ID was used", Reason.ERROR_REASON_PROVIDER_NOT_FOUND),
        (422, "invalid request: unknown field", Reason.ERROR_REASON_PROVIDER_REJECTED),
        (429, "You are using a Trial key, which is limited", Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        (498, "blocked", Reason.ERROR_REASON_CONTENT_POLICY_VIOLATION),
        (499, "request cancelled", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (500, "internal server error, this has been reported", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (503, "service unavailable", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    ],
)
def test_a_failure_means_what_cohere_documents(cohere: Deployment, status: int, message: str, reason: Reason) -> None:
    for wire in (CohereWire(lambda: 7.0), CohereV1Wire(lambda: 7.0)):
        error = wire.decode_error(status, {}, said(message), cohere)
        assert (error.reason, error.provider_status, error.message) == (reason, status, message)
        assert error.provider == "cohere"


def test_a_rate_limit_says_when_to_come_back(cohere: Deployment) -> None:
    assert decode_error(429, {"retry-after": "17"}, said(), cohere).retry_after_seconds == 17


@pytest.mark.parametrize(
    ("finish_reason", "words", "reason"),
    [
        ("ERROR", "It broke.", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        ("ERROR", None, Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (None, "It broke.", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        ("TIMEOUT", None, Reason.ERROR_REASON_PROVIDER_TIMEOUT),
        ("COMPLETE", None, None),
        ("COMPLETE", "It broke all the same.", None),
        (None, None, None),
    ],
)
def test_an_answer_that_broke_off_is_a_failure(
    cohere: Deployment, finish_reason: str | None, words: str | None, reason: Reason | None
) -> None:
    error = unfinished(finish_reason, words, cohere)
    assert (error and error.reason) == reason
    assert error is None or error.message == words or str(finish_reason) in error.message


def test_the_credential_is_not_repeated(cohere: Deployment) -> None:
    for error in (
        decode_error(401, {}, said("bad co-secret-key"), cohere),
        unfinished("ERROR", "co-secret-key", cohere),
    ):
        assert error is not None
        assert "secret" not in error.message


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(status=st.integers(100, 999), body=st.binary(max_size=40), words=st.none() | st.text(max_size=9))
def test_any_failure_is_a_gateway_error(cohere: Deployment, status: int, body: bytes, words: str | None) -> None:
    assert isinstance(decode_error(status, {}, body, cohere), GatewayError)
    assert isinstance(decode_stream_error(body, cohere), GatewayError)
    assert isinstance(unfinished("ERROR", words, cohere), GatewayError)
