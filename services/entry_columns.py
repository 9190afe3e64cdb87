"""An entry as a flat row: the one table of columns that every export has, whatever its form. Pure.

A column is there to stay: people build on its name. New ones go to the end.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from gateway.v1 import ledger_pb2

from services.entry_words import operation_word, reason_word, status_word, tier_word
from services.ids import millis_of, to_text

Entry = ledger_pb2.Entry
Value = str | int | bool | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


class Kind(enum.Enum):
    """What the values of a column are. None of them is ever a float."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    # Milliseconds since the epoch; None: it never came to that.
    TIME = "time"
    # Nano-USD, to be shown in USD.
    MONEY = "money"


class Column(NamedTuple):
    """One column."""

    name: str
    kind: Kind
    value: Callable[[Entry], Value]


COLUMNS: Sequence[Column] = (
    Column("dispatch_id", Kind.TEXT, lambda entry: to_text(entry.dispatch_id)),
    Column("call_id", Kind.TEXT, lambda entry: entry.call_id),
    Column("started_at", Kind.TIME, lambda entry: millis_of(entry.dispatch_id)),
    Column("ended_at", Kind.TIME, lambda entry: millis_of(entry.dispatch_id) + entry.duration_ms),
    Column("status", Kind.TEXT, lambda entry: status_word(entry.status)),
    Column("error", Kind.TEXT, lambda entry: reason_word(entry.error_reason) or ""),
    Column("operation", Kind.TEXT, lambda entry: operation_word(entry.operation)),
    Column("streamed", Kind.BOOLEAN, lambda entry: entry.streamed),
    Column("key_id", Kind.TEXT, lambda entry: entry.principal.key_id),
    Column("master", Kind.BOOLEAN, lambda entry: entry.principal.master),
    Column("user_id", Kind.TEXT, lambda entry: entry.principal.user_id),
    Column("team_id", Kind.TEXT, lambda entry: entry.principal.team_id),
    Column("organization_id", Kind.TEXT, lambda entry: entry.principal.organization_id),
    Column("end_user_id", Kind.TEXT, lambda entry: entry.principal.end_user_id),
    # A list in JSON.
    Column("tags", Kind.TEXT, lambda entry: msgspec.json.encode(list(entry.principal.tags)).decode()),
    Column("model_group", Kind.TEXT, lambda entry: entry.model_group),
    Column("deployment_id", Kind.TEXT, lambda entry: entry.deployment_id),
    Column("provider", Kind.TEXT, lambda entry: entry.provider),
    Column("provider_model", Kind.TEXT, lambda entry: entry.provider_model),
    Column("input_tokens", Kind.INTEGER, lambda entry: entry.usage.input_tokens),
    Column("output_tokens", Kind.INTEGER, lambda entry: entry.usage.output_tokens),
    Column("cache_read_tokens", Kind.INTEGER, lambda entry: entry.usage.cache_read_tokens),
    Column("cache_write_tokens", Kind.INTEGER, lambda entry: entry.usage.cache_write_tokens),
    Column("cache_write_1h_tokens", Kind.INTEGER, lambda entry: entry.usage.cache_write_1h_tokens),
    Column("cache_read_audio_tokens", Kind.INTEGER, lambda entry: entry.usage.cache_read_audio_tokens),
    Column("reasoning_tokens", Kind.INTEGER, lambda entry: entry.usage.reasoning_tokens),
    Column("input_audio_tokens", Kind.INTEGER, lambda entry: entry.usage.input_audio_tokens),
    Column("input_image_tokens", Kind.INTEGER, lambda entry: entry.usage.input_image_tokens),
    Column("output_audio_tokens", Kind.INTEGER, lambda entry: entry.usage.output_audio_tokens),
    Column("output_image_tokens", Kind.INTEGER, lambda entry: entry.usage.output_image_tokens),
    Column("requests", Kind.INTEGER, lambda entry: entry.usage.requests),
    Column("service_tier", Kind.TEXT, lambda entry: tier_word(entry.usage.service_tier) or ""),
    Column("cost_usd", Kind.MONEY, lambda entry: entry.cost_nano_usd),
    Column("held_usd", Kind.MONEY, lambda entry: entry.held_nano_usd),
    Column("estimated", Kind.BOOLEAN, lambda entry: entry.estimated),
    Column("unpriced", Kind.BOOLEAN, lambda entry: entry.unpriced),
    Column("attempts", Kind.INTEGER, lambda entry: len(entry.attempts)),
    Column("duration_ms", Kind.INTEGER, lambda entry: entry.duration_ms),
    Column("first_token_ms", Kind.INTEGER, lambda entry: entry.first_token_ms),
)


def time_text(millis: int) -> str:
    """Milliseconds since the epoch as `2026-01-31T12:00:00.123Z`; what lies beyond the year 9999 is its end."""
    moment = _EPOCH + timedelta(milliseconds=max(0, min(millis, _LAST_MS)))
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"
