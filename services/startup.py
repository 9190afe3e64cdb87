"""What a process is to be: its roles, its configuration and its settings, checked before anything starts."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from services import config, settings
from services.config import Config
from services.process import StartError
from services.settings import Settings, SettingsError

# What each role cannot work without: the field of the settings, and its variable. In the order of `lifecycle.ROLES`,
# which is not imported here because it brings the metrics and logging libraries with it.
_DATABASE = ("database_url", "DATABASE_URL")
_TOKEN = ("internal_token", "TOLLHOUSE_INTERNAL_TOKEN")
NEEDS: Mapping[str, Sequence[tuple[str, str]]] = {
    "ledger": [_DATABASE, _TOKEN],
    "keystore": [_DATABASE, ("redis_url", "REDIS_URL"), ("pepper", "TOLLHOUSE_PEPPER"), _TOKEN],
    "router": [_TOKEN],
    "edge": [("master_key", "LITELLM_MASTER_KEY"), _TOKEN],
}


def read(config_file: Path | None, environ: Mapping[str, str] = os.environ) -> tuple[Config, Settings]:
    """The configuration (empty without a file) and the settings. ConfigError or SettingsError.

    `general_settings` wins over the environment where both name the master key or the database, as it does in LiteLLM.
    """
    given = Config() if config_file is None else config.load(config_file, environ)
    general, own = given.general_settings, settings.from_environment(environ)
    return given, replace(
        own,
        master_key=general.master_key or own.master_key,
        database_url=general.database_url or own.database_url,
    )


def parse_roles(text: str) -> list[str]:
    """The roles of a command line, comma-separated or `all`. SettingsError for a word that is none."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in (*NEEDS, "all"):
            raise SettingsError(f"{word!r} is no role; roles are {', '.join(NEEDS)}, or all")
    return list(NEEDS) if "all" in words else words


def demand(roles: Sequence[str], own: Settings) -> None:
    """SettingsError when something is not set that one of the roles cannot work without."""
    for role in roles:
        for field, variable in NEEDS[role]:
            if not getattr(own, field):
                raise SettingsError(f"{variable} is not set; the {role} needs it")


def demand_database(own: Settings) -> None:
    """SettingsError when no database is named."""
    if not own.database_url:
        raise SettingsError("DATABASE_URL is not set")


def check_port(host: str, port: int) -> None:
    """StartError when something listens there already; asked first, so that nothing is started in vain."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from error
