"""How a budget or a limit that is reached is told: in LiteLLM's words, with amounts that are true, without a hash."""

from __future__ import annotations

import re
from typing import Any

import pytest
from gateway.v1 import keystore_pb2

from keystore.policy.limits import rows
from keystore.policy.operations import Budget, Exceeded, Limit, Limited, Rate, Use
from keystore.policy.refusals import NAMES, PARALLEL_RETRY_SECONDS, SCOPES, budget_refusal, limit_refusal, tell
from keystore.policy.scopes import Whose
from keystore.policy.standing import Account, Bound
from services.errors import Reason
from tests.golden import Golden

# Ten seconds past a minute.
NOW_MS = 1_800_000_010_000
LIMIT = Limit("key:id", requests=3, tokens=1_000, parallel=2)
KEY = Bound(Whose.KEY, "sk-...abcd", LIMIT)
EVERYBODY = list(Whose)


def over(
    whose: Whose, name: str, *, cap: int, spent: int, held: int = 0, before: int = 0, left_of_cap: int | None = None
) -> str:
    budget = Budget("scope", cap - before if left_of_cap is None else left_of_cap)
    error = budget_refusal(Exceeded(budget, spent, held), Account(whose, name, budget, cap, before))
    assert error.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED
    return error.message


def refused(rate: Rate, bound: Bound = KEY, **used: int) -> tuple[str, float | None]:
    use = Use(used.get("requests", 0), used.get("tokens", 0), used.get("parallel", 0), 50_000)
    error = limit_refusal(Limited(bound.limit, rate, use), bound, 700, NOW_MS)
    assert error.reason == Reason.ERROR_REASON_RATE_LIMITED
    return error.message, error.retry_after_seconds


def without_amounts(text: str) -> str:
    """LiteLLM's amounts are floats, ours are exact: `7.25e-05` and `0.0000725`."""
    return re.sub(r"(?<=[ =])\d+(\.\d+)?(e-\d+)?(?=,|$)", "…", text)


@pytest.mark.parametrize(
    ("captured", "whose", "name"),
    [
        ("err_budget_exceeded", Whose.KEY, "sk-...ViVw"),
        ("err_zero_budget", Whose.KEY, "sk-...F-0Q"),
        ("err_team_budget", Whose.TEAM, "17bbaae1-9220-463e-9599-78ec1cb27c3c"),
        ("err_team_member_budget", Whose.MEMBER, "u77:885cfca7-f5c1-4c54-b65e-98a15e284c4d"),
        ("err_user_budget", Whose.PERSONAL, "usmall"),
        ("err_user_budget", Whose.USER, "usmall"),
        ("err_customer_budget", Whose.CUSTOMER, "cust1"),
    ],
)
def test_a_budget_is_told_in_litellm_s_words(golden: Golden, captured: str, whose: Whose, name: str) -> None:
    message = golden(captured)["error"]["message"]
    assert without_amounts(over(whose, name, cap=10_000, spent=72_500)) == without_amounts(message)


def test_amounts_are_exact_dollars() -> None:
    assert over(Whose.KEY, "sk-...abcd", cap=100_000, spent=210_000_000) == (
        "Budget has been exceeded! Key=key (sk-...abcd) Current cost: 0.21, Max budget: 0.0001"
    )
    assert over(Whose.GATEWAY, "", cap=10**9, spent=0, held=10**9) == (
        "Budget has been exceeded! Current cost: 0, Max budget: 1, held for calls under way: 1"
    )


def test_what_was_spent_before_a_reset_is_a_part_of_what_is_spent() -> None:
    text = over(Whose.KEY, "k", cap=10**9, spent=300_000_000, before=500_000_000)
    assert text == "Budget has been exceeded! Key=key (k) Current cost: 0.8, Max budget: 1"


def test_a_budget_is_told_as_it_is_though_more_than_it_was_spent_before() -> None:
    text = over(Whose.KEY, "k", cap=10**9, spent=0, before=2 * 10**9, left_of_cap=0)
    assert text == "Budget has been exceeded! Key=key (k) Current cost: 2, Max budget: 1"


@pytest.mark.parametrize("whose", EVERYBODY)
@pytest.mark.parametrize("name", ["{0}", "{name}", "a\nb", "%s", "Zoë 🦉", ""])
def test_whatever_somebody_is_called_is_told_as_it_is(whose: Whose, name: str) -> None:
    text = over(whose, name, cap=1, spent=2)
    assert name in text or whose is Whose.GATEWAY
    limited, _ = refused(Rate.REQUESTS, Bound(whose, name, LIMIT), requests=3)
    assert name in limited or whose is Whose.GATEWAY


def test_a_refusal_names_whose_limit_it_is_and_when_the_minute_ends() -> None:
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


@pytest.mark.parametrize(
    ("captured", "whose", "name"),
    [
        ("err_rpm_exceeded", Whose.KEY, "sk-...abcd"),
        ("err_model_rpm", Whose.KEY_MODEL, "sk-...abcd:free"),
    ],
)
def test_a_limit_is_told_in_litellm_s_words_with_a_name_for_the_hash(
    golden: Golden, captured: str, whose: Whose, name: str
) -> None:
    message = golden(captured)["error"]["message"]
    ours, _ = refused(Rate.REQUESTS, Bound(whose, name, Limit("x", requests=1)), requests=1)
    digest = re.search("[0-9a-f]{64}", message)
    assert digest is not None
    expected = message.replace(digest.group(), "sk-...abcd")
    assert re.sub(r"at: .*", "", ours) == re.sub(r"at: .*", "", expected)
    assert re.search(r"at: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", ours)


@pytest.mark.parametrize(("whose", "word"), SCOPES.items())
def test_everybody_whose_limit_it_may_be_has_litellm_s_word(whose: Whose, word: str) -> None:
    text, _ = refused(Rate.REQUESTS, Bound(whose, "x", LIMIT), requests=3)
    assert text.startswith(f"Rate limit exceeded for {word}: x. Limit type: requests.")


def test_nobody_is_left_without_a_word() -> None:
    assert {*SCOPES, Whose.GATEWAY} == set(Whose)
    assert set(NAMES) == set(Rate) == set(rows(LIMIT, Use(0, 0, 0, 0)))


def test_when_a_call_ends_is_not_known() -> None:
    assert refused(Rate.PARALLEL, parallel=2) == (
        "Rate limit exceeded for api_key: sk-...abcd. Limit type: max_parallel_requests. Current limit: 2, "
        "Remaining: 0. A call has to end first.",
        PARALLEL_RETRY_SECONDS,
    )
    message, _ = refused(Rate.PARALLEL, Bound(Whose.GATEWAY, "", Limit("gateway", parallel=9)), parallel=9)
    assert message.startswith("Rate limit exceeded for the whole gateway. Limit type: max_parallel_requests.")


@pytest.mark.parametrize("rate", list(Rate))
def test_a_limit_of_nothing_never_lets_anything_pass_so_there_is_no_time_to_wait_for(rate: Rate) -> None:
    assert refused(rate, Bound(Whose.KEY, "k", Limit("key:id", 0, 0, 0)))[1] is None


def test_what_is_left_is_never_less_than_nothing() -> None:
    text, _ = refused(Rate.TOKENS, tokens=5_000)
    assert "Remaining: 0." in text


def told(bound: Bound, use: Use, exceeded: Rate | None = None) -> dict[str, Any]:
    message = keystore_pb2.RateLimits()
    tell(message, bound, use, exceeded)
    return {field.name: value for field, value in message.ListFields()}


def test_what_is_told_of_limits_is_what_they_are_and_what_is_left() -> None:
    bound = Bound(Whose.TEAM, "t", Limit("team:t", requests=10, tokens=None, parallel=0))
    assert told(bound, Use(4, 99, 0, 30_000), Rate.PARALLEL) == {
        "requests_limit": 10,
        "requests_remaining": 6,
        "parallel_limit": 0,
        "reset_ms": 30_000,
        "exceeded": "max_parallel_requests",
        "scope": "team",
    }
    assert "exceeded" not in told(bound, Use(12, 0, 0, 30_000))
    assert "requests_remaining" not in told(bound, Use(12, 0, 0, 30_000))


def test_what_all_calls_together_do_is_told_to_nobody() -> None:
    assert told(Bound(Whose.GATEWAY, "", Limit("gateway", parallel=5)), Use(0, 0, 3, 9), Rate.PARALLEL) == {}
