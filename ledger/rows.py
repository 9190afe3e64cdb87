"""An entry as a row of `entries`, for writing and reading.

Pure. Names that come from callers are cut and cleaned here, so that nobody can keep a call out of the account by
giving it a name that PostgreSQL refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from gateway.v1 import common_pb2, ledger_pb2

# Longer than the longest name in use (159 characters: Claude Code's `user`), and in UTF-8 less than half of what a key
# of an index may have.
MAX_NAME_CHARS = 256
# A caller's list: more than anybody sums by.
MAX_TAGS = 64
# Every deployment of a large group, and its fallbacks.
MAX_ATTEMPTS = 128
# As many as routers tell.
MAX_CHOICES = 64
MAX_SKIPS = 16

Entry = ledger_pb2.Entry

_COLUMNS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_PARTS = tuple(name for name in common_pb2.TokenUsage.DESCRIPTOR.fields_by_name if name not in _COLUMNS)


# `gc=False` on all: they hold no cycles, and thousands at once would set off the garbage collector.
class AttemptRow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One attempt, as the column `attempts` has it. usage, rates: what is set of the messages of these names."""

    deployment_id: str
    provider_status: int
    error_reason: int
    latency_ms: int
    billed: bool = False
    usage: dict[str, int] | None = None
    cost_nano_usd: int = 0
    rates: dict[str, int] | None = None


class SkipRow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A deployment that could not be chosen."""

    deployment_id: str
    reason: int
    rests_ms: int = 0


class ChoiceRow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One choice, as the column `choices` has it."""

    strategy: int = 0
    candidates: int = 0
    attempt: int = 0
    model_group: str = ""
    deployment_id: str = ""
    error_reason: int = 0
    under_way: int = 0
    skipped: list[SkipRow] = []


class Row(msgspec.Struct, frozen=True, gc=False):
    """The columns of `entries`, in their order."""

    # In hexadecimal.
    dispatch_id: str
    call_id: str
    status: int
    key_id: str
    user_id: str
    team_id: str
    organization_id: str
    end_user_id: str
    master: bool
    tags: list[str]
    operation: int
    model_group: str
    deployment_id: str
    provider: str
    provider_model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int
    held_nano_usd: int
    estimated: bool
    unpriced: bool
    streamed: bool
    attempts: list[AttemptRow]
    error_reason: int
    duration_ms: int
    first_token_ms: int
    epoch: str
    # Of the usage what has no column of its own, by the names of TokenUsage, as far as it is not 0.
    usage_parts: dict[str, int]
    choices: list[ChoiceRow]


def clean(text: str) -> str:
    """What PostgreSQL takes: no NUL, at most MAX_NAME_CHARS."""
    if len(text) <= MAX_NAME_CHARS and "\0" not in text:
        return text
    return text[:MAX_NAME_CHARS].replace("\0", "\N{REPLACEMENT CHARACTER}")


def is_well_formed(entry: Entry) -> bool:
    """Whether the entry has an id that it can be kept under."""
    return len(entry.dispatch_id) == 16


def encode(entries: Sequence[Entry]) -> str:
    """Well-formed entries as the JSON that PostgreSQL makes rows of.

    Arrays of values, one a column, would be read faster by PostgreSQL but cost asyncpg three times as much to write;
    both together come to the same, and this keeps it off the event loop.
    """
    return msgspec.json.encode([row_of(entry) for entry in entries]).decode()


def row_of(entry: Entry) -> Row:
    """The row that holds a well-formed entry."""
    principal, usage = entry.principal, entry.usage
    return Row(
        dispatch_id=entry.dispatch_id.hex(),
        call_id=clean(entry.call_id),
        status=entry.status,
        key_id=clean(principal.key_id),
        user_id=clean(principal.user_id),
        team_id=clean(principal.team_id),
        organization_id=clean(principal.organization_id),
        end_user_id=clean(principal.end_user_id),
        master=principal.master,
        tags=_tags(principal.tags),
        operation=entry.operation,
        model_group=clean(entry.model_group),
        deployment_id=clean(entry.deployment_id),
        provider=clean(entry.provider),
        provider_model=clean(entry.provider_model),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost_nano_usd=entry.cost_nano_usd,
        held_nano_usd=entry.held_nano_usd,
        estimated=entry.estimated,
        unpriced=entry.unpriced,
        streamed=entry.streamed,
        attempts=[_attempt_row(attempt) for attempt in entry.attempts[:MAX_ATTEMPTS]],
        error_reason=entry.error_reason,
        duration_ms=entry.duration_ms,
        first_token_ms=entry.first_token_ms,
        epoch=clean(entry.epoch),
        usage_parts={name: value for name in _PARTS if (value := getattr(usage, name))},
        choices=[_choice_row(choice) for choice in entry.choices[:MAX_CHOICES]],
    )


def _tags(tags: Iterable[str]) -> list[str]:
    # Each once: an entry counts once for a tag.
    return list(dict.fromkeys(map(clean, tags)))[:MAX_TAGS]


def _attempt_row(attempt: ledger_pb2.Attempt) -> AttemptRow:
    return AttemptRow(
        deployment_id=clean(attempt.deployment_id),
        provider_status=attempt.provider_status,
        error_reason=attempt.error_reason,
        latency_ms=attempt.latency_ms,
        billed=attempt.billed,
        usage=_set(attempt.usage) if attempt.HasField("usage") else None,
        cost_nano_usd=attempt.cost_nano_usd,
        rates=_set(attempt.rates) if attempt.HasField("rates") else None,
    )


def _set(message: common_pb2.TokenUsage | ledger_pb2.AppliedRates) -> dict[str, int]:
    """The numbers of a message that are set, by their names."""
    return {field.name: value for field, value in message.ListFields()}


def _attempt_of(row: AttemptRow) -> ledger_pb2.Attempt:
    members = msgspec.structs.asdict(row)
    usage, rates = members.pop("usage"), members.pop("rates")
    attempt = ledger_pb2.Attempt(**members)
    if usage is not None:
        attempt.usage.SetInParent()
        _fill(attempt.usage, usage)
    if rates is not None:
        attempt.rates.SetInParent()
        _fill(attempt.rates, rates)
    return attempt


def _fill(message: common_pb2.TokenUsage | ledger_pb2.AppliedRates, numbers: Mapping[str, int]) -> None:
    """A number that a later version has added is passed over."""
    for name, value in numbers.items():
        if name in message.DESCRIPTOR.fields_by_name:
            setattr(message, name, value)


def _choice_row(choice: ledger_pb2.Choice) -> ChoiceRow:
    return ChoiceRow(
        strategy=choice.strategy,
        candidates=choice.candidates,
        attempt=choice.attempt,
        model_group=clean(choice.model_group),
        deployment_id=clean(choice.deployment_id),
        error_reason=choice.error_reason,
        under_way=choice.under_way,
        skipped=[SkipRow(clean(skip.deployment_id), skip.reason, skip.rests_ms) for skip in choice.skipped[:MAX_SKIPS]],
    )


def _choice_of(row: ChoiceRow) -> ledger_pb2.Choice:
    members = msgspec.structs.asdict(row)
    skipped = [ledger_pb2.Skip(**msgspec.structs.asdict(skip)) for skip in members.pop("skipped")]
    return ledger_pb2.Choice(skipped=skipped, **members)


def _parts_of(column: str) -> dict[str, Any]:
    """A part that a later version has added is passed over."""
    parts = msgspec.json.decode(column, type=dict[str, int])
    return {name: value for name, value in parts.items() if name in _PARTS}


def entry_of(row: Mapping[str, Any]) -> Entry:
    """The entry that a record of PostgreSQL holds."""
    return Entry(
        dispatch_id=row["dispatch_id"].bytes,
        call_id=row["call_id"],
        status=row["status"],
        principal=common_pb2.Principal(
            key_id=row["key_id"],
            user_id=row["user_id"],
            team_id=row["team_id"],
            organization_id=row["organization_id"],
            end_user_id=row["end_user_id"],
            tags=msgspec.json.decode(row["tags"], type=list[str]),
            master=row["master"],
        ),
        operation=row["operation"],
        model_group=row["model_group"],
        deployment_id=row["deployment_id"],
        provider=row["provider"],
        provider_model=row["provider_model"],
        usage=common_pb2.TokenUsage(
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            cache_read_tokens=row["cache_read_tokens"],
            cache_write_tokens=row["cache_write_tokens"],
            reasoning_tokens=row["reasoning_tokens"],
            **_parts_of(row["usage_parts"]),
        ),
        cost_nano_usd=row["cost_nano_usd"],
        held_nano_usd=row["held_nano_usd"],
        estimated=row["estimated"],
        unpriced=row["unpriced"],
        streamed=row["streamed"],
        attempts=[_attempt_of(attempt) for attempt in msgspec.json.decode(row["attempts"], type=list[AttemptRow])],
        error_reason=row["error_reason"],
        duration_ms=row["duration_ms"],
        first_token_ms=row["first_token_ms"],
        epoch=row["epoch"],
        choices=[_choice_of(choice) for choice in msgspec.json.decode(row["choices"], type=list[ChoiceRow])],
    )
