"""AWS Signature Version 4 of a provider request, as `router/target.py` sends it. Pure: the moment is an argument."""

from __future__ import annotations

from datetime import datetime

from router.credentials.headers import with_headers
from router.target import target_of
from router.wire.base import HttpRequest
from services.sigv4 import AwsKeys, authorization, date_headers


def sign(request: HttpRequest, keys: AwsKeys, *, region: str, service: str, now: datetime) -> HttpRequest:
    """The request with `authorization`, `x-amz-date` and, for temporary keys, `x-amz-security-token`.

    region, service: in AWS's words, such as `us-east-1` and `bedrock`. now: aware. ValueError when the address is none.
    """
    request = with_headers(request, date_headers(keys, now))
    target = target_of(request.url)
    headers = {"host": target.host, **request.headers}
    signature = authorization(request.method, target.path, headers, request.body, keys, region=region, service=service)
    return with_headers(request, {"authorization": signature})
