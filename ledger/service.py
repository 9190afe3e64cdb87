"""What the ledger offers: the handlers of protos/gateway/v1/ledger.proto."""

from __future__ import annotations

import asyncio

from gateway.v1 import ledger_pb2

from ledger.alerts.service import AlertService
from ledger.export import page_of
from ledger.filters import costs_of, filter_of, page_size_of, question_of, range_of, sum_question_of
from ledger.recording import Frame, Recording
from ledger.store import Store
from ledger.writer import Writer
from services.errors import unavailable
from services.link import MAX_BATCH_BYTES, Link
from services.methods import (
    EXPORT_ENTRIES,
    LIST_ALERTS,
    LIST_ENTRIES,
    NOTIFY,
    QUERY_SPEND,
    RECORD,
    REPRICE,
    SUM_SPEND,
)
from services.transport import Handlers


class LedgerService:
    """Answers routers (Record), keystores (SumSpend), both (Notify) and edges (the rest)."""

    def __init__(self, store: Store, writer: Writer, alerts: AlertService) -> None:
        self._store = store
        self._writer = writer
        self._alerts = alerts
        self._recordings: dict[Recording, asyncio.Event] = {}
        self._stopping = False

    @property
    def handlers(self) -> Handlers:
        """Each RPC's."""
        return {
            RECORD: self.record,
            SUM_SPEND: self.sum_spend,
            LIST_ENTRIES: self.list_entries,
            QUERY_SPEND: self.query_spend,
            EXPORT_ENTRIES: self.export_entries,
            REPRICE: self.reprice,
            NOTIFY: self._alerts.notify,
            LIST_ALERTS: self._alerts.list_alerts,
        }

    async def record(self, link: Link[ledger_pb2.StoredFrame, Frame]) -> None:
        """Keep what a router sends; acknowledge it once it is committed."""
        if self._stopping:
            raise unavailable("The ledger is stopping.")
        recording = Recording(link, self._writer)
        ended = self._recordings[recording] = asyncio.Event()
        try:
            await recording.run()
        finally:
            del self._recordings[recording]
            ended.set()

    async def sum_spend(self, request: ledger_pb2.SumSpendRequest) -> ledger_pb2.SumSpendResponse:
        """What was spent in a scope."""
        spend = await self._store.sum_spend(sum_question_of(request))
        return ledger_pb2.SumSpendResponse(cost_nano_usd=spend.cost_nano_usd, entries=spend.entries)

    async def reprice(self, request: ledger_pb2.RepriceRequest) -> ledger_pb2.RepriceResponse:
        """Give entries the cost that nobody knew when they were made."""
        changed = await self._store.reprice(costs_of(request))
        return ledger_pb2.RepriceResponse(entries=changed.entries, cost_nano_usd=changed.cost_nano_usd)

    async def list_entries(self, request: ledger_pb2.ListEntriesRequest) -> ledger_pb2.ListEntriesResponse:
        """One page, newest first: it ends early when it would grow larger than a batch may be, never empty."""
        entries = await self._store.list_entries(filter_of(request), page_size_of(request))
        page = ledger_pb2.ListEntriesResponse()
        page_bytes = 0
        for entry in entries:
            page_bytes += entry.ByteSize()
            if page_bytes > MAX_BATCH_BYTES and page.entries:
                break
            page.entries.append(entry)
        return page

    async def query_spend(self, request: ledger_pb2.QuerySpendRequest) -> ledger_pb2.QuerySpendResponse:
        """One page of sums, dearest first; it ends early as a page of entries does."""
        question = question_of(request)
        page = ledger_pb2.QuerySpendResponse()
        page_bytes = 0
        for spend in await self._store.query_spend(question):
            row = ledger_pb2.SpendRow(
                keys=spend.keys,
                cost_nano_usd=spend.cost_nano_usd,
                entries=spend.entries,
                input_tokens=spend.input_tokens,
                output_tokens=spend.output_tokens,
                cache_read_tokens=spend.cache_read_tokens,
                cache_write_tokens=spend.cache_write_tokens,
                succeeded=spend.succeeded,
            )
            page_bytes += row.ByteSize()
            if len(page.rows) == question.limit or (page_bytes > MAX_BATCH_BYTES and page.rows):
                page.next_page_token = str(question.offset + len(page.rows))
                break
            page.rows.append(row)
        return page

    async def export_entries(self, request: ledger_pb2.ExportEntriesRequest) -> ledger_pb2.ExportEntriesResponse:
        """One page of an export, oldest first."""
        rows = await self._store.export(range_of(request))
        # Hundreds of entries are more than the event loop can do between two calls.
        return await asyncio.to_thread(page_of, rows)

    async def stop(self, timeout_seconds: float) -> None:
        """Let each link write what it has gathered; what is not written in time stays with its router."""
        self._stopping = True
        endings = [asyncio.ensure_future(ended.wait()) for ended in self._recordings.values()]
        for recording in self._recordings:
            recording.stop()
        if endings:
            await asyncio.wait(endings, timeout=timeout_seconds)
        for ending in endings:
            ending.cancel()
