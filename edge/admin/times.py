"""Durations and dates as LiteLLM's admin paths write them. Pure: the time is given."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta

from services.errors import GatewayError, Reason

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d{1,9})(s|m|h|d|w|mo)")

# Beyond this a duration is no duration; it also keeps every sum below the year 9999.
MAX_DURATION_SECONDS = 100 * 366 * 86400

# A day alone, or with the time that LiteLLM's own pages send after it, which the day's sums have no use for.
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII)
_FIRST_YEAR = 1970
# The day after the last must still be one.
_LAST_YEAR = 9998

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


def duration_seconds(text: str, now: datetime) -> int:
    """`30s`, `30m`, `30h`, `30d`, `2w`, `1mo` in seconds from `now`; a month ends on the same day, or its last."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise _bad(text)
    count, unit = int(match.group(1)), match.group(2)
    if unit == "mo":
        if count > 1200:
            raise _bad(text)
        month = now.month - 1 + count
        year, month = now.year + month // 12, month % 12 + 1
        day = min(now.day, calendar.monthrange(year, month)[1])
        seconds = int((now.replace(year=year, month=month, day=day) - now).total_seconds())
    else:
        seconds = count * _SECONDS[unit]
    if not 0 < seconds <= MAX_DURATION_SECONDS:
        raise _bad(text)
    return seconds


def date_range_ms(start: str | None, end: str | None) -> tuple[int, int]:
    """Two dates `YYYY-MM-DD`, both inclusive, in UTC, as [start, end) in milliseconds; an absent one is 0."""
    first = _day(start, "start_date") if start else None
    last = _day(end, "end_date") + timedelta(days=1) if end else None
    if first and last and last <= first:
        raise GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, "end_date lies before start_date.", param="end_date")
    return _ms(first), _ms(last)


def last_days_ms(now: datetime, days: int) -> tuple[int, int]:
    """Today and the days before it, so many in all, as [start, end) in milliseconds."""
    tomorrow = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    return _ms(tomorrow - timedelta(days=days)), _ms(tomorrow)


def iso(millis: int) -> str | None:
    """Milliseconds since the epoch as ISO 8601 in UTC; None for 0. What lies beyond the year 9999 is its end."""
    if not millis:
        return None
    return (_EPOCH + timedelta(milliseconds=min(millis, _LAST_MS))).isoformat()


def _day(text: str, param: str) -> datetime:
    match = _DATE.fullmatch(text.strip())
    try:
        day = datetime.strptime(match.group(1), "%Y-%m-%d").replace(tzinfo=UTC) if match else None
    except ValueError:
        day = None
    if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise GatewayError(
            Reason.ERROR_REASON_INVALID_REQUEST,
            f"{param} must be a date, YYYY-MM-DD, from {_FIRST_YEAR} to {_LAST_YEAR}.",
            param=param,
        )
    return day


def _ms(moment: datetime | None) -> int:
    return int(moment.timestamp() * 1000) if moment else 0


def _bad(text: str) -> GatewayError:
    return GatewayError(
        Reason.ERROR_REASON_INVALID_REQUEST,
        f"Invalid duration {text[:32]!r}: a number and one of s, m, h, d, w, mo is expected, such as 30d.",
        param="duration",
    )
