"""Durations as LiteLLM writes them, and their periods: they tile time in every zone, and begin where LiteLLM's do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.durations import MAX_MONTHS, MAX_SECONDS, SECONDS, Duration, Period, parse, period_at, seconds_from

BERLIN = ZoneInfo("Europe/Berlin")
# Summer time and none; half and quarter hours; summer time of half an hour; clocks that change at midnight, so that a
# day begins at one, or its first hour comes twice; both sides of the date line; one that skipped a day in 2011.
ZONES: tuple[tzinfo, ...] = (
    UTC,
    BERLIN,
    ZoneInfo("America/New_York"),
    ZoneInfo("Asia/Kolkata"),
    ZoneInfo("Asia/Kathmandu"),
    ZoneInfo("Australia/Lord_Howe"),
    ZoneInfo("Africa/Cairo"),
    ZoneInfo("America/Havana"),
    ZoneInfo("America/Santiago"),
    ZoneInfo("Atlantic/Azores"),
    ZoneInfo("Pacific/Kiritimati"),
    ZoneInfo("Pacific/Apia"),
    ZoneInfo("Pacific/Pago_Pago"),
    timezone(timedelta(hours=-9, minutes=-30)),
)
zones = st.sampled_from(ZONES)
durations = st.one_of(
    st.builds(Duration, st.integers(1, 100), st.sampled_from(["s", "m", "h", "d", "w", "mo"])),
    # The common ones, and such as do not go into a day.
    st.sampled_from(["30s", "1m", "1h", "2h", "12h", "24h", "48h", "7h", "1d", "7d", "14d", "30d", "1mo", "12mo"]).map(
        parse
    ),
)
# 1971 to 2070, and on purpose the days on which Berlin, New York, Cairo, Havana, Lord Howe and the Azores change.
_CHANGES = ("2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2024-04-26", "2024-11-01", "2026-04-05")
moments = st.one_of(
    st.integers(31_536_000_000, 3_187_296_000_000),
    st.builds(
        lambda day, hours: int(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() * 1000) + hours,
        st.sampled_from(_CHANGES),
        st.integers(-36 * 3_600_000, 60 * 3_600_000),
    ),
)


def millis(text: str, zone: tzinfo = UTC) -> int:
    """Of a local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def local(at_ms: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at_ms / 1000, zone).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30s", Duration(30, "s")),
        ("30m", Duration(30, "m")),
        ("30h", Duration(30, "h")),
        ("30d", Duration(30, "d")),
        ("2w", Duration(2, "w")),
        ("1mo", Duration(1, "mo")),
        (" 7d\n", Duration(7, "d")),
        ("007d", Duration(7, "d")),
    ],
)
def test_what_litellm_writes_is_read(text: str, duration: Duration) -> None:
    assert parse(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "30", "d", "1.5h", "-1d", "+1d", "1 d", "1y", "1D", "1mon", "1mo1d", "1d\n1d", "1d\0", "٣d", "1ｄ"),
        *("0s", "0mo", "1201mo", "36601d", "99999999999999999999s", "9" * 100_000 + "s"),
    ],
)
def test_anything_else_is_an_error_that_shows_a_part_of_it(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration") as caught:
        parse(text)
    assert len(str(caught.value)) < 300


@given(st.text(max_size=12))
def test_no_text_raises_anything_but_value_error(text: str) -> None:
    try:
        duration = parse(text)
    except ValueError:
        return
    if duration.unit == "mo":
        assert 0 < duration.count <= MAX_MONTHS
    else:
        assert 0 < duration.count * SECONDS[duration.unit] <= MAX_SECONDS


@given(durations, moments, zones)
def test_every_moment_lies_in_its_period_and_all_of_it_agree(duration: Duration, at_ms: int, zone: tzinfo) -> None:
    period = period_at(duration, at_ms, zone)
    assert period.start_ms <= at_ms < period.end_ms
    for other_ms in (period.start_ms, (period.start_ms + at_ms) // 2, period.end_ms - 1):
        assert period_at(duration, other_ms, zone) == period


@given(durations, moments, zones)
def test_periods_follow_one_another_without_gaps(duration: Duration, at_ms: int, zone: tzinfo) -> None:
    period = period_at(duration, at_ms, zone)
    assert period_at(duration, period.end_ms, zone).start_ms == period.end_ms
    assert period_at(duration, period.start_ms - 1, zone).end_ms == period.start_ms


@given(durations, moments, zones, st.data())
def test_whoever_asks_within_a_period_is_told_the_same(
    duration: Duration, at_ms: int, zone: tzinfo, data: st.DataObject
) -> None:
    period = period_at(duration, at_ms, zone)
    other_ms = data.draw(st.integers(period.start_ms, period.end_ms - 1))
    assert period_at(duration, other_ms, zone) == period


@given(durations, moments)
@example(parse("24h"), millis("2026-06-01 00:30", BERLIN))
def test_where_clocks_do_not_change_a_period_has_its_length(duration: Duration, at_ms: int) -> None:
    period = period_at(duration, at_ms, UTC)
    length_ms = period.end_ms - period.start_ms
    if duration.unit == "mo" or duration == Duration(30, "d"):
        months = duration.count if duration.unit == "mo" else 1
        assert 28 * months * 86_400_000 <= length_ms <= 31 * months * 86_400_000
    else:
        assert length_ms == duration.count * SECONDS[duration.unit] * 1000


@given(st.sampled_from(["1h", "2h", "30m", "12h", "24h"]), moments, zones)
def test_no_day_has_more_periods_than_go_into_one(text: str, at_ms: int, zone: tzinfo) -> None:
    """Not even the day with 25 hours, on which a budget would be there once more."""
    day = period_at(parse("1d"), at_ms, zone)
    starts, start_ms = set(), day.start_ms
    while start_ms < day.end_ms:
        starts.add(start_ms)
        start_ms = period_at(parse(text), start_ms, zone).end_ms
    assert start_ms == day.end_ms
    duration = parse(text)
    assert len(starts) <= 86_400 // (duration.count * SECONDS[duration.unit])


@pytest.mark.parametrize(
    ("text", "at", "zone", "start", "end"),
    [
        # LiteLLM: days at midnight, `7d` on Monday, `30d` and `1mo` on the first, hours by the clock.
        ("1d", "2026-11-22 07:35", UTC, "2026-11-22 00:00", "2026-11-23 00:00"),
        ("7d", "2026-11-22 07:35", UTC, "2026-11-16 00:00", "2026-11-23 00:00"),
        ("1w", "2026-11-22 07:35", UTC, "2026-11-16 00:00", "2026-11-23 00:00"),
        ("30d", "2026-11-22 07:35", UTC, "2026-11-01 00:00", "2026-12-01 00:00"),
        ("1mo", "2026-11-22 07:35", UTC, "2026-11-01 00:00", "2026-12-01 00:00"),
        ("1mo", "2026-12-31 23:59", UTC, "2026-12-01 00:00", "2027-01-01 00:00"),
        ("3mo", "2026-11-22 07:35", UTC, "2026-10-01 00:00", "2027-01-01 00:00"),
        ("12mo", "2026-11-22 07:35", UTC, "2026-01-01 00:00", "2027-01-01 00:00"),
        ("1mo", "2028-02-29 12:00", UTC, "2028-02-01 00:00", "2028-03-01 00:00"),
        ("1h", "2026-11-22 07:35", UTC, "2026-11-22 07:00", "2026-11-22 08:00"),
        ("6h", "2026-11-22 07:35", UTC, "2026-11-22 06:00", "2026-11-22 12:00"),
        ("24h", "2026-11-22 07:35", UTC, "2026-11-22 00:00", "2026-11-23 00:00"),
        ("30m", "2026-11-22 07:35", UTC, "2026-11-22 07:30", "2026-11-22 08:00"),
        # In the zone that is asked for.
        ("1d", "2026-11-22 00:30", ZoneInfo("Asia/Kolkata"), "2026-11-22 00:00", "2026-11-23 00:00"),
        ("1h", "2026-11-22 00:35", ZoneInfo("Asia/Kolkata"), "2026-11-22 00:00", "2026-11-22 01:00"),
        ("1h", "2026-11-22 00:50", ZoneInfo("Asia/Kathmandu"), "2026-11-22 00:00", "2026-11-22 01:00"),
        ("1mo", "2026-11-01 00:00", ZoneInfo("America/New_York"), "2026-11-01 00:00", "2026-12-01 00:00"),
        # The days on which the clocks change.
        ("1d", "2026-03-29 12:00", BERLIN, "2026-03-29 00:00", "2026-03-30 00:00"),
        ("24h", "2026-03-29 12:00", BERLIN, "2026-03-29 00:00", "2026-03-30 00:00"),
        ("24h", "2026-10-25 23:59", BERLIN, "2026-10-25 00:00", "2026-10-26 00:00"),
        ("7d", "2026-03-29 12:00", BERLIN, "2026-03-23 00:00", "2026-03-30 00:00"),
        # A day whose midnight does not exist begins at one.
        ("1d", "2024-04-26 12:00", ZoneInfo("Africa/Cairo"), "2024-04-26 01:00", "2024-04-27 00:00"),
    ],
)
def test_periods_begin_where_litellm_s_do(text: str, at: str, zone: tzinfo, start: str, end: str) -> None:
    period = period_at(parse(text), millis(at, zone), zone)
    assert (local(period.start_ms, zone), local(period.end_ms, zone)) == (start, end)


def test_a_day_of_a_change_has_23_or_25_hours() -> None:
    spring = period_at(parse("1d"), millis("2026-03-29 12:00", BERLIN), BERLIN)
    autumn = period_at(parse("1d"), millis("2026-10-25 12:00", BERLIN), BERLIN)
    hours = [(period.end_ms - period.start_ms) / 3_600_000 for period in (spring, autumn)]
    assert hours == [23, 25]


def test_a_moment_beyond_the_calendar_is_in_a_period_all_the_same() -> None:
    """A dispatch id has 48 bits of milliseconds, up to the year 10889; no call may fail of them."""
    for text in ("30s", "7h", "1d", "30d", "1200mo", "36600d"):
        assert period_at(parse(text), (1 << 48) - 1, BERLIN).start_ms > millis("9600-01-01")
        assert period_at(parse(text), 0, BERLIN).end_ms > 0


@given(durations, st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))
def test_a_duration_from_a_moment_is_its_seconds_or_its_months(duration: Duration, now: datetime) -> None:
    now = now.replace(tzinfo=UTC)
    seconds = seconds_from(duration, now)
    if duration.unit != "mo":
        assert seconds == duration.count * SECONDS[duration.unit]
        return
    then = now + timedelta(seconds=seconds)
    assert (then.year * 12 + then.month) - (now.year * 12 + now.month) == duration.count
    assert then.day == now.day or (then.day < now.day and (then + timedelta(days=1)).month != then.month)


def test_a_month_from_the_last_of_january_is_the_last_of_february() -> None:
    now = datetime(2027, 1, 31, 12, tzinfo=UTC)
    assert now + timedelta(seconds=seconds_from(parse("1mo"), now)) == datetime(2027, 2, 28, 12, tzinfo=UTC)
    # A lifetime of 30 days is 30 days; only as a period it is a month.
    assert seconds_from(parse("30d"), now) == 30 * 86_400


def test_periods_of_days_are_counted_from_the_epoch_and_weeks_from_a_monday() -> None:
    first = date(1970, 1, 1)
    period = period_at(parse("3d"), millis("2026-11-22 07:35"), UTC)
    assert (datetime.fromtimestamp(period.start_ms / 1000, UTC).date() - first).days % 3 == 0
    assert period_at(parse("14d"), millis("2026-11-22 07:35"), UTC) == period_at(
        parse("2w"), millis("2026-11-22 07:35"), UTC
    )
    assert period_at(parse("1d"), 0, UTC) == Period(0, 86_400_000)
