"""What keys are made with that their makers do not ask for, and the most that they may ask for."""

from __future__ import annotations

import pytest

from edge.admin.making import bounded, filled_for, with_defaults
from services.errors import GatewayError


def test_a_limit_of_zero_is_passed_on_as_any_other() -> None:
    own = {"max_budget": 0.0, "rpm_limit": 0, "tpm_limit": None, "blocked": False, "models": []}
    defaults = {"max_budget": 4.0, "rpm_limit": 9, "tpm_limit": 8, "models": ["m"]}
    assert filled_for(own, defaults, {}) == {"max_budget": 0.0, "rpm_limit": 0, "tpm_limit": 8, "models": ["m"]}


def test_what_is_filled_in_is_within_the_upper_bounds_and_what_the_maker_has() -> None:
    upper = {"max_budget": 10, "rpm_limit": 5}
    assert filled_for({"max_budget": 20, "rpm_limit": 3}, {}, upper) == {"max_budget": 10, "rpm_limit": 3}
    assert filled_for({}, {"max_budget": 4}, upper) == {"max_budget": 4, "rpm_limit": 5}


def test_more_than_the_upper_bound_is_refused_by_name() -> None:
    upper = {"max_budget": 10, "budget_duration": "30d"}
    assert bounded({"budget_duration": "1d"}, upper, {"max_budget": 10}) == {"budget_duration": "1d", "max_budget": 10}
    for body in ({"max_budget": 10.1}, {"budget_duration": "2mo"}, {"budget_duration": "soon"}, {"max_budget": True}):
        with pytest.raises(GatewayError) as caught:
            bounded(body, upper, {})
        assert caught.value.param == next(iter(body))


def test_a_body_is_asked_before_the_defaults_unless_it_says_nothing() -> None:
    defaults = {"max_budget": 4, "models": ["m"]}
    said = with_defaults({"max_budget": None, "models": [], "x": None}, defaults)
    assert said == {"max_budget": 4, "models": [], "x": None}
