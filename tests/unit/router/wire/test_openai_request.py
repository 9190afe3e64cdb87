from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.openai.request import GATEWAY_MEMBERS, encode
from services.errors import GatewayError, Reason

MESSAGES = '"messages":[{"role":"user","content":"hi"}]'


def body_for(deployment: Deployment, body: str, *, stream: bool = False, limit: int = 0) -> dict[str, Any]:
    request = encode(body.encode(), deployment, stream=stream, output_tokens_limit=limit)
    decoded = json.loads(request.body)
    assert isinstance(decoded, dict)
    return decoded


def test_every_other_member_keeps_its_exact_bytes_and_its_place(deployment: Deployment) -> None:
    body = b'{"top_p": 1.0e0,"model":"group","messages":[ {"role":"user", "content":"\\u0041\xc3\xa4"} ],"x":1e-7}'
    expected = body.replace(b'"top_p": ', b'"top_p":').replace(b'"group"', b'"gpt-4o-mini"')
    assert encode(body, deployment, stream=False, output_tokens_limit=0).body == expected


def test_the_request_goes_to_the_deployment_with_its_credential(deployment: Deployment) -> None:
    request = encode(b'{"model":"group"}', deployment, stream=False, output_tokens_limit=0)
    assert (request.method, request.url) == ("POST", "https://provider.example/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-provider-secret"
    assert request.headers["accept-encoding"] == "identity"
    assert "sk-provider-secret" not in repr(request)


def test_a_deployment_without_a_credential_sends_none(deployment: Deployment) -> None:
    bare = dataclasses.replace(deployment, api_key="", extra_headers={"X-Team": "a"})
    headers = encode(b"{}", bare, stream=False, output_tokens_limit=0).headers
    assert "authorization" not in headers
    assert headers["x-team"] == "a"


@pytest.mark.parametrize("member", sorted(GATEWAY_MEMBERS - {"extra_body"}))
def test_members_for_the_gateway_stay_here(deployment: Deployment, member: str) -> None:
    assert body_for(deployment, f'{{"model":"g",{MESSAGES},"{member}":"x"}}').keys() == {"model", "messages"}


def test_metadata_is_passed_on_only_with_completions_to_be_stored(deployment: Deployment) -> None:
    assert "metadata" not in body_for(deployment, '{"model":"g","metadata":{"tags":["a"]}}')
    assert body_for(deployment, '{"model":"g","metadata":{"a":"b"},"store":true}')["metadata"] == {"a": "b"}


def test_a_stream_is_asked_for_its_usage(deployment: Deployment) -> None:
    given = '{"model":"g","stream":true,"stream_options":{"include_obfuscation":false,"include_usage":false}}'
    options = {"include_obfuscation": False, "include_usage": True}
    assert body_for(deployment, given, stream=True)["stream_options"] == options
    assert body_for(deployment, '{"model":"g","stream":true}', stream=True)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in body_for(deployment, '{"model":"g"}')


@pytest.mark.parametrize(("options", "asked"), [('{"include_usage":true}', True), ("null", False), ("{}", False)])
def test_whether_the_caller_asked_for_usage_is_remembered(deployment: Deployment, options: str, asked: bool) -> None:
    body = f'{{"model":"g","stream":true,"stream_options":{options}}}'.encode()
    assert encode(body, deployment, stream=True, output_tokens_limit=0).show_usage is asked


@pytest.mark.parametrize(
    ("given", "limit", "sent"),
    [
        ("", 0, {}),
        ("", 50, {"max_tokens": 50}),
        ('"max_tokens":100', 50, {"max_tokens": 50}),
        ('"max_tokens":10', 50, {"max_tokens": 10}),
        ('"max_tokens":10.0', 50, {"max_tokens": 10.0}),
        ('"max_completion_tokens":100', 50, {"max_completion_tokens": 50}),
        ('"max_completion_tokens":100,"max_tokens":20', 50, {"max_completion_tokens": 50, "max_tokens": 20}),
        ('"max_completion_tokens":null', 50, {"max_completion_tokens": None, "max_tokens": 50}),
        ('"max_tokens":"many"', 50, {"max_tokens": 50}),
        ('"max_tokens":-1', 50, {"max_tokens": 50}),
        ('"max_tokens":100', 0, {"max_tokens": 100}),
    ],
)
def test_the_output_limit_is_the_lower_of_the_callers_and_the_holds(
    deployment: Deployment, given: str, limit: int, sent: dict[str, Any]
) -> None:
    members = body_for(deployment, f'{{"model":"g"{"," if given else ""}{given}}}', limit=limit)
    assert {name: value for name, value in members.items() if name != "model"} == sent


def test_openai_itself_is_given_the_limit_that_its_reasoning_models_know(deployment: Deployment) -> None:
    openai = dataclasses.replace(deployment, api_base="https://api.openai.com/v1")
    assert body_for(openai, "{}", limit=50)["max_completion_tokens"] == 50


def test_defaults_yield_to_the_caller_and_extra_body_does_not(deployment: Deployment) -> None:
    configured = dataclasses.replace(
        deployment, defaults={"temperature": 0.5, "seed": 1, "n": 9}, extra_body={"seed": 2, "model": "x", "top_k": 3}
    )
    assert body_for(configured, '{"model":"g","temperature":0,"top_k":1}') == {
        "model": "gpt-4o-mini",
        "temperature": 0,
        "seed": 2,
        "top_k": 3,
    }


def test_a_default_limit_is_limited_too(deployment: Deployment) -> None:
    configured = dataclasses.replace(deployment, defaults={"max_tokens": 500})
    assert body_for(configured, "{}", limit=50)["max_tokens"] == 50


def test_a_callers_extra_body_adds_but_cannot_change_what_was_admitted(deployment: Deployment) -> None:
    body = '{"model":"g","top_k":1,"extra_body":{"top_k":2,"min_p":0.1,"n":99,"max_tokens":1000,"stream":true}}'
    assert body_for(deployment, body, limit=50) == {
        "model": "gpt-4o-mini",
        "top_k": 1,
        "min_p": 0.1,
        "max_tokens": 50,
    }


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'"x"', b"\xff\xfe", b'{"extra_body":[]}', b"[" * 100_000])
def test_what_is_no_object_is_the_callers_mistake(deployment: Deployment, body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        encode(body, deployment, stream=True, output_tokens_limit=1)
    assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8).filter(lambda name: name not in {"model", "metadata"}), json_values))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_member_passes_through(deployment: Deployment, members: dict[str, Any]) -> None:
    kept = {name: value for name, value in members.items() if name not in GATEWAY_MEMBERS}
    sent = body_for(deployment, json.dumps({"model": "g", **members}))
    assert sent == {"model": "gpt-4o-mini", **kept}


def test_recorded_requests_pass_through(deployment: Deployment, exchanges: Callable[..., Any]) -> None:
    for exchange in exchanges(stream=True, ok=True) + exchanges(stream=False, ok=True):
        recorded = exchange["request"]["body"]
        sent = body_for(deployment, json.dumps(recorded))
        assert sent == {**recorded, "model": "gpt-4o-mini"}, exchange["id"]


def test_a_callers_extra_body_adds_no_second_limit_behind_the_back_of_the_hold(deployment: Deployment) -> None:
    extra = '"extra_body":{"max_completion_tokens":9000,"top_k":3}'
    body = body_for(deployment, f'{{"model":"m",{MESSAGES},"max_tokens":10,{extra}}}')
    assert (body["max_tokens"], body["top_k"], "max_completion_tokens" in body) == (10, 3, False)
    assert body_for(deployment, f'{{"model":"m",{MESSAGES},{extra}}}')["max_completion_tokens"] == 9000
