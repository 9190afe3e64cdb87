"""The settings of a process, from its environment: typed, frozen, read once in the composition root.

What describes models, keys and budgets is config.yaml's (`config.py`); what describes this process and where its
neighbours are is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from services import durations

PERMIT_WEAK_MASTER_KEY = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"

# What LiteLLM's users write for yes.
_TRUE = ("true", "1", "yes", "on")


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Environment variables, with their defaults.

    Secrets have no default here: `up` makes them beside its data, `serve` demands them.
    """

    # LITELLM_MASTER_KEY: the admin's key. Also `general_settings.master_key`.
    master_key: str = field(default="", repr=False)
    # LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: let an edge that others can reach start with a master key
    # that everybody knows. Also `general_settings.dangerously_permit_weak_or_unset_master_key`.
    permits_weak_master_key: bool = False
    # DATABASE_URL: PostgreSQL 15 or newer. Also in parts: DATABASE_HOST, DATABASE_PORT, DATABASE_USERNAME (or
    # DATABASE_USER), DATABASE_PASSWORD, DATABASE_NAME. Empty: `up` runs its own.
    database_url: str = field(default="", repr=False)
    # TOLLHOUSE_DATABASE_WAIT_SECONDS: how long the start waits for a database that is not there yet, as one that is
    # started at the same time is not.
    database_wait_seconds: float = 30.0
    # REDIS_URL: Valkey or Redis 7 or newer, for the counters. Also in parts: REDIS_HOST, REDIS_PORT, REDIS_USERNAME,
    # REDIS_PASSWORD, REDIS_SSL. Empty: `up` runs its own.
    redis_url: str = field(default="", repr=False)
    # STORE_MODEL_IN_DB: LiteLLM's wish for models kept in the database. Nothing acts on it yet; the start says so.
    store_model_in_db: bool = False
    # PORT: where the edge listens for HTTP unless the command line says otherwise; 0: any.
    http_port: int = 4000
    # TOLLHOUSE_INTERNAL_TOKEN: what every gRPC call between services presents.
    internal_token: str = field(default="", repr=False)
    # TOLLHOUSE_PEPPER: the key of the HMAC under which virtual keys are stored. Changing it invalidates them all.
    pepper: str = field(default="", repr=False)
    # TOLLHOUSE_DATA: folder for the embedded servers, generated secrets and the outbox.
    data: Path = Path(".tollhouse")
    # TOLLHOUSE_GRPC_LISTEN: `host:port` where this process offers its roles to the others; port 0: any.
    grpc_listen: str = "127.0.0.1:4100"
    # TOLLHOUSE_ROUTERS, TOLLHOUSE_KEYSTORE, TOLLHOUSE_LEDGER: `host:port` of each replica, comma-separated, or one name
    # for all. A role that runs in the same process is reached inside it.
    routers: tuple[str, ...] = ("127.0.0.1:4101",)
    keystore: tuple[str, ...] = ("127.0.0.1:4102",)
    ledger: tuple[str, ...] = ("127.0.0.1:4103",)
    # TOLLHOUSE_METRICS_LISTEN: `host:port` where this process answers GET /metrics, port 0: any; empty: nowhere, but
    # for an edge's own /metrics. TOLLHOUSE_METRICS_TOKEN: what a scraper presents there, as `Authorization: Bearer`.
    metrics_listen: str = ""
    metrics_token: str = field(default="", repr=False)
    # TOLLHOUSE_HOLD_LEASE_SECONDS: how long a hold outlives its router. Renewed at a quarter of it.
    hold_lease_seconds: float = 60.0
    # LITELLM_KEY_ROTATION_GRACE_PERIOD: how long the secret before is good when a key is rotated by itself, as `24h`.
    rotation_grace_seconds: int = 24 * 3600
    # TOLLHOUSE_MAX_BODY_BYTES: the largest request body; LiteLLM has no limit, nginx's is 1 MiB, images need more.
    max_body_bytes: int = 32 * 1024 * 1024
    # TOLLHOUSE_LOG_LEVEL: debug, info, warning or error.
    log_level: str = "info"


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read them; an empty variable counts as absent. SettingsError names a variable that cannot be used."""
    default = Settings()

    def address(name: str, text: str) -> str:
        host, _, port = text.rpartition(":")
        if not (host and _is_port(port)):
            raise SettingsError(f"{name}: {text!r} is not host:port")
        return text

    def addresses(name: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
        given = (part.strip() for part in environ.get(name, "").split(","))
        return tuple(address(name, part) for part in given if part) or otherwise

    def number(name: str, otherwise: float, lowest: float, highest: float) -> float:
        text = environ.get(name, "")
        if not text:
            return otherwise
        try:
            value = float(text)
        except ValueError:
            raise SettingsError(f"{name}: {text!r} is not a number") from None
        if not lowest <= value <= highest:
            raise SettingsError(f"{name}: {text} is not between {lowest:g} and {highest:g}")
        return value

    metrics_listen = environ.get("TOLLHOUSE_METRICS_LISTEN", "")
    if metrics_listen and not environ.get("TOLLHOUSE_METRICS_TOKEN"):
        raise SettingsError("TOLLHOUSE_METRICS_TOKEN is not set, but TOLLHOUSE_METRICS_LISTEN is")
    level = (environ.get("TOLLHOUSE_LOG_LEVEL") or default.log_level).lower()
    if level not in ("debug", "info", "warning", "error"):
        raise SettingsError(f"TOLLHOUSE_LOG_LEVEL: {level!r} is not debug, info, warning or error")
    return Settings(
        master_key=environ.get("LITELLM_MASTER_KEY", ""),
        permits_weak_master_key=environ.get(PERMIT_WEAK_MASTER_KEY, "").lower() in _TRUE,
        database_url=environ.get("DATABASE_URL") or _database_url(environ),
        database_wait_seconds=number("TOLLHOUSE_DATABASE_WAIT_SECONDS", default.database_wait_seconds, 0, 3600),
        redis_url=environ.get("REDIS_URL") or _redis_url(environ),
        store_model_in_db=environ.get("STORE_MODEL_IN_DB", "").lower() in _TRUE,
        http_port=_port("PORT", environ.get("PORT") or str(default.http_port)),
        internal_token=environ.get("TOLLHOUSE_INTERNAL_TOKEN", ""),
        pepper=environ.get("TOLLHOUSE_PEPPER", ""),
        data=Path(environ.get("TOLLHOUSE_DATA") or default.data),
        grpc_listen=address("TOLLHOUSE_GRPC_LISTEN", environ.get("TOLLHOUSE_GRPC_LISTEN") or default.grpc_listen),
        routers=addresses("TOLLHOUSE_ROUTERS", default.routers),
        keystore=addresses("TOLLHOUSE_KEYSTORE", default.keystore),
        ledger=addresses("TOLLHOUSE_LEDGER", default.ledger),
        metrics_listen=address("TOLLHOUSE_METRICS_LISTEN", metrics_listen) if metrics_listen else "",
        metrics_token=environ.get("TOLLHOUSE_METRICS_TOKEN", ""),
        hold_lease_seconds=number("TOLLHOUSE_HOLD_LEASE_SECONDS", default.hold_lease_seconds, 1, 3600),
        rotation_grace_seconds=_duration("LITELLM_KEY_ROTATION_GRACE_PERIOD", environ, default.rotation_grace_seconds),
        max_body_bytes=int(number("TOLLHOUSE_MAX_BODY_BYTES", default.max_body_bytes, 1024, 1 << 30)),
        log_level=level,
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 1 << 16


def _port(name: str, text: str) -> int:
    if not _is_port(text):
        raise SettingsError(f"{name}: {text!r} is not a port")
    return int(text)


def _duration(name: str, environ: Mapping[str, str], otherwise: int) -> int:
    text = environ.get(name, "")
    if not text:
        return otherwise
    try:
        duration = durations.parse(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None
    if duration.unit == "mo":
        raise SettingsError(f"{name}: {text!r} is in months, which differ; say it in days")
    return duration.count * durations.SECONDS[duration.unit]


def _database_url(environ: Mapping[str, str]) -> str:
    """The URL of the database that is named in parts; empty without a host."""
    host = environ.get("DATABASE_HOST", "")
    if not host:
        return ""
    user = environ.get("DATABASE_USERNAME") or environ.get("DATABASE_USER", "")
    database = environ.get("DATABASE_NAME", "")
    for name, value in (("DATABASE_USERNAME", user), ("DATABASE_NAME", database)):
        if not value:
            raise SettingsError(f"{name} is not set, but DATABASE_HOST is; or set DATABASE_URL")
    port = environ.get("DATABASE_PORT", "")
    address = _host(host) + (f":{_port('DATABASE_PORT', port)}" if port else "")
    return f"postgresql://{_login(user, environ.get('DATABASE_PASSWORD', ''))}{address}/{quote(database, safe='')}"


def _redis_url(environ: Mapping[str, str]) -> str:
    """The URL of the Redis that is named in parts; empty without a host."""
    host = environ.get("REDIS_HOST", "")
    if not host:
        return ""
    scheme = "rediss" if environ.get("REDIS_SSL", "").lower() in _TRUE else "redis"
    login = _login(environ.get("REDIS_USERNAME", ""), environ.get("REDIS_PASSWORD", ""))
    return f"{scheme}://{login}{_host(host)}:{_port('REDIS_PORT', environ.get('REDIS_PORT') or '6379')}"


def _login(user: str, password: str) -> str:
    """Percent-encoded, for a password may hold what ends a part of a URL."""
    secret = f":{quote(password, safe='')}" if password else ""
    return f"{quote(user, safe='')}{secret}@" if user or secret else ""


def _host(host: str) -> str:
    """An IPv6 address goes into brackets; a port after a name, as LiteLLM's users write it, stays."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else quote(host, safe=":[]")
