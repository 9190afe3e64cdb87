"""Tells what cannot wait for a ledger that is away, over the channels of the configuration, from this router."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.v1.ledger_pb2 import Alert
from structlog.typing import FilteringBoundLogger

from services.alert_channels import AlertChannels
from services.alerting import DEPLOYMENT_OUT, GROUP_OUT, LEDGER_LAG
from services.sender import Later

# All else waits until a ledger is there: that many routers would tell the same helps nobody.
URGENT = frozenset((LEDGER_LAG, GROUP_OUT, DEPLOYMENT_OUT))
TELL_SECONDS = 30.0


class Direct:
    """clock: seconds that only go forward."""

    def __init__(self, channels: AlertChannels, clock: Callable[[], float], log: FilteringBoundLogger) -> None:
        self._channels = channels
        self._clock = clock
        self._log = log
        # By key: the channels that have told an alert that others have not, and until when it is quiet.
        self._partly: dict[str, set[str]] = {}
        self._quiet_until: dict[str, float] = {}

    async def tell(self, alert: Alert) -> bool:
        """Tell it; whether every channel has, so that the ledger need not."""
        names = self._channels.names(alert.type)
        if alert.type not in URGENT or not names:
            return False
        now = self._clock()
        if now < self._quiet_until.get(alert.key, 0.0):
            return True
        told = self._partly.setdefault(alert.key, set())
        for name in names:
            if name not in told and await self._tell(name, alert):
                told.add(name)
        if len(told) < len(names):
            return False
        del self._partly[alert.key]
        self._quiet_until = {key: until for key, until in self._quiet_until.items() if until > now}
        self._quiet_until[alert.key] = now + alert.quiet_seconds
        return True

    async def close(self) -> None:
        """End the connections."""
        await self._channels.close()

    async def _tell(self, name: str, alert: Alert) -> bool:
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._channels.tell(name, alert)
        except Later as error:
            self._log.warning("alert_not_taken", channel=name, key=alert.key, reason=str(error))
            return False
        except TimeoutError:
            self._log.warning("alert_not_taken", channel=name, key=alert.key, reason="it takes too long")
            return False
        return True
