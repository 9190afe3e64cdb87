"""Nothing of the ledger's lives in a session of PostgreSQL, so PgBouncer in transaction mode may lend out any."""

from __future__ import annotations

import time

from ledger.filters import Filter, SpendQuestion
from ledger.partitions import DAY_SECONDS
from services.postgres import connect


async def test_no_statement_lock_or_setting_is_left_in_a_session(store, new_entry, sql):
    await store.ensure_partitions(int(time.time() // DAY_SECONDS) + 1)
    await store.write([new_entry()])
    await store.list_entries(Filter(), 10)
    await store.query_spend(SpendQuestion())
    (pool,) = [store._connections]
    for connection in [await pool.acquire() for _ in range(pool.get_idle_size())]:
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
        # The view of locks itself, and its index, are all that this very statement holds.
        held = await connection.fetch("SELECT locktype FROM pg_locks WHERE pid = pg_backend_pid()")
        assert {row["locktype"] for row in held} <= {"relation", "virtualxid"}
        assert await connection.fetchval("SHOW lock_timeout") == "0"


async def test_a_session_begins_with_no_setting_that_pgbouncer_refuses(database_url, sql):
    """Of the parameters of a session's start, PgBouncer takes few."""
    pool = await connect(database_url)
    changed = await pool.fetch("SELECT name FROM pg_settings WHERE source = 'client'")
    await pool.close()
    assert {row["name"] for row in changed} <= {"client_encoding", "application_name"}
