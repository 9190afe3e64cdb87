"""When deployments and groups are out, and when they are back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.alerts.lag import MAX_LOOKS, Lag
from router.alerts.outages import AGAIN_SECONDS, WINDOW_SECONDS, News, Outages

OTHERS = ("other",)


def fail(outages: Outages, *moments: float, awake=OTHERS, alone: bool = False) -> list[News]:
    return [news for now in moments for news in outages.failed("d", "g", awake, now, alone=alone)]


def test_the_third_rest_in_five_minutes_is_an_outage() -> None:
    outages = Outages(5)
    assert fail(outages, 0, 10) == []
    assert fail(outages, 20) == [News.DEPLOYMENT_OUT]
    assert fail(Outages(5), 0, 10, WINDOW_SECONDS + 1) == []


def test_calls_that_fail_together_are_one_rest() -> None:
    assert fail(Outages(5), *(0.001 * number for number in range(100))) == []


def test_a_group_is_out_when_none_of_it_is_awake() -> None:
    assert fail(Outages(5), 0, awake=()) == [News.GROUP_OUT]


def test_one_that_is_alone_is_its_group() -> None:
    assert fail(Outages(5), 0, 10, 20, awake=("d",), alone=True) == [News.GROUP_OUT]


def test_what_stays_out_is_told_of_now_and_then() -> None:
    outages = Outages(5)
    told = fail(outages, *(10.0 * number for number in range(2 + 1 + int(AGAIN_SECONDS) // 10)))
    assert told == [News.DEPLOYMENT_OUT] * 2


def test_what_answers_is_back_once_it_has_not_failed_for_a_while() -> None:
    outages = Outages(5)
    fail(outages, 0, 10, 20)
    fail(outages, 20, awake=())
    assert outages.answered("d", "g", 29) == []
    assert outages.answered("d", "g", 30) == [News.DEPLOYMENT_BACK, News.GROUP_BACK]
    assert outages.answered("d", "g", 31) == []


def test_any_of_its_deployments_brings_a_group_back() -> None:
    outages = Outages(5)
    fail(outages, 0, awake=())
    assert outages.answered("other", "g", 1) == [News.GROUP_BACK]


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 10)), max_size=60))
def test_the_lag_is_never_longer_than_the_oldest_has_waited(steps: list[tuple[int, float]]) -> None:
    """Each step brings an entry, acknowledges some, and looks after a while."""
    lag, now, written, acknowledged = Lag(), 0.0, [], 0
    for number, (done, pause) in enumerate(steps):
        written.append(now)
        acknowledged = min(len(written), max(acknowledged, number + 1 - done))
        now += pause
        oldest = written[acknowledged] if acknowledged < len(written) else now
        assert 0 <= lag.seconds(len(written), acknowledged, now) <= now - oldest


def test_a_lag_of_days_is_told_whole() -> None:
    lag = Lag()
    waited = [lag.seconds(number + 1, 0, 5.0 * number) for number in range(3 * MAX_LOOKS)]
    assert waited[-1] == 5.0 * (3 * MAX_LOOKS - 1)
    assert lag.seconds(3 * MAX_LOOKS, 3 * MAX_LOOKS, 10**6) == 0
