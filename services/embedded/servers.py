"""The embedded servers of one host together: started at the same time, ended at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from services.embedded.account import Account
from services.embedded.errors import EmbeddedError
from services.embedded.postgres import EmbeddedPostgres
from services.embedded.valkey import EmbeddedValkey
from services.settings import Settings


class EmbeddedServers:
    """Those of the two that the settings do not name elsewhere; their data goes to `settings.data`.

    named: TOLLHOUSE_PG_BIN.
    """

    def __init__(self, settings: Settings, account: Account, named: str) -> None:
        self._settings = settings
        folder = settings.data
        self._postgres = None if settings.database_url else EmbeddedPostgres(folder, account, named=named)
        self._valkey = None if settings.redis_url else EmbeddedValkey(folder, account)
        self._servers = [server for server in (self._postgres, self._valkey) if server is not None]

    async def start(self) -> Settings:
        """Start them; the settings with their addresses. The first EmbeddedError, once all have started or failed."""
        begun = (asyncio.to_thread(server.start) for server in self._servers)
        for outcome in await asyncio.gather(*begun, return_exceptions=True):
            if isinstance(outcome, OSError):
                raise EmbeddedError(f"cannot use {self._settings.data}: {outcome}") from outcome
            if outcome is not None:
                raise outcome
        return replace(
            self._settings,
            database_url=self._postgres.database_url if self._postgres else self._settings.database_url,
            redis_url=self._valkey.redis_url if self._valkey else self._settings.redis_url,
        )

    async def stop(self) -> None:
        """End those that run."""
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in self._servers))
