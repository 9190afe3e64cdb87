"""Empty stores on the session's servers: a database for each that asks, and one of Valkey's numbered ones."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import redis

from services.embedded.postgres import EmbeddedPostgres

# Valkey has 16 databases. Number 0 is that of single tests; the others go round, for those that last longer.
_SHARED = itertools.cycle(range(1, 16))
_numbers = itertools.count(1)


@asynccontextmanager
async def new_database(server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The address of an empty database, which is dropped afterwards."""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(server.database_url)
    try:
        await admin.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        yield server.database_url.replace("/postgres?", f"/{name}?", 1)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


def emptied(redis_url: str) -> str:
    """The same address, after its database was emptied."""
    with redis.from_url(redis_url) as client:
        client.flushdb()
    return redis_url


def lasting(redis_url: str) -> str:
    """The address of a database beside that one, emptied; the next asks for another."""
    return emptied(f"{redis_url}?db={next(_SHARED)}")
