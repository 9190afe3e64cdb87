"""Puts the keystore together."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets as randomness
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import NoReturn

from keystore.admission import Admission
from keystore.announcer import Announcer
from keystore.budget_watch import BudgetWatch
from keystore.counters import Counters
from keystore.exchange import AdmissionService
from keystore.extensions import Extensions
from keystore.identity import IdentityService
from keystore.inspection import Inspection
from keystore.keys import Keys
from keystore.metrics import KeystoreMetrics
from keystore.owner_service import OwnersService
from keystore.peers import Peers
from keystore.policy.defaults import Defaults
from keystore.policy.standing import Standings
from keystore.policy.terms import Terms
from keystore.rebuild import Rebuild
from keystore.reconciler import Reconciler
from keystore.rotation import Rotation
from keystore.secrets import Tokens
from keystore.service import KeysService
from keystore.spending import Spending
from keystore.store import OTHER_PEPPER, Store
from services.alerting import BUDGETS
from services.default_terms import DefaultTerms, OwnerSettings
from services.errors import GatewayError
from services.lifecycle import Role, Runtime
from services.notices import Notices
from services.process import StartError
from services.redis import RedisServer
from services.transport import Handlers

# How long a start waits for PostgreSQL to say which pepper it knows.
PEPPER_SECONDS = 1.0


def build(runtime: Runtime) -> Role:
    """The keystore of a process. Its schema is migrated beforehand (`tollhouse migrate`, `tollhouse up`)."""
    settings, log = runtime.settings, runtime.log.bind(role="keystore")
    tokens = Tokens(settings.pepper)
    store = Store(settings.database_url, tokens.fingerprint)
    server = RedisServer(settings.redis_url)
    keys = Keys(store, time.monotonic, log)
    standings = Standings(keys.directory, defaults_of(runtime.config.owners))
    peers = Peers(standings.set_groups)
    counters = Counters(server, settings.hold_lease_seconds)
    spending = Spending(runtime.channels["ledger"], counters, standings, _now_ms)
    rebuild = Rebuild(
        counters=counters,
        keys=keys,
        store=store,
        peers=peers,
        spending=spending,
        standings=standings,
        lease_seconds=settings.hold_lease_seconds,
        new_epoch=lambda: randomness.token_hex(8),
        log=log,
    )
    metrics = KeystoreMetrics(runtime.registry)
    reconciler = Reconciler(
        counters=Inspection(server, counters, randomness.token_hex(8)),
        sum_spent=spending.sum,
        metrics=metrics,
        log=log,
        now_ms=_now_ms,
    )
    notices, watch = Notices(runtime.channels["ledger"], log), None
    alerting = runtime.config.general_settings.alerting
    if alerting is not None and BUDGETS in alerting.types:
        watch = BudgetWatch(counters=counters, sum_spent=spending.sum, tell=notices.tell, clock=time.monotonic, log=log)
    admission = Admission(
        keys=keys,
        tokens=tokens,
        peers=peers,
        counters=counters,
        seed=spending.seed,
        standings=standings,
        now_ms=_now_ms,
        metrics=metrics,
        log=log,
        watch=watch,
    )
    extensions = Extensions(keys, counters, standings, metrics, log)
    announcer = Announcer(keys, counters, log)
    rotation = Rotation(
        store=store,
        tokens=tokens,
        announcer=announcer,
        grace_seconds=settings.rotation_grace_seconds,
        now_ms=_now_ms,
        log=log,
    )
    identity = IdentityService(
        store=store, keys=keys, standings=standings, counters=counters, tokens=tokens, now_ms=_now_ms
    )
    handlers = {
        **_administration(store, keys, tokens, announcer, spending, standings),
        **identity.handlers,
        **AdmissionService(admission, extensions, peers, counters, rebuild).handlers,
    }
    watching = [notices.run, watch.run] if watch is not None else []
    return KeystoreRole(store, server, keys, admission, extensions, rebuild, reconciler, rotation, handlers, watching)


def _administration(
    store: Store,
    keys: Keys,
    tokens: Tokens,
    announcer: Announcer,
    spending: Spending,
    standings: Standings,
) -> Handlers:
    service = KeysService(
        store=store,
        keys=keys,
        tokens=tokens,
        announcer=announcer,
        spending=spending,
        standings=standings,
        now_ms=_now_ms,
    )
    owners = OwnersService(
        store=store,
        announcer=announcer,
        spending=spending,
        standings=standings,
        new_id=lambda: str(uuid.uuid4()),
        now_ms=_now_ms,
    )
    return {**service.handlers, **owners.handlers}


class KeystoreRole:
    """Starts while PostgreSQL or Redis is away; it then refuses what needs them."""

    def __init__(
        self,
        store: Store,
        server: RedisServer,
        keys: Keys,
        admission: Admission,
        extensions: Extensions,
        rebuild: Rebuild,
        reconciler: Reconciler,
        rotation: Rotation,
        handlers: Handlers,
        watching: Sequence[Callable[[], Coroutine[None, None, NoReturn]]] = (),
    ) -> None:
        self._watching = watching
        self._store = store
        self._server = server
        self._keys = keys
        self._admission = admission
        self._extensions = extensions
        self._rebuild = rebuild
        self._reconciler = reconciler
        self._rotation = rotation
        self._handlers = handlers
        self._tasks: list[asyncio.Task[NoReturn]] = []

    @property
    def handlers(self) -> Handlers:
        return self._handlers

    async def start(self) -> None:
        await self._store.open()
        await self._check_pepper()
        # A new installation, or one whose counters are there, is ready with this.
        await self._rebuild.look()
        # All keys, if that is done in a second; else they are read while the first calls come.
        await self._keys.reach(0)
        loops: list[Coroutine[None, None, NoReturn]] = [
            self._keys.run(),
            self._rebuild.run(),
            self._rebuild.see_routers(),
            self._admission.run(),
            self._extensions.run(),
            self._reconciler.run(),
            self._rotation.run(),
            *(run() for run in self._watching),
        ]
        self._tasks = [asyncio.get_running_loop().create_task(each) for each in loops]

    async def _check_pepper(self) -> None:
        try:
            async with asyncio.timeout(PEPPER_SECONDS):
                is_ours = await self._store.has_our_pepper()
        except (GatewayError, TimeoutError):
            return  # the store looks again before it is used
        if not is_ours:
            raise StartError(OTHER_PEPPER)

    async def stop(self) -> None:
        # Settlements that still wait are not acknowledged: their routers keep them.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._admission.stop()
        await self._keys.stop()
        await self._server.close()
        self._store.close()


def defaults_of(owners: OwnerSettings) -> Defaults:
    """What the configuration says, as policy has it. A user has no default beside those that users are made with."""
    return Defaults(
        gateway=_terms(owners.gateway),
        key=_terms(owners.key),
        team=_terms(owners.team),
        customer=_terms(owners.customer),
        user_pays_for_team_keys=owners.user_pays_for_team_keys,
        strict=owners.strict_budgets,
        zone=owners.timezone,
    )


def _terms(default: DefaultTerms) -> Terms:
    return Terms(**dataclasses.asdict(default))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
