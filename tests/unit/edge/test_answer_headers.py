"""The headers of an answer that went well."""

from __future__ import annotations

from email.parser import BytesHeaderParser

from gateway.v1 import router_pb2
from hypothesis import given
from hypothesis import strategies as st

from edge.answer_headers import LITELLM_VERSION, success_lines


def headers_of(head: router_pb2.Head, **given_: str) -> dict[str, str]:
    lines = success_lines(head, call_id="c-1", version="0.1.0", duration_ms=12.5, **given_)
    assert lines.endswith(b"\r\n")
    assert b"\r\n\r\n" not in lines
    return dict(BytesHeaderParser().parsebytes(lines + b"\r\n").items())


def test_every_fact_has_litellms_name_and_ours() -> None:
    head = router_pb2.Head(
        deployment_id="d",
        provider_model="openai/gpt-4o",
        model_group="gpt",
        api_base="http://up/v1",
        attempted_retries=2,
        attempted_fallbacks=1,
        provider_latency_us=10_250,
        provider_headers="x-ratelimit-remaining-tokens: 7\nrequest-id: req_1",
    )
    headers = headers_of(head, cost="0.0000725", key_spend="0.5")
    facts = {
        "call-id": "c-1",
        "model-id": "d",
        "model-name": "openai/gpt-4o",
        "model-group": "gpt",
        "model-api-base": "http://up/v1",
        "attempted-retries": "2",
        "attempted-fallbacks": "1",
        "response-duration-ms": "12.500",
        "overhead-duration-ms": "2.250",
        "response-cost": "0.0000725",
        "key-spend": "0.5",
    }
    assert headers == {
        **{f"x-litellm-{name}": value for name, value in facts.items()},
        **{f"x-tollhouse-{name}": value for name, value in facts.items()},
        "x-litellm-version": LITELLM_VERSION,
        "x-tollhouse-version": "0.1.0",
        "llm_provider-x-ratelimit-remaining-tokens": "7",
        "llm_provider-request-id": "req_1",
    }


def test_what_is_not_known_is_left_out() -> None:
    headers = headers_of(router_pb2.Head(deployment_id="d", provider_model="p/m", model_group="g"))
    assert not [name for name in headers if "cost" in name or "spend" in name or "base" in name]


@given(st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_nothing_that_others_have_named_begins_a_header_of_its_own(
    group: str, provider: str, dropped: list[str]
) -> None:
    head = router_pb2.Head(model_group=group, provider_headers=provider, dropped_params=dropped)
    lines = success_lines(head, call_id="c", version="1", duration_ms=1).decode("ascii").split("\r\n")
    assert lines.pop() == ""
    assert all(line.startswith(("x-litellm-", "x-tollhouse-", "llm_provider-")) for line in lines)
    assert all(line.isprintable() for line in lines)
