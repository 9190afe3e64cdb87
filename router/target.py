"""Where a request goes and how its head is written: a URL and headers as HTTP/1.1 has them. Pure."""

from __future__ import annotations

import base64
import functools
import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from router.wire.base import HttpRequest

# RFC 9110: a token, and a value without control characters (a line break would begin another header).
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_A_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9._~:-]+")
_BLANK = " \t"
# What frames the message is the client's own.
_OURS = frozenset(("connection", "content-length", "transfer-encoding"))
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Of paths and queries; what is percent-encoded already stays.
_PLAIN = "/%:@!$&'()*+,;=~?"


class Origin(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    tls: bool


class Target(NamedTuple):
    """What a URL says: where to connect, and the first lines of the head without the method."""

    origin: Origin
    path: str
    host: str
    # From `user:password@` in the URL; empty without.
    authorization: str


@functools.lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    """Parsed once an address; there are as many as deployments. ValueError when it is none."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an http address")
    default_port = _DEFAULT_PORTS[parts.scheme]
    port = parts.port or default_port
    # UnicodeError is a ValueError.
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    if not _HOST.fullmatch(host):
        raise ValueError("not the name of a host")
    shown = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe=_PLAIN)
    query = "?" + quote(parts.query, safe=_PLAIN) if parts.query else ""
    login = ""
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = f"Basic {base64.b64encode(secret.encode()).decode()}"
    return Target(
        Origin(host, port, parts.scheme == "https"),
        path + query,
        shown if port == default_port else f"{shown}:{port}",
        login,
    )


def head_of(request: HttpRequest, target: Target) -> bytes:
    """The head of a request. ValueError when a header cannot be sent."""
    headers = request.headers
    lines = [f"{request.method} {target.path} HTTP/1.1"]
    if "host" not in headers:
        lines.append(f"host: {target.host}")
    if target.authorization and "authorization" not in headers:
        lines.append(f"authorization: {target.authorization}")
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _NOT_A_VALUE.search(value) or name in _OURS:
            raise ValueError("not a header")
        # Space around a value is no part of it, and not all parsers agree on who removes it.
        lines.append(f"{name}: {value.strip(_BLANK)}")
    lines.append(f"content-length: {len(request.body)}\r\n\r\n")
    return "\r\n".join(lines).encode()
