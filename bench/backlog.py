"""A router's outbox full of entries, in a process of its own: `python -m bench.backlog`, for `bench.ledger`.

It writes a month of calls to an outbox, as a router does, and delivers them to a ledger, as a router does. Says in a
line of JSON when all are on disk and in another when all are acknowledged, with the most memory it has had by then.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from bench.calls import Month
from router.delivery import TAKE_BYTES, LedgerDelivery
from router.metrics import OutboxMetrics
from router.outbox import Outbox
from services.rpc import GrpcChannel

# Entries between two waits for the disk: about what comes in a tenth of a second at the rates that are aimed at.
_GROUP = 500


class Progress(msgspec.Struct):
    """What one line says. seconds: since the step before; cost: of all entries; megabytes: the most until now."""

    seconds: float
    cost_nano_usd: int
    outbox_bytes: int
    peak_megabytes: float


async def run(month: Month, ledger: str, token: str, folder: Path) -> None:
    """Fill and deliver."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    log = structlog.get_logger()
    channel = GrpcChannel(ledger, token)
    outbox = Outbox(folder, metrics=OutboxMetrics(CollectorRegistry()), log=log)
    settling = asyncio.create_task(_settle(outbox))
    delivery = LedgerDelivery(channel, outbox, log)
    await delivery.start()
    started = time.monotonic()
    cost = 0
    for number, entry in enumerate(month.entries(), 1):
        cost += entry.cost_nano_usd
        sequence = outbox.append(entry)
        if number % _GROUP == 0:
            await outbox.committed(sequence)
    await outbox.committed(sequence)
    _tell(started, cost, outbox)
    started = time.monotonic()
    await outbox.delivered("ledger")
    _tell(started, cost, outbox)
    # Whoever reads that looks at this process's CPU time, too.
    await asyncio.to_thread(sys.stdin.readline)
    settling.cancel()
    await delivery.stop(1)
    outbox.close()
    await channel.close()


async def _settle(outbox: Outbox) -> None:
    """The keystore's side of the outbox: done with everything at once, for nothing was held."""
    while True:
        taken = await outbox.take("keystore", TAKE_BYTES)
        outbox.ack("keystore", taken[-1][0])


def _tell(started: float, cost_nano_usd: int, outbox: Outbox) -> None:
    on_disk = sum(file.stat().st_size for file in outbox.path.iterdir())
    # Kilobytes, but bytes on macOS.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(msgspec.json.encode(Progress(time.monotonic() - started, cost_nano_usd, on_disk, peak)).decode(), flush=True)


def main() -> None:
    """See the module; the internal token comes by standard input."""
    parser = argparse.ArgumentParser(prog="python -m bench.backlog", description=__doc__)
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--start-ms", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    given = parser.parse_args()
    token = sys.stdin.readline().strip()
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as folder:
        asyncio.run(run(Month(given.start_ms, given.calls), given.ledger, token, Path(folder)))


if __name__ == "__main__":
    main()
