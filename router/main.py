"""Wires the router."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from router.accounting import Accounting
from router.alerts.direct import Direct
from router.alerts.watch import Watch
from router.call import Caller
from router.catalog import Catalog, Deployment
from router.catalog import build as build_catalog
from router.credentials import Credentials
from router.delivery import CONSUMER as LEDGER_CONSUMER
from router.delivery import LedgerDelivery
from router.engine import Engine
from router.estimates import Estimates
from router.extensions import Extensions
from router.health import HealthChecks
from router.live import LiveHolds
from router.metrics import CallMetrics, OutboxMetrics
from router.mock import MockTransport
from router.outbox import Adoption, Outbox
from router.providers.prices import load_price_table
from router.routing.health import Health
from router.routing.plan import Policy
from router.selection import STRATEGIES, Observer, Selection
from router.service import InferenceService
from router.settlement import Settlement
from router.transport import HttpTransport
from router.wire import WHOLE_WIRES, WIRES
from services.alert_channels import AlertChannels
from services.errors import unavailable
from services.ids import IdMint
from services.lifecycle import Runtime
from services.methods import CHECK_HEALTH, ESTIMATE_COST, INFERENCE, PRICE_USAGES
from services.notices import Notices
from services.router_settings import RouterSettings
from services.sender import Sender
from services.transport import Handlers

# Of the 10 s that a role has to stop: open calls first, then what they left in the outbox.
DRAIN_SECONDS = 6.0
DELIVER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is made in `start`, inside the event loop and with the data folder at hand."""

    outbox: Outbox
    adoption: Adoption
    delivery: LedgerDelivery
    settlement: Settlement
    transport: HttpTransport
    credentials: Credentials
    engine: Engine
    # What runs beside, where operators are told.
    watching: Sequence[Callable[[], Coroutine[None, None, NoReturn]]]
    direct: Direct | None
    # An engine over another catalog.
    engine_over: Callable[[Callable[[], Catalog], Selection], Engine]


class Router:
    """The router: holds the outbox, and the connections to providers."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._catalog = Catalog({})
        self._live = LiveHolds()
        self._service = InferenceService(self._run, lambda: self._catalog.to_proto(), self._live, runtime.log)
        self._health = HealthChecks(lambda: self._catalog, self._run_at, IdMint())
        self._estimates = Estimates(lambda: self._catalog)
        self._parts: _Parts | None = None
        self._watching: list[asyncio.Task[NoReturn]] = []

    @property
    def handlers(self) -> Handlers:
        """The data plane, checks of it, and its prices."""
        return {
            INFERENCE: self._service.exchange,
            CHECK_HEALTH: self._health.check,
            ESTIMATE_COST: self._estimates.estimate,
            PRICE_USAGES: self._estimates.price,
        }

    async def start(self) -> None:
        """Read prices, open the outbox, begin to deliver. ConfigError names an entry that cannot be meant."""
        self._catalog = await asyncio.to_thread(_build_catalog, self._runtime)
        for line in self._catalog.left_out:
            self._runtime.log.warning("deployment_left_out", reason=line)
        strategy = self._runtime.config.router_settings.routing_strategy
        if strategy not in STRATEGIES:
            self._runtime.log.warning("routing_strategy_not_acted_on_yet", asked=strategy, used=STRATEGIES[0])
        self._parts = parts = self._make_parts()
        await parts.adoption.start()
        await parts.delivery.start()
        await parts.settlement.start()
        self._watching = [asyncio.get_running_loop().create_task(run()) for run in parts.watching]

    async def stop(self) -> None:
        """Let open calls end, deliver what they left, then end."""
        parts = self._parts
        if parts is None:
            return
        await self._health.stop()
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        if parts.direct is not None:
            await parts.direct.close()
        await self._service.drain(DRAIN_SECONDS)
        await parts.adoption.stop()
        await asyncio.gather(parts.settlement.stop(DELIVER_SECONDS), parts.delivery.stop(DELIVER_SECONDS))
        await parts.transport.close()
        await parts.credentials.close()
        parts.outbox.close()

    async def _run(self, caller: Caller) -> None:
        if self._parts is None:
            raise unavailable("This router is starting; try again.")
        await self._parts.engine.run(caller)

    async def _run_at(self, deployment: Deployment, caller: Caller) -> None:
        if self._parts is None:
            raise unavailable("This router is starting; try again.")
        alone = Catalog({deployment.group: (deployment,)})
        # A check asks this deployment and no other, once.
        await self._parts.engine_over(lambda: alone, _selection(RouterSettings(num_retries=0))).run(caller)

    def _make_parts(self) -> _Parts:
        runtime = self._runtime
        metrics = OutboxMetrics(runtime.registry)
        outbox = Outbox(runtime.settings.data / "outbox", metrics=metrics, log=runtime.log)
        transport = HttpTransport()
        credentials = Credentials(os.environ)
        mock = MockTransport(lambda: uuid.uuid4().hex, time.time)
        extensions = Extensions(self._live)
        watch, watching, direct = self._make_watch(outbox)
        accounting = Accounting(
            outbox,
            CallMetrics(runtime.registry),
            runtime.log,
            slow_ms=watch.slow_ms if watch is not None else None,
            slow=watch.slow if watch is not None else None,
        )

        wires = {name: make(time.time) for name, make in WIRES.items()}

        def engine_over(catalog: Callable[[], Catalog], selection: Selection) -> Engine:
            return Engine(
                catalog=catalog,
                wires=wires,
                transport=transport,
                mock=mock,
                accounting=accounting,
                selection=selection,
                extend=extensions.extend,
                clock=time.monotonic,
                signers=credentials.signers,
                whole_wires=WHOLE_WIRES,
            )

        return _Parts(
            outbox=outbox,
            adoption=Adoption(outbox, metrics, runtime.log),
            delivery=LedgerDelivery(runtime.channels["ledger"], outbox, runtime.log),
            settlement=Settlement(
                channel=runtime.channels["keystore"],
                outbox=outbox,
                live=self._live,
                extensions=extensions,
                catalog=lambda: self._catalog.to_proto(),
                router_id=uuid.uuid4().hex,
                lease_seconds=runtime.settings.hold_lease_seconds,
                log=runtime.log,
            ),
            transport=transport,
            credentials=credentials,
            engine=engine_over(lambda: self._catalog, _selection(runtime.config.router_settings, watch)),
            engine_over=engine_over,
            watching=watching,
            direct=direct,
        )

    def _make_watch(
        self, outbox: Outbox
    ) -> tuple[Watch | None, Sequence[Callable[[], Coroutine[None, None, NoReturn]]], Direct | None]:
        """Who looks for what operators are told, what it runs, and who tells them without a ledger."""
        runtime = self._runtime
        alerting = runtime.config.general_settings.alerting
        if alerting is None:
            return None, (), None
        direct = Direct(AlertChannels(alerting, Sender()), time.monotonic, runtime.log)
        notices = Notices(runtime.channels["ledger"], runtime.log, direct.tell)
        watch = Watch(
            alerting=alerting,
            cooldown_seconds=runtime.config.router_settings.cooldown_time,
            tell=notices.tell,
            clock=time.monotonic,
            now_ms=lambda: time.time_ns() // 1_000_000,
            log=runtime.log,
        )
        look = functools.partial(watch.run, self._service.unanswered, lambda: outbox.waiting(LEDGER_CONSUMER))
        return watch, (notices.run, look), direct


def _selection(settings: RouterSettings, observer: Observer | None = None) -> Selection:
    fallbacks = dict(settings.fallbacks)
    if settings.default_fallbacks:
        fallbacks.setdefault("*", settings.default_fallbacks)
    policy = Policy(
        num_retries=settings.num_retries,
        retry_after_seconds=settings.retry_after,
        fallbacks=fallbacks,
        max_fallbacks=settings.max_fallbacks,
        aliases={name: alias.groups for name, alias in settings.model_group_alias.items()},
    )
    return Selection(
        policy,
        strategy=settings.routing_strategy,
        health=Health(cooldown_seconds=settings.cooldown_time, allowed_fails=settings.allowed_fails),
        randomness=random.SystemRandom(),
        clock=time.monotonic,
        observer=observer,
    )


def _build_catalog(runtime: Runtime) -> Catalog:
    prices = functools.cache(lambda: load_price_table(datetime.now(UTC)))
    return build_catalog(runtime.config, os.environ, prices)


def build(runtime: Runtime) -> Router:
    """The router of this process."""
    return Router(runtime)
