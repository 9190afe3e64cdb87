"""All entries of some days as a file: /spend/export onto the ledger, page by page.

The next page is asked for once the one before has been taken by the reader's connection: a slow reader slows down
everything behind it, and nothing gathers anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from gateway.v1 import ledger_pb2

from edge.admin.endpoint import AdminRequest, AdminRoute, StreamedAnswer
from edge.admin.export_csv import CsvForm
from edge.admin.export_parquet import ParquetForm
from edge.admin.times import date_range_ms
from services.errors import GatewayError, Reason, unavailable
from services.methods import EXPORT_ENTRIES
from services.transport import Channel

TIMEOUT_SECONDS = 30.0
# At once, in one process: each is work of a thread, and of PostgreSQL.
MAX_EXPORTS = 4

_PARAMETERS = ("start_date", "end_date", "format")


class Form(Protocol):
    """How entries are written. It is used in threads, by one at a time."""

    content_type: str
    suffix: str

    def add(self, entries: Sequence[ledger_pb2.Entry]) -> bytes:
        """What can be written with these too; it may be nothing yet."""

    def end(self) -> bytes:
        """What is left to write."""


FORMS: Mapping[str, type[Form]] = {"csv": CsvForm, "parquet": ParquetForm}


class SpendExport:
    """The handler."""

    def __init__(self, ledger: Channel) -> None:
        self._ledger = ledger
        self._open = 0

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [AdminRoute("GET", "/spend/export", self.export)]

    async def export(self, request: AdminRequest) -> StreamedAnswer:
        """The entries between two dates, both inclusive, in the order of their beginnings."""
        query = request.query
        # A filter that is not kept to would give away, or add up, what was not meant.
        for name in query:
            if name not in _PARAMETERS:
                raise _invalid(f"{name} is not known here; there are {', '.join(_PARAMETERS)}.", name)
        name = query.get("format", "csv")
        if name not in FORMS:
            raise _invalid(f"format must be one of {', '.join(FORMS)}.", "format")
        range_ms = date_range_ms(query.get("start_date"), query.get("end_date"))
        if not all(range_ms):
            raise _invalid("Please provide start_date and end_date.", "start_date")
        if self._open >= MAX_EXPORTS:
            raise unavailable(f"{MAX_EXPORTS} exports are under way here already; try again.")
        form = FORMS[name]
        # Nothing is waited for until it is counted.
        parts = self._parts(form, range_ms)
        return StreamedAnswer(
            content_type=form.content_type,
            filename=f"spend-{query['start_date'].strip()[:10]}-{query['end_date'].strip()[:10]}.{form.suffix}",
            # Before the head goes out: what cannot be begun is an error as any other.
            first=await anext(parts),
            rest=parts,
        )

    async def _parts(self, make: type[Form], range_ms: tuple[int, int]) -> AsyncGenerator[bytes, None]:
        self._open += 1
        try:
            form = await asyncio.to_thread(make)
            after_id = b""
            while True:
                wanted = ledger_pb2.ExportEntriesRequest(start_ms=range_ms[0], end_ms=range_ms[1], after_id=after_id)
                page = await self._ledger.call(EXPORT_ENTRIES, wanted, timeout_seconds=TIMEOUT_SECONDS)
                # More than an event loop can do between two calls.
                yield await asyncio.to_thread(form.add, page.entries)
                if not page.entries:
                    break
                after_id = page.entries[-1].dispatch_id
            yield await asyncio.to_thread(form.end)
        finally:
            self._open -= 1


def _invalid(message: str, param: str) -> GatewayError:
    return GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, message, param=param)
