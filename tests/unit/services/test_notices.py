"""Alerts on their way to the ledger: none is lost that there is room for, and none waits twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from gateway.v1 import ledger_pb2
from gateway.v1.ledger_pb2 import Alert

from services.errors import internal, unavailable
from services.inprocess import InProcessChannel
from services.methods import NOTIFY
from services.notices import MAX_WAITING, Notices

LOG = structlog.get_logger()


class Ledger:
    """Takes alerts, or raises `error`."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0
        self.taken: list[Alert] = []
        self.channel = InProcessChannel({NOTIFY: self.notify}, LOG)

    async def notify(self, request: ledger_pb2.NotifyRequest) -> ledger_pb2.NotifyResponse:
        self.asked += 1
        if self.error is not None:
            raise self.error
        self.taken += request.alerts
        return ledger_pb2.NotifyResponse()


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture
async def ledger():
    made = Ledger()
    yield made
    await made.channel.close()


async def test_what_comes_while_no_ledger_answers_comes_later_and_once(ledger: Ledger) -> None:
    ledger.error = unavailable("away")
    notices = Notices(ledger.channel, LOG, pause_seconds=0.01)
    for number in range(MAX_WAITING + 5):
        notices.tell(Alert(key=str(number)))
        notices.tell(Alert(key=str(number)))
    task = asyncio.create_task(notices.run())
    await until(lambda: ledger.asked >= 3)
    ledger.error = None
    await until(lambda: len(ledger.taken) >= MAX_WAITING)
    # The oldest gave way.
    assert [alert.key for alert in ledger.taken] == [str(number) for number in range(5, MAX_WAITING + 5)]
    notices.tell(Alert(key="7"))
    await until(lambda: ledger.taken[-1].key == "7")
    task.cancel()


async def test_what_a_ledger_refuses_keeps_nothing_back(ledger: Ledger) -> None:
    ledger.error = internal()
    notices = Notices(ledger.channel, LOG, pause_seconds=0.01)
    task = asyncio.create_task(notices.run())
    notices.tell(Alert(key="bad"))
    await until(lambda: ledger.asked)
    ledger.error = None
    notices.tell(Alert(key="good"))
    await until(lambda: ledger.taken)
    assert [alert.key for alert in ledger.taken] == ["good"]
    task.cancel()


async def test_what_was_told_otherwise_is_handed_over_as_told(ledger: Ledger) -> None:
    ledger.error = unavailable("away")
    tried: list[str] = []

    async def otherwise(alert: Alert) -> bool:
        tried.append(alert.key)
        return len(tried) > 2

    notices = Notices(ledger.channel, LOG, otherwise, pause_seconds=0.01)
    task = asyncio.create_task(notices.run())
    notices.tell(Alert(key="a"))
    await until(lambda: ledger.asked >= 6)
    ledger.error = None
    await until(lambda: ledger.taken)
    assert (ledger.taken[0].told, tried) == (True, ["a"] * 3)
    task.cancel()
