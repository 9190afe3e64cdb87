"""What a process is to be: its roles, its configuration and its settings, checked before anything starts."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services import config, ignored, settings
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


# What LiteLLM's documentation and examples write, and what people put in its place while they try something.
WEAK_MASTER_KEYS = frozenset(
    (
        *("sk-1234", "sk-123", "sk-12345", "sk-123456", "sk-12345678", "sk-123456789", "sk-1234567890"),
        *("sk-admin", "sk-anything", "sk-change-me", "sk-changeme", "sk-key", "sk-litellm", "sk-litellm-master-key"),
        *("sk-master", "sk-master-key", "sk-my-key", "sk-password", "sk-secret", "sk-test", "sk-your-key"),
        *("1234", "admin", "anything", "change-me", "changeme", "litellm", "master", "password", "secret", "test"),
    )
)


@dataclass(frozen=True, slots=True)
class QuickModel:
    """One model in place of a file: what `model` and `api_base` of an entry of `model_list` would say."""

    model: str
    api_base: str | None = None


def read(source: Path | QuickModel | None, environ: Mapping[str, str] = os.environ) -> tuple[Config, Settings]:
    """The configuration (empty without a source) and the settings. ConfigError or SettingsError.

    `environment_variables` and `general_settings` win over the environment where both name the same, as in LiteLLM.
    """
    given = _configuration(source, environ)
    general = {
        "LITELLM_MASTER_KEY": given.general_settings.master_key,
        "DATABASE_URL": given.general_settings.database_url,
        settings.PERMIT_WEAK_MASTER_KEY: "true" if given.general_settings.permits_weak_master_key else None,
    }
    named = {name: value for name, value in general.items() if value}
    return given, settings.from_environment({**environ, **given.environment_variables, **named})


def _configuration(source: Path | QuickModel | None, environ: Mapping[str, str]) -> Config:
    if source is None:
        return Config()
    if isinstance(source, Path):
        return config.load(source, environ)
    entry = {"model_name": source.model, "litellm_params": {"model": source.model, "api_base": source.api_base}}
    # JSON is YAML, where it does not write a character as two halves.
    return config.parse(json.dumps({"model_list": [entry]}, ensure_ascii=False), name="--model", environ=environ)


def without_effect(given: Config, own: Settings) -> list[str]:
    """What was asked for and nothing acts on, a line each; of a usable configuration, no error."""
    lines = ignored.unknown(given.ignored)
    if keys := ignored.not_acted_on(given.ignored):
        lines.append(f"not acted on yet: {', '.join(keys)}")
    if own.store_model_in_db:
        lines.append("STORE_MODEL_IN_DB is not acted on yet: models are those of the configuration")
    return lines


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


def check_master_key(own: Settings, http_host: str) -> str | None:
    """A warning about a master key that everybody knows; None: there is nothing to warn of. StartError where others can
    reach it, unless that is permitted."""
    if own.master_key.strip().lower() not in WEAK_MASTER_KEYS:
        return None
    line = "the master key is a well-known one: whoever reaches this gateway can do everything with it"
    if not (own.permits_weak_master_key or _is_loopback(http_host)):
        raise StartError(
            f"{line}, and {http_host} can be reached from elsewhere; set LITELLM_MASTER_KEY to one of your own, as "
            "`openssl rand -hex 24` makes them (general_settings.dangerously_permit_weak_or_unset_master_key: true "
            "starts all the same)"
        )
    return f"WARNING: {line}; set LITELLM_MASTER_KEY to one of your own before others can"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_port(host: str, port: int) -> None:
    """StartError when something listens there already; asked first, so that nothing is started in vain."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from error
