"""How it stands with the limits of a key, as headers: OpenAI's names for requests and tokens, and LiteLLM's for all."""

from __future__ import annotations

from gateway.v1 import keystore_pb2

from edge.errors import Headers


def limit_headers(limits: keystore_pb2.RateLimits) -> Headers:
    """Of an answer, whether it succeeds or fails. What is not limited has none.

    `x-ratelimit-reset-*` is the time until the next minute, in OpenAI's form (`12.5s`).
    """
    headers: Headers = []
    reset = f"{limits.reset_ms / 1000:g}s".encode()
    for kind in ("requests", "tokens"):
        if limits.HasField(f"{kind}_limit"):
            limit, remaining = _told(limits, kind)
            headers += [
                (f"x-ratelimit-limit-{kind}".encode(), limit),
                (f"x-ratelimit-remaining-{kind}".encode(), remaining),
                (f"x-ratelimit-reset-{kind}".encode(), reset),
                (f"x-ratelimit-api_key-limit-{kind}".encode(), limit),
                (f"x-ratelimit-api_key-remaining-{kind}".encode(), remaining),
            ]
    if limits.HasField("parallel_limit"):
        limit, remaining = _told(limits, "parallel")
        headers.append((b"x-ratelimit-api_key-limit-max_parallel_requests", limit))
        headers.append((b"x-ratelimit-api_key-remaining-max_parallel_requests", remaining))
    if limits.exceeded:
        headers.append((b"rate_limit_type", limits.exceeded.encode()))
    return headers


def _told(limits: keystore_pb2.RateLimits, kind: str) -> tuple[bytes, bytes]:
    return str(getattr(limits, f"{kind}_limit")).encode(), str(getattr(limits, f"{kind}_remaining")).encode()
