"""Durations and dates of the admin paths."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.admin.times import date_range_ms, duration_seconds, iso, last_days_ms
from services.errors import GatewayError

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("30m", 1800),
        ("2h", 7200),
        ("30d", 2592000),
        ("2w", 1209600),
        ("1mo", 28 * 86400),
        ("12mo", 365 * 86400),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert duration_seconds(text, NOW) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "0s", "1.5h", "1y", "99999999999d", "9999999mo", "999999999w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(GatewayError, match="duration"):
        duration_seconds(text, NOW)


@given(st.text(max_size=12))
def test_no_text_raises_anything_but_a_gateway_error(text: str) -> None:
    try:
        assert duration_seconds(text, NOW) > 0
    except GatewayError as error:
        assert error.param == "duration"


def test_both_dates_are_inclusive() -> None:
    assert date_range_ms("2026-01-01", "2026-01-01") == (1767225600000, 1767225600000 + 86400000)
    assert date_range_ms(None, None) == (0, 0)


@pytest.mark.parametrize(("start", "end"), [("2026-02-01", "2026-01-01"), ("yesterday", None), (None, "2026-13-01")])
def test_impossible_ranges_are_refused(start: str | None, end: str | None) -> None:
    with pytest.raises(GatewayError):
        date_range_ms(start, end)


def test_times_are_iso_in_utc() -> None:
    assert iso(0) is None
    assert iso(1767225600341) == "2026-01-01T00:00:00.341000+00:00"


def test_the_last_days_end_with_today() -> None:
    now = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    assert last_days_ms(now, 1) == date_range_ms("2026-03-01", "2026-03-01")
    assert last_days_ms(now, 30) == date_range_ms("2026-01-31", "2026-03-01")
