"""Puts the ledger together."""

from __future__ import annotations

import time

from ledger.keeper import PartitionKeeper
from ledger.metrics import LedgerMetrics
from ledger.service import LedgerService
from ledger.store import Store
from ledger.writer import Writer
from services.lifecycle import Role, Runtime
from services.transport import Handlers

# Of the 10 s that a role has to stop; what is left is for the last statement to fail and for the links to end.
DRAIN_SECONDS = 8.0


def build(runtime: Runtime) -> Role:
    """The ledger of a process. Its schema is migrated beforehand (`tollhouse migrate`, `tollhouse up`)."""
    log = runtime.log
    store = Store(runtime.settings.database_url)
    keeper = PartitionKeeper(
        store, time.time, log, kept_seconds=runtime.config.general_settings.maximum_spend_logs_retention_seconds
    )
    writer = Writer(store, keeper.ready, LedgerMetrics(runtime.registry), log)
    return LedgerRole(store, keeper, LedgerService(store, writer))


class LedgerRole:
    """Starts while PostgreSQL is away: links then wait, and questions are UNAVAILABLE."""

    def __init__(self, store: Store, keeper: PartitionKeeper, service: LedgerService) -> None:
        self._store = store
        self._keeper = keeper
        self._service = service

    @property
    def handlers(self) -> Handlers:
        return self._service.handlers

    async def start(self) -> None:
        await self._store.open()
        self._keeper.start()

    async def stop(self) -> None:
        await self._service.stop(DRAIN_SECONDS)
        await self._keeper.stop()
        await self._store.close()
