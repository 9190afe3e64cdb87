"""What holds for every wire alike."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, note, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire import WIRES
from router.wire.base import HttpRequest, StreamEnd, Wire
from router.wire.http import post
from services.errors import GatewayError, Reason
from tests.aws_events import chunk, event
from tests.strategies import ANY_BYTES, CUTS
from tests.streams import DONE, assert_alike_in_pieces, fed

# InvokeModel speaks the language of each model: one of each, and one whose answers come in no stream.
INVOKED = (
    "anthropic.claude-example-4-5",
    "amazon.nova-x",
    "openai.gpt-oss-x",
    "meta.llama3-x",
    "cohere.command-r-x",
    "amazon.titan-text-x",
)
PLACE = {"vertex_project": "p", "vertex_location": "us-east5"}
DEPLOYMENTS = [
    Deployment("d", "m", "provider", model, "https://provider.example", "key", wire=name, options=PLACE)
    for name in WIRES
    for model in ([f"invoke/{model}" for model in INVOKED] if name == "bedrock_invoke" else ["model-example"])
]
# Members that callers may nest without end, known to some wires or to none.
NESTED = (
    "extra_body",
    "generation_config",
    "logit_bias",
    "messages",
    "never_heard_of",
    "options",
    "outputConfig",
    "output_config",
    "response_format",
    "stop",
    "thinking",
    "tools",
)


def wire_of(deployment: Deployment) -> Wire:
    return WIRES[deployment.wire](lambda: 0.0)


every_deployment = pytest.mark.parametrize(
    "deployment", [pytest.param(each, id=f"{each.wire}: {each.provider_model}") for each in DEPLOYMENTS]
)

# Bytes bare, and in each of the frames that some wire cuts streams into.
FRAMED = st.one_of(
    ANY_BYTES,
    ANY_BYTES.map(lambda data: b"data: " + data + b"\n\n"),
    ANY_BYTES.map(lambda data: data + b"\n"),
    ANY_BYTES.map(chunk),
    st.builds(lambda name, data: event(name, delta=data.decode(errors="replace")), st.text(max_size=8), ANY_BYTES),
)


# Examples are made once for all of them: making them is what takes time.
@settings(max_examples=300)
@given(body=ANY_BYTES, stream=st.booleans())
def test_any_bytes_are_translated_or_refused(body: bytes, stream: bool) -> None:
    for deployment in DEPLOYMENTS:
        note(repr(deployment))
        try:
            request = wire_of(deployment).encode(body, deployment, stream=stream, output_tokens_limit=9)
        except GatewayError as error:
            assert error.reason == Reason.ERROR_REASON_INVALID_REQUEST
        else:
            assert json.loads(request.body)


@every_deployment
@pytest.mark.parametrize("member", NESTED)
def test_a_bottomless_body_is_refused(deployment: Deployment, member: str) -> None:
    endless = "[" * 100_000 + "]" * 100_000
    for value in (endless, f'{{"a":{endless}}}'):
        body = f'{{"messages":[],"{member}":{value}}}'.encode()
        with pytest.raises(GatewayError) as caught:
            wire_of(deployment).encode(body, deployment, stream=False, output_tokens_limit=0)
        assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST


@settings(max_examples=300)
@given(body=ANY_BYTES)
@example(b"[" * 100_000)
@example(b'{"choices":[{"message":{"content":[1]}}],"usage":[]}')
def test_any_bytes_as_an_answer_are_one_or_a_failure_of_the_provider(body: bytes) -> None:
    for deployment in DEPLOYMENTS:
        note(repr(deployment))
        try:
            answer = wire_of(deployment).decode(body, deployment)
        except GatewayError as error:
            assert error.provider == "provider"
        else:
            assert json.loads(answer.body)


@settings(max_examples=300)
@given(data=FRAMED, cuts=CUTS)
@example(DONE, [])
@example(b"{}", [])
@example(b"[" * 100_000, [])
def test_any_bytes_as_a_stream_are_a_failure_of_the_provider_whatever_the_pieces(data: bytes, cuts: list[int]) -> None:
    for deployment in DEPLOYMENTS:
        note(repr(deployment))

        def run(pieces: list[bytes], deployment: Deployment = deployment) -> tuple[bytes, StreamEnd]:
            request = HttpRequest("POST", "", {}, b"", show_usage=True)
            return fed(wire_of(deployment).stream(request, deployment), pieces)

        # OpenAI's language is passed on as it came, so that nobody promises that the SDK reads it.
        passed_on = deployment.wire in ("openai", "watsonx") or "openai." in deployment.provider_model
        end = assert_alike_in_pieces(run, data, cuts, as_it_came=passed_on)
        # None of them is a whole answer.
        assert end.error is not None
        assert end.error.provider == "provider"
        assert end.last == b""


@pytest.mark.parametrize("name", WIRES)
def test_a_busy_provider_is_a_rate_limit_with_its_wait_in_every_language(name: str) -> None:
    wire = WIRES[name](lambda: 0.0)
    deployment = Deployment("d", "m", "provider", "m", "https://provider.example", "key", wire=name)
    error = wire.decode_error(429, {"retry-after": "7"}, b'{"message": "Slow down."}', deployment)
    assert (error.reason, error.message) == (Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, "Slow down.")
    assert (error.provider, error.provider_status, error.retry_after_seconds) == ("provider", 429, 7.0)


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        ("bearer", "authorization", "Bearer k&y"),
        ("header:x-goog-api-key", "x-goog-api-key", "k&y"),
        ("azure", "api-key", "k&y"),
        ("query:key", "", ""),
    ],
)
def test_the_key_stands_where_the_host_wants_it(auth: str, name: str, value: str) -> None:
    for url, in_query in (("https://h/p", "?key=k%26y"), ("https://h/p?a=b", "&key=k%26y")):
        deployment = Deployment("d", "m", "provider", "m", "https://h", "k&y", auth=auth, extra_headers={"X-Team": "a"})
        request = post(url, b"{}", deployment, stream=False, show_usage=False)
        assert request.url == url + (in_query if auth == "query:key" else "")
        assert {each: sent for each, sent in request.headers.items() if "k&y" in sent} == (
            {name: value} if name else {}
        )
        assert request.headers["x-team"] == "a"


def test_what_a_deployments_own_headers_say_goes_over_its_key() -> None:
    deployment = Deployment(
        "d",
        "m",
        "p",
        "m",
        "https://h",
        "key",
        headers={"x-version": "1", "user-agent": "row"},
        extra_headers={"Authorization": "Basic a", "X-Version": "2"},
    )
    request = post("https://h/p", b"{}", deployment, stream=False, show_usage=False)
    told = {name: request.headers[name] for name in ("authorization", "x-version", "user-agent")}
    assert told == {"authorization": "Basic a", "x-version": "2", "user-agent": "row"}
