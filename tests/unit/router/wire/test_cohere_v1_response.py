"""Whole answers of version 1; documented ones are in tests/conformance/wire/cohere_v1/answers."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from gateway.v1 import common_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from router.catalog import Deployment
from router.wire.base import Answer
from router.wire.cohere_v1.response import decode
from services.errors import GatewayError, Reason
from tests.strategies import VALUE


@pytest.fixture
def cohere(deployment: Deployment) -> Deployment:
    return dataclasses.replace(deployment, provider="cohere", wire="cohere-v1", provider_model="v1/command-example")


def answer_of(cohere: Deployment, **members: Any) -> Answer:
    given = {"generation_id": "g1", "text": "", "finish_reason": "COMPLETE", **members}
    return decode(json.dumps(given).encode(), cohere, created=7)


@pytest.mark.parametrize(
    ("finish_reason", "calls", "expected"),
    [
        ("COMPLETE", [], "stop"),
        ("COMPLETE", [{"name": "f"}], "tool_calls"),
        ("MAX_TOKENS", [{"name": "f"}], "length"),
        ("ERROR_TOXIC", [], "content_filter"),
        ("ERROR_LIMIT", [], "length"),
        ("USER_CANCEL", [], "stop"),
        (None, [], "stop"),
    ],
)
def test_reasons_to_stop(cohere: Deployment, finish_reason: str | None, calls: list[Any], expected: str) -> None:
    assert answer_of(cohere, finish_reason=finish_reason, tool_calls=calls).finish_reason == expected


def test_a_call_alone_has_no_content_and_empty_parameters_are_an_object(cohere: Deployment) -> None:
    answer = answer_of(cohere, text=None, tool_calls=[{"name": "f"}])
    message = json.loads(answer.body)["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"arguments": "{}", "name": "f"}
    assert answer.content_bytes == 2


def test_callers_are_told_what_was_counted_and_charged_what_is_billed(cohere: Deployment) -> None:
    meta = {"billed_units": {"input_tokens": 5, "output_tokens": 3}, "tokens": {"input_tokens": 71, "output_tokens": 4}}
    answer = answer_of(cohere, meta=meta)
    assert answer.usage == common_pb2.TokenUsage(input_tokens=5, output_tokens=3)
    assert json.loads(answer.body)["usage"]["prompt_tokens"] == 71
    assert answer_of(cohere).usage is None


@pytest.mark.parametrize("citations", [[None, 5], [{"start": "here"}], [{"document_ids": ["unknown"]}]])
def test_citations_of_unknown_forms_do_no_harm(cohere: Deployment, citations: list[Any]) -> None:
    message = json.loads(answer_of(cohere, citations=citations, documents=[{"id": 5}]).body)["choices"][0]["message"]
    assert message.get("citations", []) == [each for each in citations if isinstance(each, dict)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"message":"Something broke"}', Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (b'{"text":"Hel","finish_reason":"ERROR"}', Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
        (b'{"text":"Hel","finish_reason":"TIMEOUT"}', Reason.ERROR_REASON_PROVIDER_TIMEOUT),
        (b"", Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE),
        (b"{}", Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE),
        (b'{"text":5}', Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE),
    ],
)
def test_what_is_no_answer_is_an_error(cohere: Deployment, body: bytes, reason: Reason) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(body, cohere, created=7)
    assert caught.value.reason == reason


CITATION = st.fixed_dictionaries({"document_ids": st.lists(st.just("d"), max_size=2)})
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=5) | VALUE,
        "tool_calls": st.lists(st.fixed_dictionaries({"name": st.text(max_size=3), "parameters": VALUE}), max_size=2),
        "citations": st.lists(CITATION | VALUE, max_size=2),
        "documents": st.lists(st.fixed_dictionaries({"id": st.just("d"), "url": VALUE, "title": VALUE}), max_size=2)
        | VALUE,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=MEMBERS)
def test_any_answer_is_a_completion_that_the_sdk_reads_or_invalid(cohere: Deployment, members: dict[str, Any]) -> None:
    try:
        answer = answer_of(cohere, **members)
    except GatewayError as error:
        assert error.reason == Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE
        return
    ChatCompletion.model_validate_json(answer.body, strict=True)
