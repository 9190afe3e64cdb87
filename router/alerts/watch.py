"""What a router looks at, and has told. On the path of a call it costs a comparison; the rest is beside it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from gateway.v1 import ledger_pb2, router_pb2
from gateway.v1.ledger_pb2 import Alert
from structlog.typing import FilteringBoundLogger

from router.alerts.lag import Lag
from router.alerts.outages import Outages
from router.alerts.words import hanging_alert, lag_alert, lag_over_alert, outage_alert, slow_alert
from router.catalog import Deployment
from services.alerting import HANGING, LEDGER_LAG, SLOW, Alerting
from services.errors import GatewayError
from services.ids import millis_of

LOOK_SECONDS = 5.0
SLOW_SECONDS = 60.0
MAX_GROUPS = 10_000


class Watch:
    """tell: has an alert told. clock: seconds that only go forward. now_ms: the wall clock, as dispatch ids have it."""

    def __init__(
        self,
        *,
        alerting: Alerting,
        cooldown_seconds: float,
        tell: Callable[[Alert], None],
        clock: Callable[[], float],
        now_ms: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self._alerting = alerting
        self._outages = Outages(cooldown_seconds)
        self._lag = Lag()
        self._lags = False
        # By model group, until when its slow calls are not worth a word.
        self._slow_until: dict[str, float] = {}
        self._tell = tell
        self._clock = clock
        self._now_ms = now_ms
        self._log = log

    @property
    def slow_ms(self) -> int | None:
        """What takes longer is `slow`; None: nobody wants to know."""
        return int(self._alerting.threshold_seconds * 1000) if SLOW in self._alerting.types else None

    def slow(self, entry: ledger_pb2.Entry) -> None:
        """A call has ended that took long. Of those of one group the ledger hears now and then."""
        now = self._clock()
        if now < self._slow_until.get(entry.model_group, 0.0):
            return
        if len(self._slow_until) >= MAX_GROUPS:
            self._slow_until.clear()
        self._slow_until[entry.model_group] = now + SLOW_SECONDS
        self._tell(slow_alert(entry, self._alerting.threshold_seconds))

    def failed(self, deployment: Deployment, error: GatewayError, awake: Sequence[str], *, alone: bool) -> None:
        """A deployment has failed so that it rests, or would if it were not alone. awake: those of its group."""
        for news in self._outages.failed(deployment.id, deployment.group, awake, self._clock(), alone=alone):
            self._tell_of(outage_alert(news, deployment, error))

    def answered(self, deployment: Deployment) -> None:
        """A deployment has answered that had failed before."""
        for news in self._outages.answered(deployment.id, deployment.group, self._clock()):
            self._tell_of(outage_alert(news, deployment))

    async def run(
        self, unanswered: Callable[[], Iterable[router_pb2.Open]], waiting: Callable[[], tuple[int, int]]
    ) -> NoReturn:
        """Look after look. unanswered: open calls without a head. waiting: the sequences of the youngest entry, and of
        the last that the ledger has acknowledged."""
        alerting = self._alerting
        pause = min(LOOK_SECONDS, alerting.threshold_seconds, alerting.ledger_lag_seconds)
        while True:
            await asyncio.sleep(pause)
            try:
                if HANGING in alerting.types:
                    self._look_at_calls(unanswered())
                if LEDGER_LAG in alerting.types:
                    self._look_at_outbox(*waiting())
            except Exception:
                self._log.exception("not_looked")

    def _look_at_calls(self, unanswered: Iterable[router_pb2.Open]) -> None:
        since_ms = self._now_ms() - int(self._alerting.threshold_seconds * 1000)
        hanging: defaultdict[str, list[bytes]] = defaultdict(list)
        for request in unanswered:
            if millis_of(request.dispatch_id) < since_ms:
                hanging[request.model].append(request.dispatch_id)
        for group, ids in hanging.items():
            self._tell(hanging_alert(group, len(ids), min(ids), self._alerting.threshold_seconds))

    def _look_at_outbox(self, youngest: int, acknowledged: int) -> None:
        waited = self._lag.seconds(youngest, acknowledged, self._clock())
        if waited > self._alerting.ledger_lag_seconds:
            self._lags = True
            self._tell(lag_alert(waited, youngest - acknowledged))
        elif self._lags and not waited:
            self._lags = False
            self._tell(lag_over_alert())

    def _tell_of(self, alert: Alert) -> None:
        if alert.type in self._alerting.types:
            self._tell(alert)
