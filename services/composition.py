"""The composition root: builds the roles of this process and the ways between them and to those elsewhere."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Sequence
from typing import cast

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from services.config import Config
from services.exposition import Exposition, watch_lag
from services.http_server import HttpServer
from services.inprocess import InProcessChannel
from services.lifecycle import ROLES, Role, Runtime
from services.process import StartError
from services.replicated import ReplicatedChannel
from services.resolve import LookUp, Replicas, fixed, look_up, watch
from services.rpc import GrpcChannel, GrpcServer
from services.settings import Settings
from services.transport import Channel

# What a role promises to need at most; one that hangs must not keep the others from ending.
STOP_SECONDS = 10.0


class Composition:
    """Some of the roles, in one process.

    Roles in it meet inside it; the others are called at the addresses in `settings`. With `offers_rpc` the process
    offers its own on `settings.grpc_listen`.
    """

    def __init__(
        self,
        roles: Sequence[str],
        config: Config,
        settings: Settings,
        log: FilteringBoundLogger,
        registry: CollectorRegistry,
        *,
        http_host: str,
        http_port: int,
        offers_rpc: bool,
        look_up: LookUp = look_up,
    ) -> None:
        self._names = [name for name in ROLES if name in roles]
        self._config = config
        self._settings = settings
        self._log = log
        self._registry = registry
        self._http = (http_host, http_port)
        self._offers_rpc = offers_rpc
        self._roles: dict[str, Role] = {}
        self._begun: list[str] = []
        self._channels: dict[str, Channel] = {}
        self._server: GrpcServer | None = None
        self._metrics_server: HttpServer | None = None
        self._watching_lag: asyncio.Task[None] | None = None
        # Unless this process is one itself. Whoever opens a way to one closes it.
        self._look_up = look_up
        self._routers = self._replicas(settings.routers)

    @property
    def http_port(self) -> int | None:
        """Where the edge listens; None without one."""
        return cast("int | None", getattr(self._roles.get("edge"), "http_port", None))

    @property
    def grpc_port(self) -> int | None:
        """Where the others find this process; None when it offers them nothing."""
        return self._server.port if self._server is not None else None

    @property
    def metrics_port(self) -> int | None:
        """Where a scraper finds this process; None unless it has an address for that."""
        return self._metrics_server.port if self._metrics_server is not None else None

    async def start(self) -> None:
        """Build and start the roles in their order, then offer them. StartError says what stands in the way."""
        self._build()
        await self._start_metrics()
        for name, role in self._roles.items():
            self._begun.append(name)
            try:
                await role.start()
            except OSError as error:
                raise StartError(f"cannot start the {name}: {error}") from error
        handlers = {method: handler for role in self._roles.values() for method, handler in role.handlers.items()}
        if self._offers_rpc and handlers:
            server = GrpcServer(
                handlers, address=self._settings.grpc_listen, token=self._settings.internal_token, log=self._log
            )
            try:
                await server.start()
            except OSError as error:
                raise StartError(str(error)) from error
            self._server = server

    async def stop(self) -> None:
        """End the roles, those first that call the others; after a start that failed, those that it had begun with."""
        for name in reversed(self._begun):
            await self._within(STOP_SECONDS, name, self._roles[name].stop())
            self._log.info("role_ended", role=name)
        if self._server is not None:
            # The roles have let their calls end; what is still open is idle.
            await self._within(STOP_SECONDS, "rpc server", self._server.stop(grace_seconds=1))
        for name, channel in reversed(self._channels.items()):
            await self._within(STOP_SECONDS, f"channel to the {name}", channel.close())
        await self._within(STOP_SECONDS, "metrics", self._stop_metrics())

    async def _start_metrics(self) -> None:
        self._watching_lag = asyncio.create_task(watch_lag(self._registry))
        if not self._settings.metrics_listen:
            return
        host, _, port = self._settings.metrics_listen.rpartition(":")
        app = Exposition(self._registry, self._settings.metrics_token)
        server = HttpServer(app, host.strip("[]"), int(port), grace_seconds=1)
        try:
            await server.start()
        except OSError as error:
            raise StartError(f"cannot listen on {self._settings.metrics_listen}: {error.strerror}") from error
        self._metrics_server = server

    async def _stop_metrics(self) -> None:
        if self._watching_lag is not None:
            self._watching_lag.cancel()
            await asyncio.wait({self._watching_lag})
        if self._metrics_server is not None:
            await self._metrics_server.stop()

    def _build(self) -> None:
        elsewhere = {"ledger": self._settings.ledger, "keystore": self._settings.keystore}
        for name in ROLES:
            if name in self._names:
                role = self._build_role(name)
                self._roles[name] = role
                here = InProcessChannel(role.handlers, self._log)
                if name == "router":
                    self._routers = fixed({"here": here})
                else:
                    self._channels[name] = here
            elif name in elsewhere:
                self._channels[name] = ReplicatedChannel(self._replicas(elsewhere[name]))

    def _replicas(self, names: Sequence[str]) -> Replicas:
        """The processes behind some `host:port`, as they come and go."""
        return Replicas(
            lambda: watch(names, self._look_up, self._log),
            lambda address: GrpcChannel(address, self._settings.internal_token),
        )

    def _build_role(self, name: str) -> Role:
        """Roles are imported by name and only here: a process loads no role that it does not run."""
        runtime = Runtime(
            config=self._config,
            settings=self._settings,
            log=self._log.bind(role=name),
            registry=self._registry,
            channels=dict(self._channels),
            routers=self._routers,
            http_host=self._http[0],
            http_port=self._http[1],
        )
        return cast("Role", importlib.import_module(f"{name}.main").build(runtime))

    async def _within(self, seconds: float, what: str, ending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(seconds):
                await ending
        except TimeoutError:
            self._log.error("stop_took_too_long", what=what, seconds=seconds)
        except Exception:
            self._log.exception("stop_failed", what=what)
