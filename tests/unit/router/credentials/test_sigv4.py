"""Our signatures against those of AWS's own library, which is the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given
from hypothesis import strategies as st

from router.credentials.sigv4 import sign
from router.target import head_of, target_of
from router.wire.base import HttpRequest
from services.sigv4 import AwsKeys

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# As wires write them: percent-encoded; or as an operator's `api_base` may have them.
SEGMENTS = st.one_of(
    TEXT.map(lambda text: quote(text, safe="")),
    st.sampled_from(
        [
            "",
            ".",
            "..",
            "model",
            "anthropic.claude-3-5-sonnet-20240620-v1:0",
            "anthropic.claude-3-5-sonnet-20240620-v1%3A0",
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.model-v1%3A0",
            "a b~c",
            "%zz",
        ]
    ),
)
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda segments: "/" + "/".join(segments))
QUERIES = st.lists(st.tuples(TEXT, TEXT), max_size=4).map(
    lambda pairs: "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
HEADERS = st.dictionaries(st.from_regex(r"x-amz-[a-z]{1,8}-x", fullmatch=True), VALUES, max_size=3)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
SECRETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


def request_to(url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> HttpRequest:
    sent = {"content-type": "application/json", "accept": "*/*", "user-agent": "tollhouse", **(headers or {})}
    return HttpRequest("POST", url, sent, body)


@given(
    host=st.sampled_from(["bedrock-runtime.us-east-1.amazonaws.com", "localhost:8443"]),
    path=PATHS,
    query=QUERIES,
    headers=HEADERS,
    body=st.binary(max_size=50),
    keys=st.builds(AwsKeys, SECRETS, SECRETS, st.one_of(st.just(""), SECRETS)),
    region=WORDS,
    service=WORDS,
)
@example(
    host="bedrock-runtime.us-east-1.amazonaws.com",
    path="/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.model-v1%3A0/converse",
    query="b=2&a=1&a=0",
    headers={"x-amz-two-x": "  two   spaces "},
    body=b"{}",
    keys=AwsKeys("AKIDEXAMPLE", "secret", "token"),
    region="us-east-1",
    service="bedrock",
)
def test_a_signature_is_that_of_aws_own_library(
    host: str,
    path: str,
    query: str,
    headers: dict[str, str],
    body: bytes,
    keys: AwsKeys,
    region: str,
    service: str,
) -> None:
    request = request_to(f"https://{host}{path}{'?' if query else ''}{query}", headers=headers, body=body)
    # What is sent is what counts, so the oracle is shown that.
    sent = f"https://{host}{target_of(request.url).path}"
    theirs = AWSRequest("POST", sent, {"content-type": "application/json", **headers}, body)
    credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
    SigV4Auth(credentials, service, region).add_auth(theirs)
    now = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = sign(request, keys, region=region, service=service, now=now)
    assert ours.headers["authorization"] == theirs.headers["Authorization"]
    assert ours.headers["x-amz-date"] == theirs.headers["X-Amz-Date"]
    assert ours.headers.get("x-amz-security-token") == theirs.headers.get("X-Amz-Security-Token")


def test_what_was_there_is_sent_as_it_was() -> None:
    request = request_to("https://h.example/a", headers={"x-other": "1"}, body=b"body")
    signed = sign(request, AwsKeys("a", "b"), region="r", service="s", now=datetime.now(UTC))
    assert {**signed.headers, **request.headers} == dict(signed.headers)
    assert (signed.method, signed.url, signed.body) == (request.method, request.url, request.body)


def test_a_host_header_of_ones_own_is_the_one_that_is_signed_and_sent() -> None:
    now = datetime.now(UTC)
    through_proxy = request_to("https://proxy.example/a", headers={"host": "bedrock.example"})
    direct = request_to("https://bedrock.example/a")
    ours, theirs = (
        sign(request, AwsKeys("a", "b"), region="r", service="s", now=now) for request in (through_proxy, direct)
    )
    assert ours.headers["authorization"] == theirs.headers["authorization"]
    head = head_of(ours, target_of(ours.url))
    assert head.count(b"host:") == 1
    assert b"host: bedrock.example\r\n" in head


def test_headers_that_may_be_changed_on_the_way_are_not_signed() -> None:
    now = datetime.now(UTC)
    plain = request_to("https://h.example/a")
    other = request_to("https://h.example/a", headers={"user-agent": "other", "accept": "other", "x-other": "other"})
    signatures = {
        sign(request, AwsKeys("a", "b"), region="r", service="s", now=now).headers["authorization"]
        for request in (plain, other)
    }
    assert len(signatures) == 1


@given(now=st.datetimes(timezones=st.timezones(), min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))
def test_the_moment_is_told_in_utc(now: datetime) -> None:
    signed = sign(request_to("https://h.example/"), AwsKeys("a", "b"), region="r", service="s", now=now)
    assert signed.headers["x-amz-date"] == now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


@pytest.mark.parametrize("url", ["nonsense", "ftp://h.example/", "https://"])
def test_an_address_that_is_none_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        sign(request_to(url), AwsKeys("a", "b"), region="r", service="s", now=datetime.now(UTC))


def test_keys_are_not_shown() -> None:
    keys = AwsKeys("AKIDEXAMPLE", "a-secret", "a-token")
    assert "AKID" not in f"{keys} {keys!r} {keys!s}"
