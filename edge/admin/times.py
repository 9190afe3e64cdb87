"""Durations and dates as LiteLLM's admin paths write them. Pure: the time is given."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from services.durations import parse, seconds_from
from services.errors import GatewayError, Reason

# A day alone, or with the time that LiteLLM's own pages send after it, which the day's sums have no use for.
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII)
_FIRST_YEAR = 1970
# The day after the last must still be one.
_LAST_YEAR = 9998

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


def duration_seconds(text: str, now: datetime, param: str = "duration") -> int:
    """`30s`, `30m`, `30h`, `30d`, `2w`, `1mo` in seconds from `now`; a month ends on the same day, or its last."""
    try:
        return seconds_from(parse(text), now)
    except ValueError as error:
        message = f"Invalid duration: {error}." if param == "duration" else f"{param}: {error}."
        raise GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param) from None


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
    return (EPOCH + timedelta(milliseconds=min(millis, _LAST_MS))).isoformat()


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
