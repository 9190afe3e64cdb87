"""A ledger in a process of its own is reached over gRPC and answers the same."""

from __future__ import annotations

import asyncio

import structlog
from gateway.v1 import ledger_pb2

from services.methods import LIST_ENTRIES, QUERY_SPEND, RECORD, SUM_SPEND
from services.rpc import GrpcChannel, GrpcServer


async def test_record_and_ask_over_grpc(ledger_url, start_ledger, new_entry, acknowledged):
    ledger = await start_ledger(ledger_url)
    server = GrpcServer(ledger.role.handlers, address="127.0.0.1:0", token="t" * 32, log=structlog.get_logger())
    await server.start()
    channel = GrpcChannel(f"127.0.0.1:{server.port}", "t" * 32)
    link = await channel.exchange(RECORD, timeout_seconds=5)
    entries = [new_entry() for _ in range(1_200)]
    for sequence, entry in enumerate(entries, 1):
        link.send(ledger_pb2.RecordFrame(sequence=sequence, entry=entry))
    await asyncio.wait_for(acknowledged(link, 1_200), 30)

    total = await channel.call(SUM_SPEND, ledger_pb2.SumSpendRequest(), timeout_seconds=10)
    assert (total.cost_nano_usd, total.entries) == (1_200_000, 1_200)
    page = await channel.call(LIST_ENTRIES, ledger_pb2.ListEntriesRequest(page_size=1_000), timeout_seconds=10)
    assert list(page.entries) == list(reversed(entries))[: len(page.entries)]
    spend = await channel.call(QUERY_SPEND, ledger_pb2.QuerySpendRequest(), timeout_seconds=10)
    assert [row.entries for row in spend.rows] == [1_200]
    await channel.close()
    await server.stop(1)
