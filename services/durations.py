"""Durations as LiteLLM writes them, and the periods of the calendar that they make. Pure: the time is given."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta, tzinfo

import msgspec

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
# Beyond this a duration is no duration; it also keeps every sum below the year 9999.
MAX_SECONDS = 100 * 366 * 86400
MAX_MONTHS = 1200
DAY_MS = 86400 * 1000

_TEXT = re.compile(r"(\d{1,9})(s|m|h|d|w|mo)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# From here on a period of a century may end beyond the calendar.
_LAST_MS = (datetime(9800, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
# Weeks begin on Mondays, and so do periods of several; those of other numbers of days are counted from the epoch.
_MONDAY = date(1970, 1, 5).toordinal()
_FIRST_DAY = date(1970, 1, 1).toordinal()


class Duration(msgspec.Struct, frozen=True, gc=False):
    """So many of a unit: `s`, `m`, `h`, `d`, `w` or `mo`."""

    count: int
    unit: str


class Period(msgspec.Struct, frozen=True, gc=False):
    """From start to before end, in milliseconds since the epoch."""

    start_ms: int
    end_ms: int


def parse(text: str) -> Duration:
    """`30s`, `30m`, `30h`, `30d`, `2w`, `1mo`. ValueError for anything else, for none at all and for over a century."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:32]!r} is no duration: a number and one of s, m, h, d, w, mo, such as 30d")
    duration = Duration(int(match.group(1)), match.group(2))
    most = MAX_MONTHS if duration.unit == "mo" else MAX_SECONDS // SECONDS[duration.unit]
    if not 0 < duration.count <= most:
        raise ValueError(f"{text[:32]!r} is no duration between a second and a century")
    return duration


def seconds_from(duration: Duration, now: datetime) -> int:
    """How long it is from `now` on; a month ends on the same day, or its last."""
    if duration.unit != "mo":
        return duration.count * SECONDS[duration.unit]
    month = now.month - 1 + duration.count
    year, month = now.year + month // 12, month % 12 + 1
    day = min(now.day, calendar.monthrange(year, month)[1])
    return int((now.replace(year=year, month=month, day=day) - now).total_seconds())


def period_at(duration: Duration, at_ms: int, zone: tzinfo) -> Period:
    """The period of this length that a moment lies in, as the calendar and the clock of a time zone have it.

    Days begin at midnight, weeks on Monday, months on the first; 30 days are a month, as in LiteLLM. Hours, minutes and
    seconds that make up a day are counted from its midnight, and the last of them ends with the day, however long that
    is; other numbers of them are counted from the epoch. So the periods of one length follow one another without gaps:
    whoever asks within one, and whenever, is told the same.
    """
    count, unit = duration.count, duration.unit
    # What claims to be later than the calendar goes is of its end.
    at_ms = min(at_ms, _LAST_MS)
    at = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    if unit in "smh":
        return _part_of_day(count * SECONDS[unit] * 1000, at_ms, at.date(), zone)
    if unit == "d" and count == 30:
        count, unit = 1, "mo"
    if unit == "mo":
        month = (at.year * 12 + at.month - 1) // count * count
        return Period(_first_of(month, zone), _first_of(month + count, zone))
    days = count * 7 if unit == "w" else count
    today = at.date().toordinal()
    first = today - (today - (_FIRST_DAY if days % 7 else _MONDAY)) % days
    return Period(_midnight(date.fromordinal(first), zone), _midnight(date.fromordinal(first + days), zone))


def _part_of_day(length_ms: int, at_ms: int, day: date, zone: tzinfo) -> Period:
    if DAY_MS % length_ms:
        start_ms = at_ms // length_ms * length_ms
        return Period(start_ms, start_ms + length_ms)
    midnight_ms, next_midnight_ms = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    last = DAY_MS // length_ms - 1
    number = min((at_ms - midnight_ms) // length_ms, last)
    start_ms = midnight_ms + number * length_ms
    return Period(start_ms, next_midnight_ms if number == last else min(start_ms + length_ms, next_midnight_ms))


def _first_of(month: int, zone: tzinfo) -> int:
    """Months are counted from the year 0."""
    return _midnight(date(month // 12, month % 12 + 1, 1), zone)


def _midnight(day: date, zone: tzinfo) -> int:
    moment = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)
