"""Signatures for S3 against those of AWS's own library; the router's tests hold those for other services to it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from services.sigv4 import AwsKeys, authorization, date_headers

PARTS = st.text("abcdefghijklmnopqrstuvwxyz0123456789._=-", min_size=1, max_size=12)
SECRETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


@given(
    path=st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    body=st.binary(max_size=50),
    keys=st.builds(AwsKeys, SECRETS, SECRETS, st.just("") | SECRETS),
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
)
def test_a_signature_for_s3_is_that_of_the_library(path: str, body: bytes, keys: AwsKeys, moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    headers = {
        "host": "bucket.s3.eu-west-1.amazonaws.com",
        "content-type": "application/gzip",
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        **date_headers(keys, now),
    }
    ours = authorization("PUT", path, headers, body, keys, region="eu-west-1", service="s3", takes_path_as_sent=True)
    theirs = AWSRequest("PUT", f"https://{headers['host']}{path}", headers, body)
    theirs.context["timestamp"] = headers["x-amz-date"]
    auth = S3SigV4Auth(Credentials(*keys[:2], keys.session_token or None), "s3", "eu-west-1")
    canonical = auth.canonical_request(theirs)
    signature = auth.signature(auth.string_to_sign(theirs, canonical), theirs)
    assert ours.endswith(f"Signature={signature}")
