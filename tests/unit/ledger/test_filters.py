"""What requests ask for."""

from __future__ import annotations

import uuid

import pytest
from gateway.v1 import ledger_pb2

from ledger.filters import (
    HOUR_MS,
    MAX_MS,
    MAX_OFFSET,
    Filter,
    SpendQuestion,
    SumQuestion,
    filter_of,
    hours_of,
    page_size_of,
    question_of,
    sum_question_of,
)
from services.errors import GatewayError
from services.ids import lowest_at

ID = bytes.fromhex("019ac0000000700080000000000000aa")


def test_nothing_asked_matches_everything():
    assert filter_of(ledger_pb2.ListEntriesRequest()) == Filter()
    assert question_of(ledger_pb2.QuerySpendRequest()) == SpendQuestion()


def test_the_nearer_of_two_ends_counts():
    early, late = lowest_at(1_000), lowest_at(2_000)
    assert filter_of(ledger_pb2.ListEntriesRequest(end_ms=1_000, before_id=late)).end_id == uuid.UUID(bytes=early)
    assert filter_of(ledger_pb2.ListEntriesRequest(end_ms=2_000, before_id=early)).end_id == uuid.UUID(bytes=early)


@pytest.mark.parametrize("text", [str(uuid.UUID(bytes=ID)), ID.hex(), str(uuid.UUID(bytes=ID)).upper()])
def test_a_request_id_may_be_a_dispatch_id(text):
    wanted = filter_of(ledger_pb2.ListEntriesRequest(request_id=text))
    assert (wanted.request_id, wanted.dispatch_id) == (text, uuid.UUID(bytes=ID))


def test_any_other_request_id_is_a_call_id():
    assert filter_of(ledger_pb2.ListEntriesRequest(request_id="chatcmpl-1")) == Filter(request_id="chatcmpl-1")


@pytest.mark.parametrize(("given", "size"), [(0, 100), (1, 1), (1_000, 1_000)])
def test_page_sizes(given, size):
    assert page_size_of(ledger_pb2.ListEntriesRequest(page_size=given)) == size


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "hours"),
    [
        (HOUR_MS, 2 * HOUR_MS, (1, 2)),
        (HOUR_MS + 1, 2 * HOUR_MS + 1, (1, 3)),
        (2 * HOUR_MS - 1, 2 * HOUR_MS - 1, (1, 2)),
        (5, 0, (0, None)),
    ],
)
def test_a_range_is_widened_to_whole_hours(start_ms, end_ms, hours):
    assert hours_of(ledger_pb2.QuerySpendRequest(start_ms=start_ms, end_ms=end_ms)) == hours


def test_a_time_before_the_epoch_is_named():
    with pytest.raises(GatewayError) as refused:
        hours_of(ledger_pb2.QuerySpendRequest(end_ms=-1))
    assert refused.value.param == "end_ms"


def test_a_question_of_sums_has_every_member_of_its_request():
    request = ledger_pb2.QuerySpendRequest(
        start_ms=HOUR_MS,
        end_ms=2 * HOUR_MS,
        group_by=[ledger_pb2.SPEND_DIMENSION_DAY, ledger_pb2.SPEND_DIMENSION_KEY],
        user_id="u\0",
        page_size=7,
        page_token=str(MAX_OFFSET),
    )
    dimensions = (ledger_pb2.SPEND_DIMENSION_DAY, ledger_pb2.SPEND_DIMENSION_KEY)
    assert question_of(request) == SpendQuestion(dimensions, 1, 2, "u\N{REPLACEMENT CHARACTER}", 7, MAX_OFFSET)


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "²", str(MAX_OFFSET + 1), "1" * 5_000])
def test_a_token_of_no_page_is_named(token):
    with pytest.raises(GatewayError) as refused:
        question_of(ledger_pb2.QuerySpendRequest(page_token=token))
    assert refused.value.param == "page_token"


def test_the_hour_in_which_a_sum_begins():
    since = uuid.UUID(bytes=lowest_at(7 * HOUR_MS + 5))
    question = sum_question_of(ledger_pb2.SumSpendRequest(since_id=since.bytes))
    lowest, highest = question.hour_ids
    assert question.first_hour == 7
    assert lowest.bytes == lowest_at(7 * HOUR_MS)
    assert highest.int + 1 == int.from_bytes(lowest_at(8 * HOUR_MS))


def test_a_sum_since_ever_begins_at_a_whole_hour_and_the_last_hour_ends_with_the_ids():
    assert sum_question_of(ledger_pb2.SumSpendRequest()).hour_ids[0] == SumQuestion().first_id
    last = SumQuestion(first_id=uuid.UUID(int=(1 << 128) - 1))
    assert (last.first_hour, last.hour_ids[1]) == (MAX_MS // HOUR_MS, last.first_id)
