"""What a router tells by itself: the urgent, on each channel once, whichever of them fail at first."""

from __future__ import annotations

import structlog
from gateway.v1.ledger_pb2 import Alert

from router.alerts.direct import Direct
from services.alerting import LEDGER_LAG, SLOW
from services.sender import Later


class Channels:
    """Two, of which those in `down` take nothing."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.down: set[str] = set()

    def names(self, alert_type: str) -> list[str]:
        return ["slack", "email"]

    async def tell(self, channel: str, alert: Alert) -> None:
        if channel in self.down:
            raise Later("down")
        self.told.append(channel)


async def test_the_urgent_is_told_once_a_channel() -> None:
    channels, now = Channels(), [0.0]
    direct = Direct(channels, lambda: now[0], structlog.get_logger())
    alert = Alert(key="lag", type=LEDGER_LAG, quiet_seconds=10)
    channels.down = {"email"}
    assert [await direct.tell(alert) for _ in range(3)] == [False] * 3
    channels.down = set()
    assert [await direct.tell(alert) for _ in range(3)] == [True] * 3
    assert channels.told == ["slack", "email"]
    now[0] = 10.0
    assert await direct.tell(alert)
    assert channels.told == ["slack", "email"] * 2


async def test_all_else_waits_for_the_ledger() -> None:
    channels = Channels()
    assert not await Direct(channels, lambda: 0.0, structlog.get_logger()).tell(Alert(key="slow", type=SLOW))
    assert channels.told == []
