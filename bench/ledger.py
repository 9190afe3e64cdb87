"""`python -m bench.ledger` (`make bench-ledger`): a million entries into the ledger, and the questions asked of it.

PostgreSQL is stopped, a router's outbox is filled with a month of calls, PostgreSQL comes back, and the ledger takes
them in through its Record path. Then every question is asked, over HTTP or by RPC, with all processes on all cores.
Verified: entries, and their cost, are counted by who made them, in the table of entries and in the rollups; answers are
held to them. Exit status 1 when anything does not add up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import asyncpg
import msgspec
import psutil

from bench.backlog import Progress
from bench.calls import DAY_MS, DAYS, Month
from bench.gateway import Gateway
from bench.measure import cpu_seconds, parts
from bench.processes import FakeProvider
from bench.questions import BACK_MS, PATHS, SCOPES, Timing, ask_path, ask_sums
from ledger.partitions import DAYS_AHEAD
from ledger.store import Store

# How often the ledger's memory is looked at.
_LOOK_SECONDS = 0.2
_AIM_ENTRIES_PER_SECOND = 5_000
_AIM_P95_MS = 500


def main() -> None:
    """Run it; print what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000, help="entries (default: %(default)s)")
    parser.add_argument("--times", type=int, default=20, help="that each question is asked (default: %(default)s)")
    given = parser.parse_args()
    today = int(time.time() * 1000) // DAY_MS
    month = Month((today - DAYS) * DAY_MS, given.calls)
    provider = FakeProvider()
    try:
        gateway = Gateway("split", provider.port, lambda url: asyncio.run(_make_partitions(url, today)))
        try:
            _unpin(gateway)
            holds = _load(gateway, month) and asyncio.run(_ask(gateway, month, given.times))
        finally:
            gateway.stop()
    finally:
        provider.stop()
    sys.exit(0 if holds else 1)


async def _make_partitions(database_url: str, today: int) -> None:
    """Those of the month, as if a ledger had run all the time."""
    store = Store(database_url)
    await store.open()
    for day in (*range(today - DAYS, today, DAYS_AHEAD + 1), today):
        await store.ensure_partitions(day)
    await store.close()


def _unpin(gateway: Gateway) -> None:
    """Let the gateway use all cores: there is no load beside it but the questions themselves."""
    if hasattr(psutil.Process, "cpu_affinity"):
        every = list(range(os.cpu_count() or 1))
        for process in (process for part in parts(gateway.roots).values() for process in part):
            with contextlib.suppress(psutil.Error):
                process.cpu_affinity(every)


def _load(gateway: Gateway, month: Month) -> bool:
    """Fill the outbox while PostgreSQL is stopped, then let it empty; whether nothing is missing."""
    before = asyncio.run(_counted(gateway))
    gateway.postgres.stop()
    ledger = psutil.Process(gateway.roots["ledger"])
    idle = ledger.memory_info().rss / 1e6
    with _backlog(gateway, month) as backlog:
        full, stopped_peak = _next(backlog, ledger)
        print(
            f"{month.calls:,} entries on disk while PostgreSQL was stopped: {full.outbox_bytes / 1e6:.0f} MB, "
            f"{month.calls / full.seconds:,.0f} entries/s; "
            f"most memory: their router {full.peak_megabytes:.0f} MB, "
            f"the ledger {stopped_peak:.0f} MB ({idle:.0f} idle)",
            flush=True,
        )
        gateway.postgres.start()
        roots = {"ledger": ledger.pid, "postgres": gateway.postgres.pid, "router": backlog.pid}
        gateway.roots["postgres"] = gateway.postgres.pid
        before_cpu = cpu_seconds(roots)
        empty, peak = _next(backlog, ledger)
        after_cpu = cpu_seconds(roots)
        cpu = {part: (after_cpu[part] - before_cpu[part]) * 1e6 / month.calls for part in roots}
    rate = month.calls / empty.seconds
    print(
        f"delivered, once PostgreSQL was back: {rate:,.0f} entries/s (aim {_AIM_ENTRIES_PER_SECOND:,}), "
        f"{empty.seconds:.0f} s; CPU us an entry: {', '.join(f'{part} {cost:.0f}' for part, cost in cpu.items())}; "
        f"most memory: the router {empty.peak_megabytes:.0f} MB, the ledger {peak:.0f} MB"
    )
    found = [each - one for each, one in zip(asyncio.run(_counted(gateway)), before, strict=True)]
    true = [month.calls, empty.cost_nano_usd] * 2
    verdict = "verified" if found == true else "VOID"
    print(f"{verdict}: entries and nano-USD made {true[:2]}, in entries {found[:2]}, in rollups {found[2:]}")
    return found == true


@contextlib.contextmanager
def _backlog(gateway: Gateway, month: Month) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "bench.backlog", "--ledger", gateway.addresses["ledger"]),
            *("--start-ms", str(month.start_ms), "--calls", str(month.calls)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(f"{gateway.internal_token}\n".encode())
        process.stdin.flush()
        yield process
        process.stdin.close()
        process.wait(30)
    finally:
        process.kill()
        process.wait()


def _next(backlog: subprocess.Popen[bytes], ledger: psutil.Process) -> tuple[Progress, float]:
    """The next line that the process says, and the most memory, in MB, that the ledger was seen with meanwhile."""
    return asyncio.run(_read_and_look(backlog, ledger))


async def _read_and_look(backlog: subprocess.Popen[bytes], ledger: psutil.Process) -> tuple[Progress, float]:
    assert backlog.stdout is not None
    reading = asyncio.create_task(asyncio.to_thread(backlog.stdout.readline))
    peak = 0.0
    while not reading.done():
        peak = max(peak, ledger.memory_info().rss / 1e6)
        await asyncio.wait({reading}, timeout=_LOOK_SECONDS)
    return msgspec.json.decode(reading.result(), type=Progress), peak


async def _counted(gateway: Gateway) -> Sequence[int]:
    """Entries and their cost in nano-USD, as single entries and as the rollups have them."""
    connection = await asyncpg.connect(gateway.postgres.database_url)
    row = await connection.fetchrow(
        "SELECT count(*), sum(cost_nano_usd)::bigint, (SELECT sum(entries)::bigint FROM ledger.rollup_hour), "
        "(SELECT sum(cost_nano_usd)::bigint FROM ledger.rollup_hour) FROM ledger.every_entry"
    )
    await connection.close()
    return [value or 0 for value in row]


async def _ask(gateway: Gateway, month: Month, times: int) -> bool:
    """Every question; whether every answer was right."""
    sql = await asyncpg.connect(gateway.postgres.database_url)
    # As autovacuum does within a minute or two.
    await sql.execute("ANALYZE")
    tables = await sql.fetchrow(
        "SELECT (SELECT count(*) FROM ledger.rollup_hour) AS hours, "
        "(SELECT count(*) FROM ledger.rollup_hour_tag) AS tags, pg_database_size(current_database()) AS bytes"
    )
    print(
        f"{tables['hours']:,} rows of sums, {tables['tags']:,} by tag, {tables['bytes'] / 1e6:,.0f} MB of database; "
        f"each question {times} times\n{'p50 ms':>8} {'p95 ms':>8} {'CPU ms':>8}  question"
    )
    timings = [
        _told(await ask_sums(scope, back_ms, gateway, sql, month, times))
        for back_ms in BACK_MS
        for scope in ("", *SCOPES)
    ]
    of_month = await sql.fetchval(
        "SELECT sum(cost_nano_usd)::bigint FROM ledger.every_entry WHERE ledger.admitted_at(dispatch_id) < "
        "to_timestamp($1::bigint / 1000)",
        month.end_ms,
    )
    of_ever = await sql.fetchval("SELECT sum(cost_nano_usd)::bigint FROM ledger.every_entry")
    await sql.close()
    for question in PATHS:
        spent_usd = (of_ever if question.is_of_ever else of_month) / 1e9
        timings.append(_told(await asyncio.to_thread(ask_path, question, gateway, month, spent_usd, times)))
    slow = [timing.name for timing in timings if timing.p95_ms > _AIM_P95_MS]
    print(f"slower than {_AIM_P95_MS} ms at p95: {', '.join(slow) or 'none'}")
    faults = sum(len(timing.faults) for timing in timings)
    print(
        f"VOID: {faults} wrong answers" if faults else f"verified: {len(timings)} questions, every answer as it must be"
    )
    return not faults


def _told(timing: Timing) -> Timing:
    fault = f"  VOID: {timing.faults[0]}" if timing.faults else ""
    print(f"{timing.p50_ms:8.1f} {timing.p95_ms:8.1f} {timing.cpu_ms:8.1f}  {timing.name}{fault}", flush=True)
    return timing


if __name__ == "__main__":
    main()
