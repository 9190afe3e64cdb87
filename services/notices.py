"""Tells the ledger of alerts, beside whatever else the process does: nobody waits for it, and nothing grows with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import NoReturn

from gateway.v1 import ledger_pb2
from gateway.v1.ledger_pb2 import Alert
from structlog.typing import FilteringBoundLogger

from services.errors import GatewayError, Reason
from services.methods import NOTIFY
from services.transport import Channel

# Alerts that wait for a ledger; the oldest give way. They are of some hundred bytes.
MAX_WAITING = 1_000
# What one request may hold is 100.
MOST = 50
NOTIFY_TIMEOUT_SECONDS = 5.0
# Between two attempts while no ledger answers.
PAUSE_SECONDS = 5.0


class Notices:
    """on_away: what is done with an alert that no ledger takes, again and again; whether it was told so."""

    def __init__(
        self,
        ledger: Channel,
        log: FilteringBoundLogger,
        on_away: Callable[[Alert], Awaitable[bool]] | None = None,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._log = log
        self._on_away = on_away
        self._pause_seconds = pause_seconds
        self._waiting: deque[Alert] = deque()
        self._keys: set[str] = set()
        self._news = asyncio.Event()

    def tell(self, alert: Alert) -> None:
        """Have an alert told, soon; nothing happens when it waits already."""
        if alert.key in self._keys:
            return
        if len(self._waiting) >= MAX_WAITING:
            lost = self._take_oldest()
            self._log.warning("alert_lost", key=lost.key, title=lost.title)
        self._waiting.append(alert)
        self._keys.add(alert.key)
        self._news.set()

    async def run(self) -> NoReturn:
        """Tell what comes, again until a ledger has it."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                if not await self._notify():
                    await self._tell_otherwise()
                    await asyncio.sleep(self._pause_seconds)

    async def _notify(self) -> bool:
        """Send the oldest; whether they are done with."""
        alerts = list(islice(self._waiting, MOST))
        request = ledger_pb2.NotifyRequest(alerts=alerts)
        try:
            await self._ledger.call(NOTIFY, request, timeout_seconds=NOTIFY_TIMEOUT_SECONDS)
        except GatewayError as error:
            if error.reason in (Reason.ERROR_REASON_UNAVAILABLE, Reason.ERROR_REASON_DEADLINE_EXCEEDED):
                return False
            # A ledger of the version before, or a mistake of ours: it will not be taken later either.
            self._log.error("alerts_refused", error=error.message, keys=[alert.key for alert in alerts])
        taken = {id(alert) for alert in alerts}
        # What came meanwhile may have made the oldest give way.
        while self._waiting and id(self._waiting[0]) in taken:
            self._take_oldest()
        return True

    def _take_oldest(self) -> Alert:
        alert = self._waiting.popleft()
        self._keys.discard(alert.key)
        return alert

    async def _tell_otherwise(self) -> None:
        if self._on_away is None:
            return
        for alert in list(self._waiting):
            if not alert.told:
                alert.told = await self._on_away(alert)
