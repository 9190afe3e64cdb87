"""AWS Signature Version 4, as pure code: the moment is an argument.

What is signed is what `router/target.py` sends. Of the headers these are signed: `host`, `content-type` and all that
begin with `x-amz-`. AWS asks for no more, and what stands between may change the others.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote

from router.credentials.headers import with_headers
from router.target import target_of
from router.wire.base import HttpRequest

_ALGORITHM = "AWS4-HMAC-SHA256"
_SPACES = re.compile(" +")


class AwsKeys(NamedTuple):
    """What AWS requests are signed with. session_token: of temporary keys; empty for others."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "AwsKeys(...)"


def sign(request: HttpRequest, keys: AwsKeys, *, region: str, service: str, now: datetime) -> HttpRequest:
    """The request with `authorization`, `x-amz-date` and, for temporary keys, `x-amz-security-token`.

    region, service: in AWS's words, such as `us-east-1` and `bedrock`. now: aware. ValueError when the address is none.
    """
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    added = {"x-amz-date": moment}
    if keys.session_token:
        added["x-amz-security-token"] = keys.session_token
    request = with_headers(request, added)
    headers = _signed_headers(request)
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(_canonical(request, headers).encode()).hexdigest()
    key = f"AWS4{keys.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}".encode(), "sha256").hex()
    authorization = (
        f"{_ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders={';'.join(headers)}, "
        f"Signature={signature}"
    )
    return with_headers(request, {"authorization": authorization})


def _signed_headers(request: HttpRequest) -> Mapping[str, str]:
    """Names and values as they are signed, in the order of the names."""
    headers = {"host": target_of(request.url).host, **request.headers}
    return {
        name: _SPACES.sub(" ", headers[name].strip(" \t"))
        for name in sorted(headers)
        if name in ("host", "content-type") or name.startswith("x-amz-")
    }


def _canonical(request: HttpRequest, headers: Mapping[str, str]) -> str:
    path, _, query = target_of(request.url).path.partition("?")
    lines = [
        request.method,
        # Encoded once more than it is sent; only S3 wants it otherwise.
        quote(_normal(path), safe="/"),
        _canonical_query(query),
        *(f"{name}:{value}" for name, value in headers.items()),
        "",
        ";".join(headers),
        hashlib.sha256(request.body).hexdigest(),
    ]
    return "\n".join(lines)


def _normal(path: str) -> str:
    """Without empty and dot segments (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith("/") else ""
    return "/" + "/".join(kept) + end


def _canonical_query(query: str) -> str:
    """Each name and value encoded strictly, in the order of the encoded names, then values."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    encoded = sorted((_strict(name), _strict(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _strict(text: str) -> str:
    return quote(unquote(text, errors="surrogateescape"), safe="", errors="surrogateescape")
