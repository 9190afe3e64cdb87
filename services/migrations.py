"""Brings the schemas of all roles up to date."""

from __future__ import annotations

import asyncio
import importlib.resources

from structlog.typing import FilteringBoundLogger

from services.postgres import MigrationError, migrate, wait_for_server
from services.process import StartError

# The roles that keep tables: each in the schema of its name, from the SQL files in its folder `migrations`.
_KEEPERS = ("ledger", "keystore")


async def migrate_all(database_url: str, log: FilteringBoundLogger, *, wait_seconds: float) -> int:
    """Run what has not run yet; how many files that were. StartError says what stands in the way.

    wait_seconds: how long a database may take to be there.
    """
    try:
        await wait_for_server(database_url, wait_seconds, log)
        return sum(await asyncio.gather(*(_migrate_one(name, database_url, log) for name in _KEEPERS)))
    except MigrationError as error:
        raise StartError(str(error)) from error


async def _migrate_one(name: str, database_url: str, log: FilteringBoundLogger) -> int:
    with importlib.resources.as_file(importlib.resources.files(name) / "migrations") as folder:
        return await migrate(database_url, name, folder, log)
