"""What a call is estimated at, and how limits are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystore.policy.limits import MAX_LIMIT, USUAL_OUTPUT_TOKENS, rows, tokens_estimate
from keystore.policy.operations import Limit, Rate, Use


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


def test_each_rate_is_read_beside_what_is_used_of_it() -> None:
    assert rows(Limit("key:id", 1, None, 0), Use(4, 5, 6, 7)) == {
        Rate.REQUESTS: (1, 4),
        Rate.TOKENS: (None, 5),
        Rate.PARALLEL: (0, 6),
    }
