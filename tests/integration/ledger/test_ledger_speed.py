"""What a row costs, to be looked at: printed, never asserted."""

from __future__ import annotations

import time

import pytest

from ledger.rows import encode


@pytest.mark.slow
async def test_print_the_cost_of_a_row(store, new_entry, sql, capsys):
    batches = [[new_entry(key_id=f"key-{n % 100}") for n in range(500)] for _ in range(40)]
    started = time.process_time()
    for batch in batches:
        encode(batch)
    encoding = time.process_time() - started
    started, started_cpu = time.monotonic(), time.process_time()
    for batch in batches:
        await store.write(batch)
    took, cpu = time.monotonic() - started, time.process_time() - started_cpu
    with capsys.disabled():
        print(
            f"\nledger, 500 entries a batch: encoding {encoding / 20_000 * 1e6:.1f} us a row; "
            f"client CPU {cpu / 20_000 * 1e6:.1f} us a row; {20_000 / took:,.0f} rows/s"
        )
    assert await sql.fetchval("SELECT count(*) FROM ledger.entries") == 20_000
