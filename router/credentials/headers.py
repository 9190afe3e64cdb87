"""Headers that carry a credential: put into a request, and taken out of what a provider says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from router.wire.base import HttpRequest

# In lower case; whatever a provider says, what stands in them is not shown.
_SECRET_HEADERS = ("authorization", "api-key", "x-goog-api-key", "x-amz-security-token")
# Shorter values are no secrets, and may be a word of the message.
_LEAST_SECRET_CHARS = 8
_MASK = b"***"


def with_headers(request: HttpRequest, added: Mapping[str, str]) -> HttpRequest:
    """The request with these headers too, in lower case."""
    return msgspec.structs.replace(request, headers={**request.headers, **added})


def masked(body: bytes, request: HttpRequest) -> bytes:
    """What a provider answered to `request`, without the credential: AWS, for one, repeats all that was signed."""
    for secret in _secrets_of(request):
        # Some encoders of JSON escape slashes; that form first, since the other may end it.
        body = body.replace(secret.replace(b"/", b"\\/"), _MASK).replace(secret, _MASK)
    return body


def _secrets_of(request: HttpRequest) -> Iterator[bytes]:
    for name in _SECRET_HEADERS:
        secret = request.headers.get(name, "").removeprefix("Bearer ").removeprefix("ZenApiKey ")
        if len(secret) >= _LEAST_SECRET_CHARS:
            yield secret.encode()
