"""Entries as rows and back."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest
from gateway.v1 import common_pb2, errors_pb2, ledger_pb2
from hypothesis import given
from hypothesis import strategies as st

from ledger.rows import (
    MAX_ATTEMPTS,
    MAX_CHOICES,
    MAX_NAME_CHARS,
    MAX_SKIPS,
    MAX_TAGS,
    clean,
    encode,
    entry_of,
    is_well_formed,
    row_of,
)

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=MAX_NAME_CHARS)
AMOUNTS = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
REASONS = st.sampled_from(errors_pb2.ErrorReason.values())

ENTRIES = st.builds(
    ledger_pb2.Entry,
    dispatch_id=st.binary(min_size=16, max_size=16),
    call_id=NAMES,
    status=st.sampled_from(ledger_pb2.EntryStatus.values()),
    principal=st.builds(
        common_pb2.Principal,
        key_id=NAMES,
        user_id=NAMES,
        team_id=NAMES,
        organization_id=NAMES,
        end_user_id=NAMES,
        tags=st.lists(NAMES, unique=True, max_size=5),
        master=st.booleans(),
    ),
    operation=st.sampled_from(common_pb2.Operation.values()),
    model_group=NAMES,
    deployment_id=NAMES,
    provider=NAMES,
    provider_model=NAMES,
    usage=st.builds(
        common_pb2.TokenUsage,
        input_tokens=AMOUNTS,
        output_tokens=AMOUNTS,
        cache_read_tokens=AMOUNTS,
        cache_write_tokens=AMOUNTS,
        reasoning_tokens=AMOUNTS,
        cache_write_1h_tokens=AMOUNTS,
        cache_read_audio_tokens=AMOUNTS,
        input_audio_tokens=AMOUNTS,
        input_image_tokens=AMOUNTS,
        output_audio_tokens=AMOUNTS,
        output_image_tokens=AMOUNTS,
        service_tier=st.sampled_from(common_pb2.ServiceTier.values()),
    ),
    cost_nano_usd=AMOUNTS,
    held_nano_usd=AMOUNTS,
    estimated=st.booleans(),
    unpriced=st.booleans(),
    streamed=st.booleans(),
    attempts=st.lists(
        st.builds(
            ledger_pb2.Attempt,
            deployment_id=NAMES,
            provider_status=st.integers(0, 599),
            error_reason=REASONS,
            latency_ms=AMOUNTS,
            billed=st.booleans(),
            usage=st.none() | st.builds(common_pb2.TokenUsage, input_tokens=AMOUNTS, output_audio_tokens=AMOUNTS),
            cost_nano_usd=AMOUNTS,
            # A rate of 0 is stated too.
            rates=st.none()
            | st.builds(
                ledger_pb2.AppliedRates, input=AMOUNTS, output=st.just(0), margin=AMOUNTS, above_tokens=AMOUNTS
            ),
        ),
        max_size=3,
    ),
    choices=st.lists(
        st.builds(
            ledger_pb2.Choice,
            model_group=NAMES,
            strategy=st.sampled_from(ledger_pb2.RoutingStrategy.values()),
            candidates=st.integers(0, 1000),
            attempt=st.integers(0, 9),
            deployment_id=NAMES,
            error_reason=REASONS,
            under_way=st.integers(0, 1000),
            skipped=st.lists(
                st.builds(
                    ledger_pb2.Skip,
                    deployment_id=NAMES,
                    reason=st.sampled_from(ledger_pb2.SkipReason.values()),
                    rests_ms=AMOUNTS,
                ),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
    error_reason=REASONS,
    duration_ms=AMOUNTS,
    first_token_ms=AMOUNTS,
    epoch=NAMES,
)


def stored(entry: ledger_pb2.Entry) -> dict[str, Any]:
    """The record that PostgreSQL would give for what `encode` gave it."""
    (row,) = msgspec.json.decode(encode([entry]))
    return row | {
        "dispatch_id": uuid.UUID(row["dispatch_id"]),
        "tags": msgspec.json.encode(row["tags"]).decode(),
        "attempts": msgspec.json.encode(row["attempts"]).decode(),
        "usage_parts": msgspec.json.encode(row["usage_parts"]).decode(),
        "choices": msgspec.json.encode(row["choices"]).decode(),
    }


@given(ENTRIES)
def test_an_entry_survives(entry):
    assert entry_of(stored(entry)) == entry


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=2 * MAX_NAME_CHARS))
def test_a_name_becomes_one_that_postgresql_takes(text):
    cleaned = clean(text)
    assert "\0" not in cleaned
    assert len(cleaned) <= MAX_NAME_CHARS
    assert clean(cleaned) == cleaned
    assert ("\0" in text or len(text) > MAX_NAME_CHARS) or cleaned == text


def test_a_tag_counts_once():
    row = row_of(ledger_pb2.Entry(principal=common_pb2.Principal(tags=["b", "a", "b"])))
    assert row.tags == ["b", "a"]


def test_tags_that_are_the_same_once_cut_count_once():
    long = "x" * MAX_NAME_CHARS
    row = row_of(ledger_pb2.Entry(principal=common_pb2.Principal(tags=[long + "1", long + "2"])))
    assert row.tags == [long]


def test_lists_are_bounded():
    entry = ledger_pb2.Entry(
        principal=common_pb2.Principal(tags=[f"t{n}" for n in range(1_000)]),
        attempts=[ledger_pb2.Attempt(latency_ms=n) for n in range(1_000)],
        choices=[ledger_pb2.Choice(skipped=[ledger_pb2.Skip()] * 100)] * 1_000,
    )
    row = row_of(entry)
    assert (len(row.tags), len(row.attempts)) == (MAX_TAGS, MAX_ATTEMPTS)
    assert (len(row.choices), len(row.choices[0].skipped)) == (MAX_CHOICES, MAX_SKIPS)


@pytest.mark.parametrize(("size", "well_formed"), [(0, False), (15, False), (16, True), (17, False)])
def test_an_id_has_sixteen_bytes(size, well_formed):
    assert is_well_formed(ledger_pb2.Entry(dispatch_id=bytes(size))) is well_formed


def test_a_part_of_the_usage_that_a_later_version_writes_is_passed_over() -> None:
    record = stored(ledger_pb2.Entry(dispatch_id=bytes(16), usage=common_pb2.TokenUsage(input_audio_tokens=3)))
    assert record["usage_parts"] == '{"input_audio_tokens":3}'
    record["usage_parts"] = '{"input_audio_tokens":3,"smell_tokens":9}'
    assert entry_of(record).usage == common_pb2.TokenUsage(input_audio_tokens=3)


def test_what_an_earlier_version_wrote_is_read() -> None:
    record = stored(ledger_pb2.Entry(dispatch_id=bytes(16)))
    record["attempts"] = '[{"deployment_id":"d","provider_status":200,"error_reason":0,"latency_ms":7}]'
    record["choices"] = "[]"
    assert list(entry_of(record).attempts) == [ledger_pb2.Attempt(deployment_id="d", provider_status=200, latency_ms=7)]


def test_a_rate_that_a_later_version_writes_is_passed_over() -> None:
    attempt = ledger_pb2.Attempt(billed=True, rates=ledger_pb2.AppliedRates(input=0, output=3))
    record = stored(ledger_pb2.Entry(dispatch_id=bytes(16), attempts=[attempt]))
    assert '"rates":{"input":0,"output":3}' in record["attempts"]
    record["attempts"] = record["attempts"].replace('"input":0', '"input":0,"smell":9')
    assert list(entry_of(record).attempts) == [attempt]
