"""Entries as CSV: what a program reads is what was kept, and what a spreadsheet reads it does not run."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

from gateway.v1 import common_pb2, errors_pb2, ledger_pb2
from hypothesis import example, given
from hypothesis import strategies as st

from edge.admin.export_csv import CsvForm, guarded
from services.entry_columns import COLUMNS, Kind

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NASTY = st.sampled_from(
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x","y")', "'=1", '"', ",", "\n"]
)
NAMES = TEXTS | NASTY
AMOUNTS = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
ENTRIES = st.builds(
    ledger_pb2.Entry,
    dispatch_id=st.binary(min_size=16, max_size=16),
    call_id=NAMES,
    status=st.sampled_from(ledger_pb2.EntryStatus.values()),
    error_reason=st.sampled_from(errors_pb2.ErrorReason.values()),
    principal=st.builds(
        common_pb2.Principal, user_id=NAMES, end_user_id=NAMES, tags=st.lists(NAMES, max_size=3), master=st.booleans()
    ),
    model_group=NAMES,
    usage=st.builds(common_pb2.TokenUsage, input_tokens=AMOUNTS, output_tokens=AMOUNTS),
    cost_nano_usd=AMOUNTS,
    held_nano_usd=AMOUNTS,
    estimated=st.booleans(),
    duration_ms=AMOUNTS,
)


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


@given(st.lists(st.lists(ENTRIES, max_size=3), min_size=1, max_size=3))
def test_what_is_read_back_is_what_was_written_however_it_is_cut(pages: list[list[ledger_pb2.Entry]]) -> None:
    form = CsvForm()
    rows = read(b"".join(form.add(page) for page in pages) + form.end())
    entries = [entry for page in pages for entry in page]
    assert len(rows) == len(entries)
    for row, entry in zip(rows, entries, strict=True):
        assert list(row) == [column.name for column in COLUMNS]
        for column in COLUMNS:
            value, cell = column.value(entry), row[column.name]
            if column.kind is Kind.TEXT:
                assert cell == value or (cell == f"'{value}" and value[0] in "=+-@\t\r\n")
            elif column.kind is Kind.INTEGER:
                assert int(cell) == value
            elif column.kind is Kind.BOOLEAN:
                assert cell == str(value).lower()
            elif column.kind is Kind.MONEY:
                # Exactly: no digit is lost, and none is a float's.
                assert Decimal(cell) * 10**9 == value
                assert "E" not in cell.upper()


@given(ENTRIES)
def test_no_cell_of_text_can_be_a_formula(entry: ledger_pb2.Entry) -> None:
    (row,) = read(CsvForm().add([entry]))
    texts = [row[column.name] for column in COLUMNS if column.kind is Kind.TEXT]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in texts)


@given(NAMES)
@example("=cmd|' /C calc'!A0")
def test_a_guarded_text_is_the_text_with_at_most_one_quote_before_it(text: str) -> None:
    assert guarded(text).removeprefix("'") == text or guarded(text) == text
    assert guarded(text)[:1] not in tuple("=+-@\t\r\n")


def test_a_file_without_entries_names_its_columns() -> None:
    assert CsvForm().add([]) == ",".join(column.name for column in COLUMNS).encode() + b"\r\n"


def test_a_line_reads_as_people_expect() -> None:
    entry = ledger_pb2.Entry(
        dispatch_id=(1767225600341).to_bytes(6, "big") + bytes(10),
        call_id="call-1",
        status=ledger_pb2.ENTRY_STATUS_SUCCESS,
        operation=common_pb2.OPERATION_CHAT_COMPLETIONS,
        principal=common_pb2.Principal(tags=["a", "b"], end_user_id="=1+1"),
        usage=common_pb2.TokenUsage(service_tier=common_pb2.SERVICE_TIER_FLEX),
        cost_nano_usd=72_500,
        duration_ms=1_659,
    )
    (row,) = read(CsvForm().add([entry]))
    assert (row["started_at"], row["ended_at"]) == ("2026-01-01T00:00:00.341Z", "2026-01-01T00:00:02.000Z")
    assert (row["cost_usd"], row["held_usd"], row["tags"]) == ("0.0000725", "0", '["a","b"]')
    assert (row["status"], row["error"], row["operation"]) == ("success", "", "chat_completions")
    assert (row["end_user_id"], row["service_tier"], row["streamed"]) == ("'=1+1", "flex", "false")
