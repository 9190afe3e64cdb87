"""What operators were told, and how that went: /alerts onto the ledger's."""

from __future__ import annotations

from gateway.v1 import ledger_pb2

from edge.admin.endpoint import AdminRequest, AdminRoute, number_of, place_of
from edge.admin.times import iso
from services.methods import LIST_ALERTS
from services.transport import Channel

TIMEOUT_SECONDS = 60.0
PAGE = 100
MAX_PAGE = 1_000


class AlertsAdmin:
    """The handlers."""

    def __init__(self, ledger: Channel) -> None:
        self._ledger = ledger

    def routes(self) -> list[AdminRoute]:
        """The table."""
        return [AdminRoute("GET", "/alerts", self.page)]

    async def page(self, request: AdminRequest) -> object:
        """A page of alerts, the newest first; `before` is the `number` of the last of the page before."""
        query = request.query
        asked = ledger_pb2.ListAlertsRequest(
            type=query.get("type"),
            page_size=number_of(query, "page_size", PAGE, MAX_PAGE),
            before_number=place_of(query, "before"),
        )
        answer = await self._ledger.call(LIST_ALERTS, asked, timeout_seconds=TIMEOUT_SECONDS)
        return {"alerts": [_row(kept) for kept in answer.alerts]}


def _row(kept: ledger_pb2.KeptAlert) -> dict[str, object]:
    return {
        "number": kept.number,
        "type": kept.alert.type,
        "title": kept.alert.title,
        "text": kept.alert.text,
        "channel": kept.channel,
        "noted_at": iso(kept.noted_ms),
        "delivered_at": iso(kept.delivered_ms),
        "attempts": kept.attempts,
        "last_error": kept.last_error or None,
        "given_up": kept.given_up,
    }
