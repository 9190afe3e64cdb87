"""Alerts of ledgers on one database: kept once, told until they are taken, and reports of what was spent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from gateway.v1 import ledger_pb2
from gateway.v1.ledger_pb2 import Alert
from prometheus_client import CollectorRegistry

from ledger.alerts.reporter import Reporter
from ledger.alerts.service import AlertService
from ledger.alerts.store import AlertStore
from ledger.alerts.teller import Teller
from ledger.main import build
from ledger.store import Store
from services.alert_channels import AlertChannels
from services.alerting import BUDGETS, Alerting
from services.config import Config, GeneralSettings
from services.durations import parse
from services.errors import GatewayError
from services.ids import IdMint
from services.inprocess import InProcessChannel
from services.lifecycle import Runtime
from services.methods import LIST_ALERTS, NOTIFY, RECORD
from services.sender import Sender
from services.settings import Settings
from tests.alert_receivers import Told, until

LOG = structlog.get_logger()
DAY = timedelta(days=1)


def alert(key: str = "a", **members) -> Alert:
    return Alert(
        **({"key": key, "type": BUDGETS, "title": "A budget", "text": "is spent", "event_json": "{}"} | members)
    )


def alerting(told: Told, **members) -> Alerting:
    return Alerting(slack_urls={"": (f"{told.base_url}/slack",)}, webhook_url=f"{told.base_url}/webhook", **members)


@pytest.fixture
def kept(store: Store) -> AlertStore:
    return AlertStore(store.pool)


@pytest.fixture
async def teller(kept: AlertStore, told: Told) -> AsyncIterator[Callable[..., Teller]]:
    """Starts tellers, as many as there are ledgers."""
    made: list[Teller] = []

    def start(**how) -> Teller:
        one = Teller(kept, AlertChannels(alerting(told), Sender()), LOG, first_pause_seconds=0.01, **how)
        one.start()
        made.append(one)
        return one

    yield start
    for one in made:
        await one.stop()


async def test_what_many_notice_is_kept_and_told_once(kept: AlertStore, teller, told: Told) -> None:
    service = AlertService(kept, alerting(told))
    request = ledger_pb2.NotifyRequest(alerts=[alert(str(number)) for number in range(20)])
    noted = await asyncio.gather(*(service.notify(request) for _ in range(5)))
    assert sum(each.noted for each in noted) == 20
    for _ in range(3):
        teller()
    await until(lambda: len(told.slack) >= 20 and len(told.webhook) >= 20)
    await asyncio.sleep(1.5)
    assert (len(told.slack), len(told.webhook)) == (20, 20)


async def test_what_may_happen_again_is_told_again_once_it_was_quiet(kept: AlertStore, told: Told) -> None:
    service = AlertService(kept, alerting(told))
    again = alert("again", quiet_seconds=2)
    assert await service.note(again)
    assert not await service.note(again)
    async with asyncio.timeout(20):
        while not await service.note(again):
            await asyncio.sleep(0.2)
    first, second = [row.noted_ms for row in (await kept.list("", 10, 0)) if row.channel == "slack"][::-1]
    assert second - first >= 2_000


async def test_a_receiver_that_never_takes_it_is_given_up_and_others_are_told(
    kept: AlertStore, teller, told: Told
) -> None:
    told.status = 500
    await AlertService(kept, alerting(told)).note(alert())
    one = teller(max_attempts=3)
    await until(lambda: told.refused >= 6)
    await asyncio.sleep(1.5)
    rows = await kept.list("", 10, 0)
    assert [(row.attempts, row.given_up, row.last_error) for row in rows] == [(3, True, "its receiver answers 500")] * 2
    told.status = 200
    await AlertService(kept, alerting(told)).note(alert("b"))
    await until(lambda: told.slack and told.webhook)
    await one.stop()


async def test_a_receiver_that_hangs_keeps_no_other(kept: AlertStore, teller, told: Told) -> None:
    told.hangs = "/webhook"
    for number in range(3):
        await AlertService(kept, alerting(told)).note(alert(str(number)))
    teller()
    async with asyncio.timeout(10):
        while len(told.slack) < 3:
            await asyncio.sleep(0.05)
    assert told.webhook == []
    await AlertService(kept, alerting(told)).note(alert("later"))
    async with asyncio.timeout(10):
        while len(told.slack) < 4:
            await asyncio.sleep(0.05)


async def test_what_was_told_elsewhere_is_only_kept(kept: AlertStore, teller, told: Told) -> None:
    await AlertService(kept, alerting(told)).note(alert(told=True))
    teller()
    await asyncio.sleep(1.5)
    assert not told.slack
    assert all(row.delivered_ms for row in await kept.list("", 10, 0))


@pytest.mark.parametrize(
    "members", [{"key": ""}, {"type": "gossip"}, {"title": "x" * 301}, {"text": "\0"}, {"quiet_seconds": -1}]
)
async def test_what_is_no_alert_is_refused(kept: AlertStore, told: Told, members) -> None:
    with pytest.raises(GatewayError):
        await AlertService(kept, alerting(told)).notify(ledger_pb2.NotifyRequest(alerts=[alert(**members)]))


async def test_a_day_that_is_over_is_reported_once_by_all_ledgers(
    ledger_url: str, store: Store, told: Told, new_entry, acknowledged
) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday, before = ((midnight - DAY / 2).timestamp(), (midnight - DAY * 1.5).timestamp())
    general = GeneralSettings(alerting=alerting(told, report_frequency="1d"))

    def ledger():
        runtime = Runtime(
            Config(general_settings=general), Settings(database_url=ledger_url), LOG, CollectorRegistry(), {}
        )
        return build(runtime)

    first = ledger()
    await first.start()
    channel = InProcessChannel(first.handlers, LOG)
    link = await channel.exchange(RECORD, timeout_seconds=5)
    minted = [IdMint(lambda: yesterday).new() for _ in range(3)] + [IdMint(lambda: before).new(), IdMint().new()]
    for sequence, dispatch_id in enumerate(minted, 1):
        entry = new_entry(dispatch_id=dispatch_id, cost_nano_usd=2_000_000_000, tags=("x",))
        link.send(ledger_pb2.RecordFrame(sequence=sequence, entry=entry))
    await acknowledged(link, len(minted))
    # As two ledgers that start, or whose day ends, now.
    at = max(time.time(), midnight.timestamp() + 400)
    for _ in range(2):
        note = AlertService(AlertStore(store.pool), general.alerting).note
        await Reporter(store.query_spend, note, parse("1d"), lambda: at, LOG).look()
    await until(lambda: told.slack and told.webhook)
    await asyncio.sleep(1.5)
    (report,) = told.webhook
    assert (report["event"], report["spend"], report["calls"]) == ("spend_report", 6.0, 3)
    assert report["start"] == (midnight - DAY).isoformat()
    assert report["teams"] == [{"name": "team", "spend": 6.0, "calls": 3}]
    assert [row["name"] for row in report["tags"] + report["models"]] == ["x", "gpt"]
    assert len(told.slack) == 1
    listed = await channel.call(LIST_ALERTS, ledger_pb2.ListAlertsRequest(type="spend_reports"), timeout_seconds=5)
    assert {row.channel for row in listed.alerts} == {"slack", "webhook"}
    assert (await channel.call(NOTIFY, ledger_pb2.NotifyRequest(), timeout_seconds=5)).noted == 0
    await link.close()
    await channel.close()
    await first.stop()
