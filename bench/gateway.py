"""The gateway as it is shipped, in both shapes: `tollhouse up`, and a process a role on the same embedded servers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import asyncpg
import msgspec

from bench.processes import GATEWAY_CORE, get, on_core, start_tollhouse, stop_process
from bench.scenarios import INPUT_NANO_USD_PER_TOKEN, OUTPUT_NANO_USD_PER_TOKEN, SCENARIOS
from services.embedded.account import server_account
from services.embedded.postgres import EmbeddedPostgres
from services.embedded.valkey import EmbeddedValkey

SHAPES = ("one", "split")
_ROLES = ("ledger", "keystore", "router", "edge")
_MASTER_KEY = "sk-master-of-this-bench"
_INTERNAL_TOKEN = "internal-token-of-this-bench"
_PATIENCE_SECONDS = 30.0


class Gateway:
    """A running gateway, empty at first. cold_start_ms: from the first process to the first answered call.

    roots: its processes by name, those of the servers among or beneath them. addresses: of roles, in shape `split`.
    prepare: what the migrated database gets before a role uses it, in that shape.
    """

    def __init__(
        self, shape: str, provider_port: int, prepare: Callable[[str], None] = lambda database_url: None
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tollhouse-bench-"))
        self._folder.chmod(0o711)
        (self._folder / "config.yaml").write_bytes(_config(provider_port))
        self._data = self._folder / "data"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.postgres = EmbeddedPostgres(self._data, server_account())
        self._valkey = EmbeddedValkey(self._data, server_account())
        self._prepare = prepare
        self.roots: dict[str, int] = {}
        self.addresses: Mapping[str, str] = {}
        self.master_key = _MASTER_KEY
        self.internal_token = _INTERNAL_TOKEN
        self.port = 0
        try:
            self.cold_start_ms = self._start_one() if shape == "one" else self._start_split()
            self.key = self._new_key()
        except BaseException:
            self.stop()
            raise

    def spend_nano_usd(self) -> int:
        """What the key has spent, by /key/info."""
        info = msgspec.json.decode(get(f"{self.base_url}/key/info?key={self.key}", _MASTER_KEY))
        spend_usd: float = info["info"]["spend"]
        return round(spend_usd * 1e9)

    async def entries(self) -> int:
        """How many entries the ledger has, by SQL."""
        connection = await asyncpg.connect(self.postgres.database_url)
        try:
            count: int = await connection.fetchval("SELECT count(*) FROM ledger.entries")
            return count
        finally:
            await connection.close()

    def metrics(self) -> bytes:
        """What the gateway says of itself: proof that metrics were on."""
        return get(f"{self.base_url}/metrics", _MASTER_KEY)

    def stop(self) -> None:
        """End it, callers before those they call, servers last."""
        for process in reversed(self._processes):
            stop_process(process)
        self._processes.clear()
        self._valkey.stop()
        self.postgres.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def _start_one(self) -> float:
        begun = time.perf_counter()
        environ = {**_environment(), "LITELLM_MASTER_KEY": _MASTER_KEY}
        self._start("up", ["up", "--config", "config.yaml", "--port", "0", "--data", str(self._data)], environ)
        self._first_call()
        return (time.perf_counter() - begun) * 1000

    def _start_split(self) -> float:
        with on_core(GATEWAY_CORE):
            self._data.mkdir(mode=0o711)
            self.postgres.start()
            self._valkey.start()
        self.roots |= {"postgres": self.postgres.pid, "valkey": self._valkey.pid}
        self.addresses = addresses = dict(zip(_ROLES, _free_addresses(len(_ROLES)), strict=True))
        environ = _environment() | {
            "LITELLM_MASTER_KEY": _MASTER_KEY,
            "DATABASE_URL": self.postgres.database_url,
            "REDIS_URL": self._valkey.redis_url,
            "TOLLHOUSE_INTERNAL_TOKEN": _INTERNAL_TOKEN,
            "TOLLHOUSE_PEPPER": "pepper-of-this-bench",
            "TOLLHOUSE_DATA": str(self._data),
            "TOLLHOUSE_ROUTERS": addresses["router"],
            "TOLLHOUSE_KEYSTORE": addresses["keystore"],
            "TOLLHOUSE_LEDGER": addresses["ledger"],
        }
        subprocess.run(
            [sys.executable, "-m", "services", "migrate"],
            env=environ,
            cwd=self._folder,
            check=True,
            capture_output=True,
        )
        self._prepare(self.postgres.database_url)
        begun = time.perf_counter()
        for role in _ROLES:
            options = ["serve", role, "--config", "config.yaml", "--port", "0"]
            self._start(role, options, environ | {"TOLLHOUSE_GRPC_LISTEN": addresses[role]})
        self._first_call()
        return (time.perf_counter() - begun) * 1000

    def _start(self, name: str, arguments: list[str], environ: Mapping[str, str]) -> None:
        process, port = start_tollhouse(arguments, environ, self._folder, name)
        self._processes.append(process)
        self.roots[name] = process.pid
        self.port = port or self.port

    def _first_call(self) -> None:
        """A call with the master key, again until it is answered: parts find each other after they are ready."""
        body = {"model": SCENARIOS[0].group, "messages": [{"role": "user", "content": "Hello"}]}
        latest = time.perf_counter() + _PATIENCE_SECONDS
        while True:
            try:
                get(f"{self.base_url}/v1/chat/completions", _MASTER_KEY, body)
            except OSError:
                if time.perf_counter() > latest:
                    raise
                time.sleep(0.02)
            else:
                return

    def _new_key(self) -> str:
        """A virtual key of a team's and a user's; all three with hard budgets and limits that no bench can reach."""
        terms = {"max_budget": 1_000_000, "rpm_limit": 1_000_000_000, "tpm_limit": 1_000_000_000_000}
        owner = {"team_id": "bench-team", "user_id": "bench-user"}
        for path, body in (
            ("/user/new", {"user_id": owner["user_id"], "auto_create_key": False}),
            ("/team/new", {"team_id": owner["team_id"]}),
            ("/key/generate", owner),
        ):
            answer = get(f"{self.base_url}{path}", _MASTER_KEY, {**body, **terms})
        key: str = msgspec.json.decode(answer)["key"]
        return key


def _environment() -> dict[str, str]:
    """Nothing of this process's own but what finds programs."""
    return {"PATH": os.environ["PATH"]}


def _config(provider_port: int) -> bytes:
    """JSON is YAML. A float would write 1e-06, which YAML reads as a string: prices go in as text."""
    models = {scenario.group: scenario.model for scenario in SCENARIOS}
    return msgspec.json.encode(
        {
            # A user's budget is for calls with the team's key, too: every call is counted to all three.
            "general_settings": {"apply_user_budget_to_team_keys": True},
            "model_list": [
                {
                    "model_name": group,
                    "litellm_params": {
                        "model": f"openai/{model}",
                        "api_base": f"http://127.0.0.1:{provider_port}/v1",
                        "api_key": "sk-fake",
                        "input_cost_per_token": f"{INPUT_NANO_USD_PER_TOKEN / 1e9:.9f}",
                        "output_cost_per_token": f"{OUTPUT_NANO_USD_PER_TOKEN / 1e9:.9f}",
                    },
                }
                for group, model in models.items()
            ],
        }
    )


def _free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses
