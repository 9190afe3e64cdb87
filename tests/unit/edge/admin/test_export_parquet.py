"""Entries as Parquet, read back by pyarrow."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow
import pyarrow.parquet
import pytest
from gateway.v1 import common_pb2, ledger_pb2

from edge.admin.export_parquet import GROUP_ROWS, ParquetForm
from services.entry_columns import COLUMNS
from services.errors import GatewayError, Reason
from services.ids import IdMint

LARGEST = (1 << 63) - 1


def entries(count: int) -> list[ledger_pb2.Entry]:
    mint = IdMint(clock=lambda: 1767225600.341)
    return [
        ledger_pb2.Entry(
            dispatch_id=mint.new(),
            call_id=f"call-{number}",
            principal=common_pb2.Principal(user_id="=1+1", tags=["a"]),
            usage=common_pb2.TokenUsage(input_tokens=LARGEST),
            cost_nano_usd=LARGEST - number,
            streamed=number % 2 == 0,
        )
        for number in range(count)
    ]


def test_what_is_read_back_is_what_was_written_in_groups() -> None:
    form = ParquetForm()
    given = entries(GROUP_ROWS + 700)
    parts = [form.add(given[start : start + 500]) for start in range(0, len(given), 500)]
    # A group goes out when it is full, and nothing of it before.
    assert [bool(part) for part in parts] == [number in (0, GROUP_ROWS // 500 - 1) for number in range(len(parts))]
    data = b"".join((*parts, form.add([]), form.end()))
    file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [GROUP_ROWS, 700]
    table = file.read()
    assert table.column_names == [column.name for column in COLUMNS]
    assert table["call_id"].to_pylist() == [entry.call_id for entry in given]
    assert table["cost_usd"].to_pylist() == [Decimal(entry.cost_nano_usd).scaleb(-9) for entry in given]
    first = table.slice(0, 1).to_pylist()[0]
    assert first["started_at"] == datetime(2026, 1, 1, 0, 0, 0, 341_000, UTC)
    # No spreadsheet reads it: a text stays as it is.
    assert (first["user_id"], first["input_tokens"], first["streamed"]) == ("=1+1", LARGEST, True)


def test_a_file_without_entries_has_its_columns() -> None:
    form = ParquetForm()
    table = pyarrow.parquet.read_table(io.BytesIO(form.add([]) + form.end()))
    assert (table.num_rows, table.num_columns) == (0, len(COLUMNS))


def test_without_pyarrow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(GatewayError) as caught:
        ParquetForm()
    assert caught.value.reason == Reason.ERROR_REASON_INVALID_REQUEST
    assert "pip install 'tollhouse[parquet]'" in caught.value.message
