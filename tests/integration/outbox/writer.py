"""A process that appends and commits until it is killed, and reports on stdout what was committed.

    python writer.py ROOT

Lines are `opened ID`, before the record is appended, and `committed ID`, after the commit of its entry.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog
from gateway.v1 import ledger_pb2
from prometheus_client import CollectorRegistry

from router.metrics import OutboxMetrics
from router.outbox import Outbox
from router.outbox.journal import Limits
from services.ids import IdMint


def report(word: str, dispatch_id: bytes) -> None:
    print(word, dispatch_id.hex(), flush=True)


async def call(outbox: Outbox, dispatch_id: bytes) -> None:
    """One dispatch, in flight for some milliseconds."""
    report("opened", dispatch_id)
    opened = ledger_pb2.Entry(
        dispatch_id=dispatch_id, status=ledger_pb2.ENTRY_STATUS_INTERRUPTED, cost_nano_usd=5, estimated=True
    )
    outbox.opened(opened)
    await asyncio.sleep(0.003)
    entry = ledger_pb2.Entry(dispatch_id=dispatch_id, status=ledger_pb2.ENTRY_STATUS_SUCCESS, cost_nano_usd=9)
    await outbox.committed(outbox.append(entry))
    report("committed", dispatch_id)


async def main() -> None:
    log = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))
    outbox = Outbox(
        Path(sys.argv[1]), metrics=OutboxMetrics(CollectorRegistry()), log=log, limits=Limits(segment_bytes=2_000)
    )
    mint = IdMint()
    while True:
        await asyncio.gather(*(call(outbox, mint.new()) for _ in range(12)))


if __name__ == "__main__":
    asyncio.run(main())
