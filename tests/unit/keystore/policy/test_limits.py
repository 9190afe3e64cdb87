"""Which limits apply, what a call is estimated at, and how a refusal reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystore.policy.access import Key
from keystore.policy.limits import (
    MAX_LIMIT,
    USUAL_OUTPUT_TOKENS,
    gateway_limit,
    limit_of,
    limit_refusal,
    limits_of,
    tokens_estimate,
)
from keystore.policy.operations import Limit, Limited, Rate, Use
from services.errors import Reason

# Ten seconds past a minute.
NOW_MS = 1_800_000_010_000
LIMIT = Limit("key:id", requests=3, tokens=1_000, parallel=2)
KEY = Key("id", "token", "sk-...abcd", limit=LIMIT)
GATEWAY = Limit("gateway", parallel=9)


def refused(rate: Rate, limit: Limit = LIMIT, **used: int) -> tuple[str, float | None]:
    use = Use(used.get("requests", 0), used.get("tokens", 0), used.get("parallel", 0), 50_000)
    error = limit_refusal(Limited(limit, rate, use), KEY, 700, NOW_MS)
    assert error.reason == Reason.ERROR_REASON_RATE_LIMITED
    return error.message, error.retry_after_seconds


def test_the_key_s_own_limit_comes_before_the_gateway_s() -> None:
    assert limits_of(KEY, GATEWAY) == (LIMIT, GATEWAY)
    assert limits_of(KEY, None) == (LIMIT,)
    assert limits_of(Key("id", "token", "name"), GATEWAY) == limits_of(None, GATEWAY) == (GATEWAY,)
    assert limits_of(None, None) == ()


def test_what_is_not_limited_has_no_limit_and_nothing_is_a_limit() -> None:
    assert limit_of("id") is gateway_limit(None) is None
    assert limit_of("id", tokens=0) == Limit("key:id", None, 0, None)
    assert gateway_limit(0) == Limit("gateway", parallel=0)


def test_a_refusal_names_the_key_the_limit_and_when_the_minute_ends() -> None:
    assert refused(Rate.REQUESTS, requests=3) == (
        "Rate limit exceeded for api_key: sk-...abcd. Limit type: requests. Current limit: 3, Remaining: 0. "
        "Limit resets at: 2027-01-15 08:01:00 UTC",
        50.0,
    )
    assert refused(Rate.TOKENS, tokens=400) == (
        "Rate limit exceeded for api_key: sk-...abcd. Limit type: tokens. Current limit: 1000, Remaining: 600. "
        "Limit resets at: 2027-01-15 08:01:00 UTC. This call is estimated at 700 tokens.",
        50.0,
    )


def test_when_a_call_ends_is_not_known() -> None:
    assert refused(Rate.PARALLEL, parallel=2) == (
        "Rate limit exceeded for api_key: sk-...abcd. Limit type: max_parallel_requests. Current limit: 2, "
        "Remaining: 0. A call has to end first.",
        1.0,
    )
    message, _ = refused(Rate.PARALLEL, GATEWAY, parallel=9)
    assert message.startswith("Rate limit exceeded for the whole gateway. Limit type: max_parallel_requests.")


@pytest.mark.parametrize("rate", list(Rate))
def test_a_limit_of_nothing_never_lets_anything_pass_so_there_is_no_time_to_wait_for(rate: Rate) -> None:
    assert refused(rate, Limit("key:id", 0, 0, 0))[1] is None


@pytest.mark.parametrize(
    ("bound", "limit", "longest", "choices", "tokens"),
    [
        (400, 50, 0, 1, 150),
        (401, 50, 8_000, 2, 101 + 100),
        (0, 0, 0, 0, USUAL_OUTPUT_TOKENS),
        (0, 0, 8_000, 1, USUAL_OUTPUT_TOKENS),
        (0, 0, 100, 3, 300),
    ],
)
def test_an_estimate_is_the_input_and_the_longest_answers_that_are_usual_or_allowed(
    bound: int, limit: int, longest: int, choices: int, tokens: int
) -> None:
    assert tokens_estimate(bound, limit, longest, choices) == tokens


@given(bound=st.integers(0, 1 << 62), limit=st.integers(0, 1 << 62), choices=st.integers(-(1 << 31), 1 << 31))
def test_an_estimate_is_something_that_can_be_counted(bound: int, limit: int, choices: int) -> None:
    assert 0 < tokens_estimate(bound, limit, 0, choices) <= MAX_LIMIT
