"""The settings of a process, from its environment: typed, frozen, read once in the composition root.

What describes models, keys and budgets is config.yaml's (`config.py`); what describes this process and where its
neighbours are is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Environment variables, with their defaults.

    Secrets have no default here: `up` makes them beside its data, `serve` demands them.
    """

    # LITELLM_MASTER_KEY: the admin's key. Also `general_settings.master_key`.
    master_key: str = field(default="", repr=False)
    # DATABASE_URL: PostgreSQL 15 or newer. Empty: `up` runs its own.
    database_url: str = field(default="", repr=False)
    # REDIS_URL: Valkey or Redis 7 or newer, for the counters. Empty: `up` runs its own.
    redis_url: str = field(default="", repr=False)
    # TOLLHOUSE_INTERNAL_TOKEN: what every gRPC call between services presents.
    internal_token: str = field(default="", repr=False)
    # TOLLHOUSE_PEPPER: the key of the HMAC under which virtual keys are stored. Changing it invalidates them all.
    pepper: str = field(default="", repr=False)
    # TOLLHOUSE_DATA: folder for the embedded servers, generated secrets and the outbox.
    data: Path = Path(".tollhouse")
    # TOLLHOUSE_GRPC_LISTEN: `host:port` where this process offers its roles to the others; port 0: any.
    grpc_listen: str = "127.0.0.1:4100"
    # TOLLHOUSE_ROUTERS, TOLLHOUSE_KEYSTORE, TOLLHOUSE_LEDGER: `host:port`, routers comma-separated. A role that runs
    # in the same process is reached inside it.
    routers: tuple[str, ...] = ("127.0.0.1:4101",)
    keystore: tuple[str, ...] = ("127.0.0.1:4102",)
    ledger: tuple[str, ...] = ("127.0.0.1:4103",)
    # TOLLHOUSE_HOLD_LEASE_SECONDS: how long a hold outlives its router. Renewed at a quarter of it.
    hold_lease_seconds: float = 60.0
    # TOLLHOUSE_MAX_BODY_BYTES: the largest request body; LiteLLM has no limit, nginx's is 1 MiB, images need more.
    max_body_bytes: int = 32 * 1024 * 1024
    # TOLLHOUSE_LOG_LEVEL: debug, info, warning or error.
    log_level: str = "info"


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read them; an empty variable counts as absent. SettingsError names a variable that cannot be used."""
    default = Settings()

    def address(name: str, text: str) -> str:
        host, _, port = text.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 1 << 16):
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

    level = (environ.get("TOLLHOUSE_LOG_LEVEL") or default.log_level).lower()
    if level not in ("debug", "info", "warning", "error"):
        raise SettingsError(f"TOLLHOUSE_LOG_LEVEL: {level!r} is not debug, info, warning or error")
    return Settings(
        master_key=environ.get("LITELLM_MASTER_KEY", ""),
        database_url=environ.get("DATABASE_URL", ""),
        redis_url=environ.get("REDIS_URL", ""),
        internal_token=environ.get("TOLLHOUSE_INTERNAL_TOKEN", ""),
        pepper=environ.get("TOLLHOUSE_PEPPER", ""),
        data=Path(environ.get("TOLLHOUSE_DATA") or default.data),
        grpc_listen=address("TOLLHOUSE_GRPC_LISTEN", environ.get("TOLLHOUSE_GRPC_LISTEN") or default.grpc_listen),
        routers=addresses("TOLLHOUSE_ROUTERS", default.routers),
        keystore=addresses("TOLLHOUSE_KEYSTORE", default.keystore),
        ledger=addresses("TOLLHOUSE_LEDGER", default.ledger),
        hold_lease_seconds=number("TOLLHOUSE_HOLD_LEASE_SECONDS", default.hold_lease_seconds, 1, 3600),
        max_body_bytes=int(number("TOLLHOUSE_MAX_BODY_BYTES", default.max_body_bytes, 1024, 1 << 30)),
        log_level=level,
    )
