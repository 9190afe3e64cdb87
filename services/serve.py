"""`tollhouse serve ROLES` and `tollhouse migrate`: the commands of a deployment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from services import startup
from services.config import Config
from services.gateway import run_roles
from services.migrations import migrate_all
from services.process import run, stop_signal
from services.settings import Settings
from services.telemetry import create_log


def serve(roles_text: str, config_file: Path, http_host: str, http_port: int | None) -> None:
    """Run some roles until a signal. http_port: None: as the environment says."""
    roles = startup.parse_roles(roles_text)
    config, settings = startup.read(config_file)
    startup.demand(roles, settings)
    http_port = settings.http_port if http_port is None else http_port
    if "edge" in roles:
        if warning := startup.check_master_key(settings, http_host):
            print(f"tollhouse: {warning}", file=sys.stderr, flush=True)
        startup.check_port(http_host, http_port)
    if any(role != "edge" for role in roles):  # an edge offers no RPC
        host, _, port = settings.grpc_listen.rpartition(":")
        startup.check_port(host.strip("[]"), int(port))
    run(_serve(roles, config, settings, http_host, http_port))


def migrate(config_file: Path | None) -> None:
    """Bring the database up to date, and say how much there was to do."""
    _, settings = startup.read(config_file)
    startup.demand_database(settings)
    run(_migrate(settings))


async def _serve(roles: Sequence[str], config: Config, settings: Settings, http_host: str, http_port: int) -> None:
    await run_roles(
        roles,
        config,
        settings,
        stop_signal(),
        http_host=http_host,
        http_port=http_port,
        offers_rpc=True,
        migrates=False,
    )


async def _migrate(settings: Settings) -> None:
    log = create_log(settings.log_level)
    ran = await migrate_all(settings.database_url, log, wait_seconds=settings.database_wait_seconds)
    print(f"Migrations run: {ran}.")
