"""Failures, by the statuses and messages that Ollama's server answers with."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.ollama import OllamaWire
from services.errors import GatewayError, Reason

wire = OllamaWire(lambda: 7.0)


@pytest.fixture
def ollama(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="ollama", wire="ollama")


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (400, '"example:4b" does not support tools', Reason.ERROR_REASON_PROVIDER_REJECTED),
        (400, "input exceeds maximum context length", Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED),
        (401, "unauthorized", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
        (404, "model 'example:4b' not found", Reason.ERROR_REASON_PROVIDER_NOT_FOUND),
        (429, "you have reached your hourly usage limit", Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
        (500, "model requires more system memory (9 GiB) than is available", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (502, "upstream is gone", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (503, "server busy, please try again", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    ],
)
def test_a_failure_means_what_its_status_says(ollama: Deployment, status: int, message: str, reason: Reason) -> None:
    error = wire.decode_error(status, {}, json.dumps({"error": message}).encode(), ollama)
    assert (error.reason, error.provider_status, error.message) == (reason, status, message)
    assert error.provider == "ollama"


def test_a_proxys_plain_text_is_kept(ollama: Deployment) -> None:
    assert wire.decode_error(404, {}, b"404 page not found", ollama).message == "404 page not found"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(status=st.integers(100, 999), body=st.binary(max_size=40))
def test_any_failure_is_a_gateway_error(ollama: Deployment, status: int, body: bytes) -> None:
    assert isinstance(wire.decode_error(status, {}, body, ollama), GatewayError)
