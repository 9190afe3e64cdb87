"""Puts the ledger together."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Protocol

from ledger.alerts.reporter import Reporter
from ledger.alerts.service import AlertService
from ledger.alerts.store import AlertStore
from ledger.alerts.teller import Teller
from ledger.delivery.bucket import Bucket
from ledger.delivery.deliverer import Deliverer
from ledger.delivery.sink import Sink
from ledger.delivery.store import DeliveryStore
from ledger.delivery.webhook import Webhook
from ledger.keeper import PartitionKeeper
from ledger.metrics import DeliveryMetrics, LedgerMetrics
from ledger.service import LedgerService
from ledger.store import Store
from ledger.writer import Writer
from services.alert_channels import AlertChannels
from services.alerting import SPEND_REPORTS
from services.durations import parse
from services.lifecycle import Role, Runtime
from services.sender import Sender
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
    alerting = runtime.config.general_settings.alerting
    kept = AlertStore(store.pool)
    alerts = AlertService(kept, alerting)
    beside: list[Beside] = [*_deliverers(runtime, store)]
    if alerting is not None:
        for line in alerting.left_out:
            log.warning("alerting_left_out", reason=line)
        beside.append(Teller(kept, AlertChannels(alerting, Sender()), log))
        if SPEND_REPORTS in alerting.types:
            beside.append(Reporter(store.query_spend, alerts.note, parse(alerting.report_frequency), time.time, log))
    return LedgerRole(store, keeper, LedgerService(store, writer, alerts), beside)


class Beside(Protocol):
    """What a ledger does beside what it is asked."""

    def start(self) -> None:
        """Begin, in the background."""

    async def stop(self) -> None:
        """End."""


def _deliverers(runtime: Runtime, store: Store) -> Sequence[Deliverer]:
    """One for each receiver of the configuration."""
    general = runtime.config.general_settings
    sinks: list[Sink] = []
    if general.export_webhook is not None:
        sinks.append(Webhook(general.export_webhook, Sender(), time.time))
    if general.export_bucket is not None:
        sinks.append(Bucket(general.export_bucket, Sender(), time.time))
    deliveries, metrics, holder = DeliveryStore(store.pool), DeliveryMetrics(runtime.registry), uuid.uuid4()
    return [Deliverer(sink, deliveries, holder, metrics, runtime.log) for sink in sinks]


class LedgerRole:
    """Starts while PostgreSQL is away: links then wait, and questions are UNAVAILABLE."""

    def __init__(
        self, store: Store, keeper: PartitionKeeper, service: LedgerService, beside: Sequence[Beside] = ()
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._service = service
        self._beside = beside

    @property
    def handlers(self) -> Handlers:
        return self._service.handlers

    async def start(self) -> None:
        await self._store.open()
        self._keeper.start()
        for each in self._beside:
            each.start()

    async def stop(self) -> None:
        await self._service.stop(DRAIN_SECONDS)
        await self._keeper.stop()
        await asyncio.gather(*(each.stop() for each in self._beside))
        await self._store.close()
