"""`tollhouse up`: the whole gateway on one host, from an empty folder, with one command.

Its own PostgreSQL and Valkey unless others are named, its own secrets unless they are given, all roles in one process.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from services import startup
from services.config import Config
from services.embedded.account import Account, server_account
from services.embedded.folder import make_data_folder
from services.embedded.servers import EmbeddedServers
from services.process import StartError, run, stop_signal
from services.secret import SecretFolder, new_master_key, random_secret
from services.settings import Settings
from services.startup import QuickModel


@dataclass(frozen=True, slots=True)
class MasterKey:
    """source: where a person finds it; shell: how a shell spells it, so that it need not be shown."""

    source: str
    shell: str


@dataclass(frozen=True, slots=True)
class Options:
    """The command line. source: a file, or one model; None: no models. http_port, data, log_level: None: as the
    environment says."""

    source: Path | QuickModel | None = None
    http_host: str = "127.0.0.1"
    http_port: int | None = None
    data: Path | None = None
    log_level: str | None = None


def up(options: Options) -> None:
    """Start everything and run until a signal. One of the errors of the parts says why it cannot start."""
    config, settings = startup.read(options.source)
    settings = replace(
        settings,
        data=options.data or settings.data,
        http_port=settings.http_port if options.http_port is None else options.http_port,
        log_level=options.log_level or settings.log_level,
    )
    if warning := startup.check_master_key(settings, options.http_host):
        print(f"tollhouse: {warning}", file=sys.stderr, flush=True)
    startup.check_port(options.http_host, settings.http_port)
    embeds = not (settings.database_url and settings.redis_url)
    account = server_account() if embeds else Account()
    wished = settings.data
    config_file = options.source if isinstance(options.source, Path) else None
    try:
        folder = make_data_folder(wished, account)
        settings, master_key = with_secrets(replace(settings, data=folder), config_file, config)
    except OSError as error:
        raise StartError(f"cannot use the data folder: {error}") from error
    if folder != wished.absolute():
        print(f"Data goes to {folder}: the account that runs PostgreSQL cannot reach {wished.absolute()}.")
    run(_up(config, settings, account, master_key, options.http_host))


def with_secrets(settings: Settings, config_file: Path | None, config: Config) -> tuple[Settings, MasterKey]:
    """The settings with every secret that was not given, made at the first start and kept beside the data."""
    secrets = SecretFolder(settings.data / "secrets")
    if config.general_settings.master_key:
        master_key = MasterKey(f"general_settings.master_key in {config_file}", "YOUR_MASTER_KEY")
    elif settings.master_key:
        master_key = MasterKey("the variable LITELLM_MASTER_KEY", "$LITELLM_MASTER_KEY")
    else:
        path = secrets.path("master_key")
        shown = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
        master_key = MasterKey(shown, f"$(cat {shlex.quote(shown)})")
    return (
        replace(
            settings,
            master_key=settings.master_key or secrets.read_or_make("master_key", new_master_key),
            internal_token=settings.internal_token or secrets.read_or_make("internal_token", random_secret),
            pepper=settings.pepper or secrets.read_or_make("pepper", random_secret),
        ),
        master_key,
    )


async def _up(config: Config, settings: Settings, account: Account, master_key: MasterKey, http_host: str) -> None:
    stopping = stop_signal()
    servers = EmbeddedServers(settings, account, os.environ.get("TOLLHOUSE_PG_BIN", ""))
    try:
        # What takes longest, side by side: the servers start while this process reads the code of the roles.
        starting = asyncio.ensure_future(servers.start())
        try:
            await asyncio.to_thread(_import_roles)
        finally:
            settings = await starting
        from services.gateway import run_roles  # here, so that it is read while the servers start

        if not stopping.is_set():
            await run_roles(
                tuple(startup.NEEDS),
                config,
                settings,
                stopping,
                http_host=http_host,
                http_port=settings.http_port,
                offers_rpc=False,
                migrates=True,
                on_ready=lambda composition: print(
                    welcome(http_host, composition.http_port or 0, master_key, config), flush=True
                ),
            )
    finally:
        await servers.stop()


def _import_roles() -> None:
    for module in ("services.gateway", *(f"{role}.main" for role in startup.NEEDS)):
        importlib.import_module(module)


def welcome(http_host: str, http_port: int, master_key: MasterKey, config: Config) -> str:
    """What a newcomer needs: where it listens, where the key is, and a line to try it with."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(http_host, http_host)  # noqa: S104 -- shown, not bound
    base = f"http://{host}:{http_port}"
    key = f'-H "Authorization: Bearer {master_key.shell}"'
    if config.model_list:
        body = {"model": config.model_list[0].model_name, "messages": [{"role": "user", "content": "Hello"}]}
        data = shlex.quote(json.dumps(body))
        attempt = f"curl {base}/v1/chat/completions {key} -H 'Content-Type: application/json' -d {data}"
    else:
        attempt = f"curl {base}/v1/models {key}"
    return f"Tollhouse listens on {base}\nMaster key: {master_key.source}\nTry it:\n  {attempt}"
