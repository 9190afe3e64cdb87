"""Real gateways for integration tests: `tollhouse` processes on the session's embedded servers.

gateway = await stack(CONFIG)                   everything in one process
gateway = await stack(CONFIG, shape="split")    a process a role, over gRPC
gateway.base_url, gateway.master_key            drive it
await gateway.kill("router"); await gateway.start("router")    it comes back where it was
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog

from services.embedded.postgres import EmbeddedPostgres
from services.embedded.valkey import EmbeddedValkey
from services.migrations import migrate_all
from tests.stores import lasting, new_database

# A start takes a second or two; on a machine that runs other things as well, several times that.
READY_SECONDS = 60
STOP_SECONDS = 60

# Both ways to run the whole; for `@pytest.mark.parametrize("shape", ...)`.
SHAPES = ("one", "split")
ROLES = ("ledger", "keystore", "router", "edge")

# Below what Linux, macOS and the BSDs give to connections and to listeners that name no port.
_PORTS = range(10_000, 32_000)
_steps = itertools.count(random.randrange(len(_PORTS)))


class Gateway:
    """A running gateway. Its processes go by name: `up` in shape "one"; else the roles, and `router-2`, `edge-2` ..."""

    def __init__(self, folder: Path, environ: Mapping[str, str], commands: Mapping[str, list[str]]) -> None:
        self.master_key = environ["LITELLM_MASTER_KEY"]
        self.folder = folder
        self.processes: dict[str, Process] = {}
        self._environ = environ
        self.commands = commands
        # Of processes that have an address for it.
        self.metrics_ports: dict[str, int | None] = {}
        self._http_ports: dict[str, int] = {}

    @property
    def base_url(self) -> str:
        """Where the first edge listens, also after it has come back."""
        return self.url("up" if "up" in self.commands else "edge")

    def url(self, name: str) -> str:
        """Where one of the edges listens."""
        return f"http://127.0.0.1:{self._http_ports[name]}"

    @property
    def headers(self) -> dict[str, str]:
        """The master key, as a caller sends it."""
        return {"Authorization": f"Bearer {self.master_key}"}

    async def start(self, name: str) -> None:
        """Start a process that does not run; returns when it is ready."""
        read, write = os.pipe()
        port = str(self._http_ports.get(name) or _free_port())
        command = [argument.replace("HTTP_PORT", port) for argument in self.commands[name]]
        with self.log_file(name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services", *command[1:]),
                env={**self._environ, "TOLLHOUSE_READY_FD": str(write), "TOLLHOUSE_GRPC_LISTEN": command[0]},
                cwd=self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write,),
            )
        os.close(write)
        self.processes[name] = process
        with os.fdopen(read) as ready:
            line = await asyncio.wait_for(asyncio.to_thread(ready.readline), READY_SECONDS)
        if not line:
            raise RuntimeError(f"{name} ended with {await process.wait()}:\n{self.log_file(name).read_text()[-4000:]}")
        ports = json.loads(line)
        if ports["http"]:
            self._http_ports[name] = ports["http"]
        self.metrics_ports[name] = ports["metrics"]

    async def stop(self, name: str) -> int:
        """End a process in order (SIGTERM); its exit status. One that hangs is killed, and TimeoutError says so."""
        process = self.processes.pop(name)
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise

    async def kill(self, name: str) -> None:
        """End a process as a crash would (SIGKILL)."""
        process = self.processes.pop(name)
        process.kill()
        await process.wait()

    def log_file(self, name: str) -> Path:
        """What a process has printed, over all its starts."""
        return self.folder / f"{name}.log"

    def logs(self, name: str) -> list[dict[str, Any]]:
        """The events that a process has logged."""
        return [json.loads(line) for line in self.log_file(name).read_text().splitlines() if line.startswith("{")]

    async def close(self) -> None:
        """End all that still run, callers before those they call."""
        order = sorted(self.processes, key=lambda name: ROLES.index(name.partition("-")[0]) if name != "up" else 0)
        for name in reversed(order):
            await self.stop(name)


class StartGateway(Protocol):
    """What the fixture `stack` gives. environ: further variables, or others' values, for all processes."""

    async def __call__(
        self,
        config: str,
        *,
        shape: str = "one",
        edges: int = 1,
        routers: int = 1,
        keystores: int = 1,
        ledgers: int = 1,
        environ: Mapping[str, str] | None = None,
    ) -> Gateway:
        """Start a gateway on an empty database and an empty Valkey; ready when it returns."""


class ShareGateway(Protocol):
    """What the fixture `shared_stack` gives; its arguments are those of StartGateway."""

    def __call__(self, config: str, **how: Any) -> AbstractAsyncContextManager[Gateway]:
        """A gateway on stores of its own, for as long as the context lasts."""


@pytest.fixture
async def stack(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[StartGateway]:
    """Starts gateways; all of them are ended with the test. One at a time, for they share the test's database."""
    async with _starting(database_url, redis_url, tmp_path) as start_gateway:
        yield start_gateway


@pytest.fixture(scope="session")
def shared_stack(
    embedded_postgres: EmbeddedPostgres, embedded_valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> ShareGateway:
    """For gateways that the tests of a module share: a fixture of that scope holds the context open."""

    @asynccontextmanager
    async def shared(config: str, **how: Any) -> AsyncIterator[Gateway]:
        redis_url = lasting(embedded_valkey.redis_url)
        async with (
            new_database(embedded_postgres) as database_url,
            _starting(database_url, redis_url, tmp_path_factory.mktemp("shared")) as start_gateway,
        ):
            yield await start_gateway(config, **how)

    return shared


@asynccontextmanager
async def _starting(database_url: str, redis_url: str, parent: Path) -> AsyncIterator[StartGateway]:
    gateways: list[Gateway] = []
    numbers = itertools.count(1)

    async def start_gateway(
        config: str,
        *,
        shape: str = "one",
        edges: int = 1,
        routers: int = 1,
        keystores: int = 1,
        ledgers: int = 1,
        environ: Mapping[str, str] | None = None,
    ) -> Gateway:
        folder = parent / f"gateway-{next(numbers)}"
        folder.mkdir()
        (folder / "config.yaml").write_text(config)
        addresses = _addresses({"ledger": ledgers, "keystore": keystores, "router": routers, "edge": edges})
        variables = _environment(database_url, redis_url, addresses) | dict(environ or {})
        gateway = Gateway(folder, variables, _commands(shape, addresses))
        gateways.append(gateway)
        if shape == "split":
            # As `tollhouse migrate` does, which tests/integration/test_serve.py runs itself.
            await migrate_all(variables["DATABASE_URL"], structlog.get_logger(), wait_seconds=READY_SECONDS)
        for name in gateway.commands:
            await gateway.start(name)
        return gateway

    try:
        yield start_gateway
    finally:
        for gateway in gateways:
            await gateway.close()


def _addresses(counts: Mapping[str, int]) -> dict[str, str]:
    """Where each process offers its roles; chosen beforehand, so that it can come back there."""
    names = [name if number == 1 else f"{name}-{number}" for name in ROLES for number in range(1, counts[name] + 1)]
    return {name: f"127.0.0.1:{_free_port()}" for name in names}


def _free_port() -> int:
    """A port that stays free until its process comes, also while that is away: the system gives out no port of this
    range by itself, and another run of the suite begins elsewhere in it."""
    while True:
        port = _PORTS[next(_steps) % len(_PORTS)]
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


def _environment(database_url: str, redis_url: str, addresses: Mapping[str, str]) -> dict[str, str]:
    """Nothing of this process's own but what finds programs: a key in it must not reach a provider."""

    def of(role: str) -> str:
        return ",".join(address for name, address in addresses.items() if name.partition("-")[0] == role)

    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "LITELLM_MASTER_KEY": "sk-master-of-this-test",
        "TOLLHOUSE_INTERNAL_TOKEN": "internal-token-of-this-test",
        "TOLLHOUSE_PEPPER": "pepper-of-this-test",
        "TOLLHOUSE_DATA": "data",
        "TOLLHOUSE_ROUTERS": of("router"),
        "TOLLHOUSE_KEYSTORE": of("keystore"),
        "TOLLHOUSE_LEDGER": of("ledger"),
    }


def _commands(shape: str, addresses: Mapping[str, str]) -> dict[str, list[str]]:
    """By process, in the order in which they start: its own gRPC address, then its command line."""
    options = ["--config", "config.yaml", "--port", "HTTP_PORT"]
    if shape == "one":
        return {"up": ["127.0.0.1:0", "up", *options]}
    return {name: [address, "serve", name.partition("-")[0], *options] for name, address in addresses.items()}
