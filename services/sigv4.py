"""AWS Signature Version 4 over what a request is made of, as pure code: the moment is an argument.

Of the headers these are signed: `host`, `content-type` and all that begin with `x-amz-`. AWS asks for no more, and what
stands between may change the others.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote

_ALGORITHM = "AWS4-HMAC-SHA256"
_SPACES = re.compile(" +")


class AwsKeys(NamedTuple):
    """What AWS requests are signed with. session_token: of temporary keys; empty for others."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "AwsKeys(...)"


def date_headers(keys: AwsKeys, now: datetime) -> dict[str, str]:
    """What a request has to have before it is signed: `x-amz-date` and, for temporary keys, their token."""
    headers = {"x-amz-date": now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")}
    if keys.session_token:
        headers["x-amz-security-token"] = keys.session_token
    return headers


def authorization(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    keys: AwsKeys,
    *,
    region: str,
    service: str,
    takes_path_as_sent: bool = False,
) -> str:
    """The header `authorization` of a request.

    target: path and query as they are sent. headers: by lower-case names, with `host` and `date_headers`. region,
    service: in AWS's words, such as `us-east-1` and `bedrock`. takes_path_as_sent: S3 alone encodes no path again, and
    leaves dots in it.
    """
    signed = {
        name: _SPACES.sub(" ", headers[name].strip(" \t"))
        for name in sorted(headers)
        if name in ("host", "content-type") or name.startswith("x-amz-")
    }
    moment = signed["x-amz-date"]
    path, _, query = target.partition("?")
    canonical = [
        method,
        path if takes_path_as_sent else quote(_normal(path), safe="/"),
        _canonical_query(query),
        *(f"{name}:{value}" for name, value in signed.items()),
        "",
        ";".join(signed),
        hashlib.sha256(body).hexdigest(),
    ]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    key = f"AWS4{keys.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}".encode(), "sha256").hex()
    return (
        f"{_ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders={';'.join(signed)}, Signature={signature}"
    )


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
