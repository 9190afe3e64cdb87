"""How it stands with limits, as headers: OpenAI's names for requests and tokens, and LiteLLM's for all."""

from __future__ import annotations

from gateway.v1 import keystore_pb2

from edge.errors import Headers


def limit_headers(limits: keystore_pb2.RateLimits) -> Headers:
    """Of an answer, whether it succeeds or fails. What is not limited has none. LiteLLM's names say whose they are.

    `x-ratelimit-reset-*` is the time until the next minute, in OpenAI's form (`12.5s`).
    """
    headers: Headers = []
    # A keystore of before this member tells of keys alone.
    scope = limits.scope or "api_key"
    reset = f"{limits.reset_ms / 1000:g}s".encode()
    for kind in ("requests", "tokens"):
        if limits.HasField(f"{kind}_limit"):
            limit, remaining = _told(limits, kind)
            headers += [
                (f"x-ratelimit-limit-{kind}".encode(), limit),
                (f"x-ratelimit-remaining-{kind}".encode(), remaining),
                (f"x-ratelimit-reset-{kind}".encode(), reset),
                (f"x-ratelimit-{scope}-limit-{kind}".encode(), limit),
                (f"x-ratelimit-{scope}-remaining-{kind}".encode(), remaining),
            ]
    if limits.HasField("parallel_limit"):
        limit, remaining = _told(limits, "parallel")
        headers.append((f"x-ratelimit-{scope}-limit-max_parallel_requests".encode(), limit))
        headers.append((f"x-ratelimit-{scope}-remaining-max_parallel_requests".encode(), remaining))
    if limits.exceeded:
        headers.append((b"rate_limit_type", limits.exceeded.encode()))
    return headers


def _told(limits: keystore_pb2.RateLimits, kind: str) -> tuple[bytes, bytes]:
    return str(getattr(limits, f"{kind}_limit")).encode(), str(getattr(limits, f"{kind}_remaining")).encode()
