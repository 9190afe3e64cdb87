"""Which deployments rest, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.routing.health import LONGEST_REST_SECONDS, Health
from services.errors import TABLE, GatewayError, Reason

UNREACHABLE = GatewayError(Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "x")
BROKEN = GatewayError(Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "x", provider_status=500)
BUSY = GatewayError(Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, "x", provider_status=429, retry_after_seconds=7)


@pytest.mark.parametrize(("error", "seconds"), [(UNREACHABLE, 5), (BUSY, 7)])
def test_a_dead_or_busy_one_rests_at_once(error: GatewayError, seconds: float) -> None:
    health = Health()
    health.failed("d", error, 100.0, alone=False)
    assert health.rests_for("d", 100.0) == seconds
    assert health.rests_for("d", 100.0 + seconds) == 0
    assert health.rests_for("other", 100.0) == 0


def test_one_that_is_alone_never_rests() -> None:
    health = Health()
    for _ in range(50):
        health.failed("d", UNREACHABLE, 100.0, alone=True)
    assert health.rests_for("d", 100.0) == 0


@pytest.mark.parametrize("alone", [False, True])
def test_who_asks_is_told_of_a_rest_even_of_one_that_does_not_take_it(alone: bool) -> None:
    health = Health()
    assert [health.failed("d", BROKEN, 100.0, alone=alone) for _ in range(5)] == [False] * 4 + [True]
    assert health.failed("other", UNREACHABLE, 100.0, alone=alone)
    assert not health.succeeded("never failed", 100.0)
    assert health.succeeded("other", 100.0)


def test_a_single_5xx_is_forgiven_most_of_five_are_not() -> None:
    health = Health()
    for moment in range(4):
        health.failed("d", BROKEN, 100.0 + moment, alone=False)
        assert health.rests_for("d", 100.0 + moment) == 0
    health.failed("d", BROKEN, 104.0, alone=False)
    assert health.rests_for("d", 104.0) == 5


def test_answers_count_against_failures_and_old_ones_are_forgotten() -> None:
    health = Health()
    health.failed("d", BROKEN, 0.0, alone=False)
    for moment in range(10):
        health.succeeded("d", 100.0 + moment)
    for moment in range(5):
        health.failed("d", BROKEN, 110.0 + moment, alone=False)
    assert health.rests_for("d", 115.0) == 0


def test_allowed_fails_are_allowed() -> None:
    health = Health(allowed_fails=1)
    health.failed("d", UNREACHABLE, 0.0, alone=False)
    assert health.rests_for("d", 0.0) == 0
    health.failed("d", UNREACHABLE, 1.0, alone=False)
    assert health.rests_for("d", 1.0) == 5


def test_without_a_cooldown_nobody_rests() -> None:
    health = Health(cooldown_seconds=0)
    health.failed("d", BUSY, 0.0, alone=False)
    assert health.rests_for("d", 0.0) == 0


@pytest.mark.parametrize("reason", list(TABLE))
def test_a_callers_own_mistake_puts_nobody_to_rest(reason: Reason) -> None:
    health = Health()
    for _ in range(10):
        health.failed("d", GatewayError(reason, "x", provider_status=400), 0.0, alone=False)
    of_the_provider = Reason.Name(reason).startswith("ERROR_REASON_PROVIDER_") and "REJECTED" not in Reason.Name(reason)
    assert (health.rests_for("d", 0.0) > 0) == of_the_provider


@given(st.floats(0, 1e9))
def test_no_rest_is_longer_than_the_longest(asked: float) -> None:
    health = Health()
    error = GatewayError(Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, "x", retry_after_seconds=asked)
    health.failed("d", error, 0.0, alone=False)
    assert 0 < health.rests_for("d", 0.0) <= LONGEST_REST_SECONDS


def test_what_is_gone_is_forgotten() -> None:
    health = Health()
    health.failed("d", BUSY, 0.0, alone=False)
    health.forget(["other"])
    assert health.rests_for("d", 0.0) == 0
