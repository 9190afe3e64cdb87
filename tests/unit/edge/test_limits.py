"""The headers of limits: OpenAI's names, LiteLLM's names, and nothing for what is not limited."""

from __future__ import annotations

from gateway.v1 import keystore_pb2

from edge.limits import limit_headers


def test_each_limit_has_its_own_headers() -> None:
    limits = keystore_pb2.RateLimits(requests_limit=5, requests_remaining=2, reset_ms=12_500)
    assert dict(limit_headers(limits)) == {
        b"x-ratelimit-limit-requests": b"5",
        b"x-ratelimit-remaining-requests": b"2",
        b"x-ratelimit-reset-requests": b"12.5s",
        b"x-ratelimit-api_key-limit-requests": b"5",
        b"x-ratelimit-api_key-remaining-requests": b"2",
    }
    limits = keystore_pb2.RateLimits(parallel_limit=3, parallel_remaining=0, exceeded="max_parallel_requests")
    assert dict(limit_headers(limits)) == {
        b"x-ratelimit-api_key-limit-max_parallel_requests": b"3",
        b"x-ratelimit-api_key-remaining-max_parallel_requests": b"0",
        b"rate_limit_type": b"max_parallel_requests",
    }


def test_a_limit_of_nothing_is_a_limit() -> None:
    limits = keystore_pb2.RateLimits(tokens_limit=0, reset_ms=60_000)
    assert (b"x-ratelimit-limit-tokens", b"0") in limit_headers(limits)
    assert (b"x-ratelimit-reset-tokens", b"60s") in limit_headers(limits)
