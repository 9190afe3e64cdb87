"""Entries as Parquet, by pyarrow, which is an extra: `pip install tollhouse[parquet]`."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from gateway.v1 import ledger_pb2

from services.entry_columns import COLUMNS, Kind
from services.errors import GatewayError, Reason

# Rows of a group: a few MB while they wait, and a few hundred groups for 10^6 rows, of which the end of the file tells.
GROUP_ROWS = 10_000
# An int64 of nano-USD, exactly.
_MONEY_DIGITS, _MONEY_PLACES = 19, 9


class ParquetForm:
    """See `export.Form`. INVALID_REQUEST when pyarrow is not there."""

    content_type = "application/vnd.apache.parquet"
    suffix = "parquet"

    def __init__(self) -> None:
        # 150 MB of libraries, which take a while to load: only where somebody asks for them.
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise GatewayError(
                Reason.ERROR_REASON_INVALID_REQUEST,
                "This gateway writes no Parquet: pyarrow is not installed (pip install 'tollhouse[parquet]'). "
                "Ask for format=csv.",
                param="format",
            ) from None
        self._arrow: Any = pyarrow
        self._schema = pyarrow.schema(_fields(pyarrow))
        self._sink = _Sink()
        self._writer = pyarrow.parquet.ParquetWriter(self._sink, self._schema)
        self._batches: list[Any] = []
        self._rows = 0

    def add(self, entries: Sequence[ledger_pb2.Entry]) -> bytes:
        """A group of rows, once there are enough; nothing until then."""
        if entries:
            self._batches.append(
                self._arrow.record_batch([self._column(index, entries) for index in range(len(COLUMNS))], self._schema)
            )
            self._rows += len(entries)
        return self._write_group() if self._rows >= GROUP_ROWS else self._sink.take()

    def end(self) -> bytes:
        """What waits, and the file's table of contents."""
        rest = self._write_group()
        self._writer.close()
        return rest + self._sink.take()

    def _write_group(self) -> bytes:
        if self._batches:
            table = self._arrow.Table.from_batches(self._batches, self._schema)
            self._writer.write_table(table, row_group_size=self._rows)
            self._batches, self._rows = [], 0
        return self._sink.take()

    def _column(self, index: int, entries: Sequence[ledger_pb2.Entry]) -> Any:
        column = COLUMNS[index]
        values: list[Any] = [column.value(entry) for entry in entries]
        if column.kind is Kind.MONEY:
            values = [Decimal(value).scaleb(-_MONEY_PLACES) for value in values]
        return self._arrow.array(values, type=self._schema.field(index).type)


def _fields(arrow: Any) -> list[Any]:
    types: Mapping[Kind, Any] = {
        Kind.TEXT: arrow.string(),
        Kind.INTEGER: arrow.int64(),
        Kind.BOOLEAN: arrow.bool_(),
        Kind.TIME: arrow.timestamp("ms", tz="UTC"),
        Kind.MONEY: arrow.decimal128(_MONEY_DIGITS, _MONEY_PLACES),
    }
    return [arrow.field(column.name, types[column.kind], nullable=False) for column in COLUMNS]


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        kept = bytes(part)
        self._parts.append(kept)
        self._position += len(kept)
        return len(kept)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        """What has been written since the last time."""
        taken, self._parts = b"".join(self._parts), []
        return taken
