"""Failures of Bedrock, by the kinds and statuses of AWS's documentation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog import Deployment
from router.wire.bedrock.errors import decode_error, decode_exception, is_error
from services.errors import GatewayError, Reason

SECRETS = {
    "aws_access_key_id": "own-key-id",
    "aws_secret_access_key": "own+secret/key",
    "aws_session_token": "own-token",
}
BEDROCK = Deployment(
    "d1", "g", "bedrock", "m", "https://host.example", "bedrock-api-key", wire="bedrock", auth="aws", options=SECRETS
)
HEADER = "http://internal.amazon.com/coral/com.amazon.bedrock/"

KINDS = [
    (400, "ValidationException", Reason.ERROR_REASON_PROVIDER_REJECTED),
    (400, "ServiceQuotaExceededException", Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
    (403, "AccessDeniedException", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
    (403, "UnrecognizedClientException", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
    (403, "InvalidSignatureException", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
    (400, "ExpiredTokenException", Reason.ERROR_REASON_PROVIDER_AUTHENTICATION),
    (404, "ResourceNotFoundException", Reason.ERROR_REASON_PROVIDER_NOT_FOUND),
    (408, "ModelTimeoutException", Reason.ERROR_REASON_PROVIDER_TIMEOUT),
    (424, "ModelErrorException", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    (424, "ModelStreamErrorException", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    (429, "ModelNotReadyException", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    (429, "ThrottlingException", Reason.ERROR_REASON_PROVIDER_RATE_LIMITED),
    (500, "InternalServerException", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    (503, "ServiceUnavailableException", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    (418, "ExceptionOfTheFuture", Reason.ERROR_REASON_PROVIDER_REJECTED),
]  # fmt: skip


def body(**members: str) -> bytes:
    return json.dumps(members).encode()


@pytest.mark.parametrize(("status", "kind", "reason"), KINDS)
def test_the_kind_says_what_it_means_wherever_it_stands(status: int, kind: str, reason: Reason) -> None:
    in_header = decode_error(status, {"x-amzn-errortype": f"{kind}:{HEADER}"}, body(message="Said so."), BEDROCK)
    in_body = decode_error(status, {}, body(__type=f"com.amazon.coral.service#{kind}", Message="Said so."), BEDROCK)
    for error in (in_header, in_body):
        assert (error.reason, error.message, error.provider_status) == (reason, "Said so.", status)


@pytest.mark.parametrize(("status", "kind", "reason"), [each for each in KINDS if each[1] != "ExceptionOfTheFuture"])
def test_in_a_stream_the_kind_stands_for_the_status(status: int, kind: str, reason: Reason) -> None:
    name = kind[0].lower() + kind[1:]
    error = decode_exception(name, body(message="Said so."), BEDROCK)
    assert (error.reason, error.message) == (reason, "Said so.")
    assert 400 <= error.provider_status < 600


def test_what_stands_before_bedrock_may_fail_in_the_words_of_others() -> None:
    others = json.dumps({"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down."}}).encode()
    error = decode_error(429, {"retry-after": "7"}, others, BEDROCK)
    assert (error.reason, error.message) == (Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, "Slow down.")
    assert decode_error(500, {}, b'{"error": null}', BEDROCK).message == "bedrock answered with status 500."


def test_what_a_stream_says_without_a_kind_or_words() -> None:
    error = decode_exception("", b"", BEDROCK)
    assert (error.reason, error.provider_status) == (Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, 500)
    assert decode_exception("x", b"{}", BEDROCK, "From the header.").message == "From the header."
    assert decode_exception("modelStreamErrorException", body(originalMessage="Inner."), BEDROCK).message == "Inner."
    assert decode_exception("throttlingException", b"{}", BEDROCK).message == "bedrock: throttlingException."


@pytest.mark.parametrize(
    "words",
    [
        "Input is too long for requested model.",
        "The model returned the following errors: prompt is too long: 200049 tokens > 200000 maximum",
        "The model returned: Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
        "This model's maximum context length is 131072 tokens. Please reduce the length of the prompt",
        "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
        "The model returned the following errors: input length and `max_tokens` exceed context limit: 199000 + 8192",
        "Malformed input request: expected maxLength: 2048, actual: 9000, please reformat your input and try again.",
        "The request exceeds the maximum number of input tokens allowed.",
    ],
)
def test_a_prompt_that_is_too_long(words: str) -> None:
    error = decode_error(400, {"x-amzn-errortype": "ValidationException"}, body(message=words), BEDROCK)
    assert error.reason == Reason.ERROR_REASON_CONTEXT_WINDOW_EXCEEDED
    assert decode_exception("validationException", body(message=words), BEDROCK).reason == error.reason


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (429, "ThrottlingException", "Too many tokens, please wait before trying again."),
        (400, "ThrottlingException", "Too many tokens per day, please wait before trying again."),
        (429, "ThrottlingException", "Too many requests: the maximum number of tokens in a minute is exceeded"),
    ],
)
def test_too_many_tokens_in_a_minute_are_no_long_prompt(status: int, kind: str, words: str) -> None:
    error = decode_error(status, {"x-amzn-errortype": kind, "retry-after": "7"}, body(message=words), BEDROCK)
    assert error.reason == Reason.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert error.retry_after_seconds == 7


@pytest.mark.parametrize(
    "words",
    [
        "The maximum tokens you requested exceeds the model limit of 4096.",
        "messages.0.content.0.image: image exceeds the maximum size limit of 5 MB",
        "The provided model identifier is invalid.",
    ],
)
def test_other_limits_are_no_long_prompt(words: str) -> None:
    error = decode_error(400, {"x-amzn-errortype": "ValidationException"}, body(message=words), BEDROCK)
    assert error.reason == Reason.ERROR_REASON_PROVIDER_REJECTED


def test_what_the_model_may_not_say() -> None:
    error = decode_error(400, {}, body(message="Output blocked by content filtering policy"), BEDROCK)
    assert error.reason == Reason.ERROR_REASON_CONTENT_POLICY_VIOLATION


def test_what_was_signed_is_not_repeated() -> None:
    words = (
        "The request signature we calculated does not match the signature you provided.\n\n"
        "The Canonical String for this request should have been\n'POST\n/model\n\nx-amz-security-token:IQoJb3Jp\n'"
    )
    error = decode_error(403, {"x-amzn-errortype": "InvalidSignatureException"}, body(message=words), BEDROCK)
    assert error.message == "The request signature we calculated does not match the signature you provided."


@pytest.mark.parametrize(
    "secret", [*SECRETS.values(), "bedrock-api-key", "AKIAABCDEFGHIJKLMNOP", "ASIAABCDEFGHIJKLMNOP", "IQoJtoken"]
)
def test_no_secret_reaches_the_caller(secret: str) -> None:
    words = f"Bad: {secret} x" if secret != "IQoJtoken" else f"Bad: x-amz-security-token: {secret}"
    for said in (body(message=words), words.encode()):
        error = decode_error(403, {}, said, BEDROCK)
        assert secret not in error.message
        assert "Bad" in error.message


@pytest.mark.parametrize("said", [b"", b"<html>Bad gateway</html>", b"Bad gateway", b'"x"', b'{"message":5}'])
def test_a_proxy_may_say_anything(said: bytes) -> None:
    error = decode_error(502, {}, said, BEDROCK)
    assert (error.reason, error.provider_status) == (Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, 502)
    assert error.message


def test_an_error_is_told_from_an_answer() -> None:
    assert is_error(b'{"message":"x"}')
    assert is_error(b'{"__type":"x"}')
    assert not is_error(b"{}")
    assert not is_error(b"x")


@settings(max_examples=200, deadline=None)
@given(st.integers(200, 599), st.text(max_size=20), st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
def test_anything_is_an_error(status: int, kind: str, said: bytes) -> None:
    for error in (
        decode_error(status, {"x-amzn-errortype": kind}, said, BEDROCK),
        decode_exception(kind, said, BEDROCK),
    ):
        assert isinstance(error, GatewayError)
        assert error.message
