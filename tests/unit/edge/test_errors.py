"""Failures look to callers as OpenAI's do."""

import json

import pytest

from edge.errors import render, render_event
from services.errors import TABLE, GatewayError, Reason


@pytest.mark.parametrize("reason", list(TABLE))
def test_every_reason_renders_as_an_error_object_with_a_4xx_or_5xx(reason: Reason) -> None:
    status, headers, body = render(GatewayError(reason, "what", param="where"))
    assert 400 <= status < 600
    assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}
    assert dict(headers)[b"content-length"] == str(len(body)).encode()


def test_the_budget_status_is_configurable() -> None:
    error = GatewayError(Reason.ERROR_REASON_BUDGET_EXCEEDED, "over")
    assert render(error)[0] == 422
    status, _, body = render(error, budget_exceeded_status=400)
    assert (status, json.loads(body)["error"]["code"]) == (400, "400")


def test_a_providers_refusal_keeps_its_status() -> None:
    error = GatewayError(Reason.ERROR_REASON_PROVIDER_REJECTED, "no", provider_status=422)
    assert render(error)[0] == 422


def test_a_providers_odd_status_does_not_become_ours() -> None:
    error = GatewayError(Reason.ERROR_REASON_PROVIDER_REJECTED, "no", provider_status=302)
    assert render(error)[0] == 400


def test_retry_after_is_whole_seconds_rounded_up() -> None:
    _, headers, _ = render(GatewayError(Reason.ERROR_REASON_UNAVAILABLE, "later", retry_after_seconds=1.2))
    assert dict(headers)[b"retry-after"] == b"2"


def test_an_event_is_one_whole_sse_event() -> None:
    event = render_event(GatewayError(Reason.ERROR_REASON_INTERNAL, "line one\nline two"))
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
