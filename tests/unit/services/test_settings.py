"""Settings: typed, or refused with the name of the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.settings import Settings, SettingsError, from_environment


def test_an_empty_environment_gives_the_defaults() -> None:
    assert from_environment({}) == Settings()


def test_an_empty_variable_counts_as_absent() -> None:
    """Compose passes `${NAME:-}` so."""
    names = [
        "LITELLM_MASTER_KEY",
        "DATABASE_URL",
        "REDIS_URL",
        "TOLLHOUSE_INTERNAL_TOKEN",
        "TOLLHOUSE_PEPPER",
        "TOLLHOUSE_DATA",
        "TOLLHOUSE_GRPC_LISTEN",
        "TOLLHOUSE_ROUTERS",
        "TOLLHOUSE_KEYSTORE",
        "TOLLHOUSE_LEDGER",
        "TOLLHOUSE_HOLD_LEASE_SECONDS",
        "TOLLHOUSE_MAX_BODY_BYTES",
        "TOLLHOUSE_LOG_LEVEL",
    ]
    assert from_environment(dict.fromkeys(names, "")) == Settings()


def test_everything_can_be_set() -> None:
    settings = from_environment(
        {
            "LITELLM_MASTER_KEY": "sk-1",
            "DATABASE_URL": "postgresql://h/d",
            "REDIS_URL": "redis://h",
            "TOLLHOUSE_INTERNAL_TOKEN": "token",
            "TOLLHOUSE_PEPPER": "pepper",
            "TOLLHOUSE_DATA": "/data",
            "TOLLHOUSE_GRPC_LISTEN": "[::]:0",
            "TOLLHOUSE_ROUTERS": "a:1, b:2,",
            "TOLLHOUSE_KEYSTORE": "k:3",
            "TOLLHOUSE_LEDGER": "l:4",
            "TOLLHOUSE_HOLD_LEASE_SECONDS": "1.5",
            "TOLLHOUSE_MAX_BODY_BYTES": "2048",
            "TOLLHOUSE_LOG_LEVEL": "DEBUG",
        }
    )
    assert settings == Settings(
        master_key="sk-1",
        database_url="postgresql://h/d",
        redis_url="redis://h",
        internal_token="token",
        pepper="pepper",
        data=Path("/data"),
        grpc_listen="[::]:0",
        routers=("a:1", "b:2"),
        keystore=("k:3",),
        ledger=("l:4",),
        hold_lease_seconds=1.5,
        max_body_bytes=2048,
        log_level="debug",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TOLLHOUSE_GRPC_LISTEN", "4100"),
        ("TOLLHOUSE_GRPC_LISTEN", ":4100"),
        ("TOLLHOUSE_ROUTERS", "a:1,b"),
        ("TOLLHOUSE_KEYSTORE", "k:65536"),
        ("TOLLHOUSE_LEDGER", "l:" + "9" * 5000),
        ("TOLLHOUSE_HOLD_LEASE_SECONDS", "soon"),
        ("TOLLHOUSE_HOLD_LEASE_SECONDS", "nan"),
        ("TOLLHOUSE_HOLD_LEASE_SECONDS", "0.5"),
        ("TOLLHOUSE_MAX_BODY_BYTES", "1e12"),
        ("TOLLHOUSE_LOG_LEVEL", "loud"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        from_environment({name: text})


def test_no_secret_is_in_the_repr() -> None:
    secret = "a-secret"
    names = ["LITELLM_MASTER_KEY", "DATABASE_URL", "REDIS_URL", "TOLLHOUSE_INTERNAL_TOKEN", "TOLLHOUSE_PEPPER"]
    assert secret not in repr(from_environment(dict.fromkeys(names, secret)))
