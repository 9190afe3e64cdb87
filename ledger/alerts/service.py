"""What others ask of the ledger about alerts: Notify and ListAlerts."""

from __future__ import annotations

from gateway.v1 import ledger_pb2
from gateway.v1.ledger_pb2 import Alert

from ledger.alerts.store import AlertStore
from services.alerting import TYPES, Alerting
from services.errors import GatewayError, Reason
from services.link import MAX_BATCH_BYTES

MAX_ALERTS = 100
MAX_PAGE = 1_000
PAGE = 100
MAX_KEY_CHARS = 512
MAX_TITLE_CHARS = 300
MAX_TEXT_CHARS = 10_000


class AlertService:
    """alerting: None: nobody is told, and nothing kept."""

    def __init__(self, store: AlertStore, alerting: Alerting | None) -> None:
        self._store = store
        self._alerting = alerting

    async def notify(self, request: ledger_pb2.NotifyRequest) -> ledger_pb2.NotifyResponse:
        """Keep alerts that are new. INVALID_REQUEST for what is none."""
        if len(request.alerts) > MAX_ALERTS or not all(map(_is_well_formed, request.alerts)):
            raise GatewayError(Reason.ERROR_REASON_INVALID_REQUEST, "This is no alert.", param="alerts")
        noted = 0
        for alert in request.alerts:
            noted += await self.note(alert)
        return ledger_pb2.NotifyResponse(noted=noted)

    async def note(self, alert: Alert) -> bool:
        """Keep one, unless nobody wants to know of its type; whether it was new."""
        if self._alerting is None or alert.type not in self._alerting.types:
            return False
        channels = self._alerting.channels(alert.type)
        return bool(channels) and await self._store.note(alert, channels)

    async def list_alerts(self, request: ledger_pb2.ListAlertsRequest) -> ledger_pb2.ListAlertsResponse:
        """One page, newest first; it ends early when it would grow larger than a batch may be."""
        if request.page_size < 0 or request.page_size > MAX_PAGE or request.before_number < 0:
            raise GatewayError(
                Reason.ERROR_REASON_INVALID_REQUEST, f"A page has 1 to {MAX_PAGE} alerts.", param="page_size"
            )
        page, page_bytes = ledger_pb2.ListAlertsResponse(), 0
        for kept in await self._store.list(request.type, request.page_size or PAGE, request.before_number):
            page_bytes += kept.ByteSize()
            if page_bytes > MAX_BATCH_BYTES and page.alerts:
                break
            page.alerts.append(kept)
        return page


def _is_well_formed(alert: Alert) -> bool:
    texts = (alert.key, alert.type, alert.title, alert.text, alert.event_json)
    return (
        0 < len(alert.key) <= MAX_KEY_CHARS
        and alert.type in TYPES
        and 0 < len(alert.title) <= MAX_TITLE_CHARS
        and max(len(alert.text), len(alert.event_json)) <= MAX_TEXT_CHARS
        and alert.quiet_seconds >= 0
        and not any("\0" in text for text in texts)
    )
