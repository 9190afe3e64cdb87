from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.openai.errors import MAX_MESSAGE_CHARS, decode_error
from services.errors import GatewayError, Reason


def error(deployment: Deployment, status: int, body: object, **headers: str) -> GatewayError:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_error(status, {name.replace("_", "-"): value for name, value in headers.items()}, text, deployment)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (302, Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE),
        (400, Reason.ERROR_REASON_PROVIDER_REJECTED),
        (401, Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        (402, Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        (403, Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        (404, Reason.ERROR_REASON_PROVIDER_NOT_FOUND),
        (408, Reason.ERROR_REASON_PROVIDER_TIMEOUT),
        (409, Reason.ERROR_REASON_PROVIDER_REJECTED),
        (413, Reason.ERROR_REASON_REQUEST_TOO_LARGE),
        (422, Reason.ERROR_REASON_PROVIDER_REJECTED),
        (429, Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        (498, Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (500, Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (503, Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (529, Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    ],
)
def test_the_status_decides(deployment: Deployment, status: int, reason: Reason) -> None:
    failure = error(deployment, status, {"error": {"message": "m", "param": "p"}})
    assert (failure.reason, failure.message, failure.param) == (reason, "m", "p")
    assert (failure.provider, failure.provider_status) == ("openai", status)


@pytest.mark.parametrize(
    "said",
    [
        {"code": "context_length_exceeded", "message": "x"},
        {"message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."},
        {"message": "prompt too long; exceeded max context length by 1119046 tokens"},
        {"message": "the request exceeds the available context size, try increasing it"},
        {"message": "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000"},
        {"message": "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000 `inputs` tokens"},
        {"message": "Invalid request: Your request exceeded model token limit: 8192"},
        {"message": "Range of input length should be [1, 30720]"},
        {"code": "1261", "message": "Prompt exceeds max length"},
    ],
)
def test_a_context_window_too_small_is_recognised(deployment: Deployment, said: dict[str, str]) -> None:
    assert error(deployment, 400, {"error": said}).reason == Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED


@pytest.mark.parametrize(
    "said",
    [
        {"code": "content_policy_violation", "message": "x"},
        {"code": "content_filter", "message": "x"},
        {"message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
        {"message": "Your request was rejected as a result of our safety system."},
        {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."},
        {"message": "Content Exists Risk"},
        {"message": "The request was rejected because it was considered high risk"},
        {"message": "Content violates usage guidelines."},
        {"message": "This model requires moderation and your input was flagged", "code": 403},
    ],
)
def test_a_refusal_by_content_policy_is_recognised(deployment: Deployment, said: dict[str, str]) -> None:
    assert error(deployment, 400, {"error": said}).reason == Reason.ERROR_REASON_CONTENT_POLICY_VIOLATION


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "m"}}, "m"),
        ({"error": "m"}, "m"),
        ({"message": "m", "code": 400}, "m"),
        ({"detail": "m"}, "m"),
        ({"errors": [{"code": 7009, "message": "m"}], "success": False, "result": {}}, "m"),
        ({"error_code": "INTERNAL_ERROR", "message": "m"}, "m"),
        ({"code": "some-code", "error": "m"}, "m"),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, '[{"loc":["body"],"msg":"m"}]'),
        ([{"error": {"message": "m"}}], "m"),
        (b"upstream connect error", "upstream connect error"),
        (b"", "openai answered with status 500 and said nothing more."),
        (b"<html><h1>Bad gateway</h1></html>", "openai answered with status 500 and said nothing more."),
        ({}, "openai answered with status 500."),
    ],
)
def test_the_providers_own_words_reach_the_caller(deployment: Deployment, body: object, message: str) -> None:
    assert error(deployment, 500, body).message == message


@pytest.mark.parametrize(
    "secret",
    ["sk-proj-abc123_DEF", "Bearer abc.def", "gsk_abcdefgh", "hf_abcdefgh", "AIzaSyA1234567890", "hunter22"],
)
def test_no_credential_is_in_a_message(deployment: Deployment, secret: str) -> None:
    ours = dataclasses.replace(deployment, api_key="hunter22")
    for padding in (0, MAX_MESSAGE_CHARS - 5):
        message = error(ours, 401, {"error": {"message": "x" * padding + f" key '{secret}' is wrong"}}).message
        assert secret not in message
        assert secret[:8] not in message
        assert len(message) <= MAX_MESSAGE_CHARS


def test_words_that_only_look_like_keys_stay(deployment: Deployment) -> None:
    assert error(deployment, 400, {"error": {"message": "a task-force, risk-averse"}}).message.count("-") == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "1e9"}, 86_400.0),
        ({"retry_after_ms": "1500", "retry_after": "2"}, 1.5),
        ({"retry_after_ms": "0", "retry_after": "1"}, 1.0),
        ({"retry_after_ms": "0"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:10 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 10.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:10 GMT"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(
    deployment: Deployment, headers: dict[str, str], seconds: float | None
) -> None:
    assert error(deployment, 429, {}, **headers).retry_after_seconds == seconds


@given(st.integers(300, 599), st.binary(max_size=50), st.text(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_failure_is_decoded(deployment: Deployment, status: int, body: bytes, header: str) -> None:
    failure = decode_error(status, {"retry-after": header, "date": header}, body, deployment)
    assert failure.message


def test_recorded_failures_keep_status_and_words(deployment: Deployment, exchanges: Callable[..., Any]) -> None:
    for exchange in exchanges(stream=False, ok=False):
        response = exchange["response"]
        failure = error(deployment, response["status"], response["body"], **exchange["response"]["headers"])
        assert failure.provider_status == response["status"]
        assert failure.message == exchange["expect"]["error"]["message"], exchange["id"]
