"""A spend report: what was spent in a period that is over, in words and for webhooks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from gateway.v1 import ledger_pb2
from gateway.v1.ledger_pb2 import Alert

from services.alerting import SPEND_REPORTS
from services.durations import Duration, Period, period_at
from services.money import usd_from_nano, usd_text

# By what a report tells sums apart, as LiteLLM's does, and by model: its member of the event, and its words.
GROUPS: Mapping[ledger_pb2.SpendDimension, tuple[str, str]] = {
    ledger_pb2.SPEND_DIMENSION_TEAM: ("teams", "By team"),
    ledger_pb2.SPEND_DIMENSION_TAG: ("tags", "By tag"),
    ledger_pb2.SPEND_DIMENSION_MODEL_GROUP: ("models", "By model"),
}
# Of each, the dearest.
MOST_ROWS = 10

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_NAME_CHARS = 100


class Sum(msgspec.Struct, frozen=True, gc=False):
    """What one of a group spent."""

    name: str
    cost_nano_usd: int
    calls: int


def last_period(frequency: Duration, at_ms: int) -> Period:
    """The last period that is over, in UTC."""
    return period_at(frequency, period_at(frequency, at_ms, UTC).start_ms - 1, UTC)


def report_of(period: Period, whole: Sum, groups: Mapping[ledger_pb2.SpendDimension, Sequence[Sum]]) -> Alert:
    """What is told. A period has one report."""
    begin, end = (_EPOCH + timedelta(milliseconds=each) for each in (period.start_ms, period.end_ms))
    event: dict[str, object] = {
        "event": "spend_report",
        "event_group": "proxy",
        "start": begin.isoformat(),
        "end": end.isoformat(),
        "spend": usd_from_nano(whole.cost_nano_usd),
        "calls": whole.calls,
    }
    lines = [f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, {whole.calls} calls."]
    for dimension, (member, words) in GROUPS.items():
        rows = [each for each in groups.get(dimension, ()) if each.name][:MOST_ROWS]
        event[member] = [
            {"name": _shown(each.name), "spend": usd_from_nano(each.cost_nano_usd), "calls": each.calls}
            for each in rows
        ]
        if rows:
            lines.append(f"{words}:")
            lines += [f"  {_shown(each.name)}: ${usd_text(each.cost_nano_usd)}, {each.calls} calls" for each in rows]
    return Alert(
        key=f"spend_report:{period.start_ms}-{period.end_ms}",
        type=SPEND_REPORTS,
        title=f"Spend report: ${usd_text(whole.cost_nano_usd)} from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC",
        text="\n".join(lines),
        event_json=msgspec.json.encode(event).decode(),
    )


def _shown(name: str) -> str:
    return " ".join(name[:_MAX_NAME_CHARS].split())
