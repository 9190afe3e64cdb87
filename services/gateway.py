"""Runs roles in this process: composes, starts, says that it is ready, waits for a signal, ends in order."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Sequence

from services import startup
from services.composition import Composition
from services.config import Config
from services.migrations import migrate_all
from services.process import tell_ready
from services.settings import Settings
from services.telemetry import create_log, create_registry, lead_logging_into

# Objects made, less those freed, between two looks at the youngest; Python's own 700 is a look every few calls.
GC_ALLOCATIONS = 50_000


async def run_roles(
    roles: Sequence[str],
    config: Config,
    settings: Settings,
    stopping: asyncio.Event,
    *,
    http_host: str,
    http_port: int,
    offers_rpc: bool,
    migrates: bool,
    on_ready: Callable[[Composition], None] = lambda _: None,
) -> None:
    """Until `stopping` is set; also when it is set during the start. StartError when it cannot.

    The configuration's `environment_variables` become this process's, before any role is built.
    """
    os.environ.update(config.environment_variables)
    log = create_log(settings.log_level)
    lead_logging_into(log)
    if ignored := startup.without_effect(config, settings):
        log.warning("without_effect", what=ignored)
    if migrates:
        await migrate_all(settings.database_url, log, wait_seconds=settings.database_wait_seconds)
    composition = Composition(
        roles,
        config,
        settings,
        log,
        create_registry(),
        http_host=http_host,
        http_port=http_port,
        offers_rpc=offers_rpc,
    )
    try:
        await composition.start()
        # What is alive now stays: the collector need not look at it again. Calls make few cycles, so it comes seldom.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS, 20, 50)
        log.info("ready", roles=roles, http_port=composition.http_port, grpc_port=composition.grpc_port)
        on_ready(composition)
        ports = {"http": composition.http_port, "grpc": composition.grpc_port, "metrics": composition.metrics_port}
        tell_ready(os.environ, ports)
        await stopping.wait()
        log.info("stopping", roles=roles)
    finally:
        await composition.stop()
        log.info("stopped", roles=roles)
