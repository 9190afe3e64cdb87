"""Settings: typed, or refused with the name of the variable."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.settings import Settings, SettingsError, from_environment


def test_an_empty_environment_gives_the_defaults() -> None:
    assert from_environment({}) == Settings()


def test_an_empty_variable_counts_as_absent() -> None:
    """Compose passes `${NAME:-}` so."""
    names = [
        "LITELLM_MASTER_KEY",
        "DATABASE_URL",
        "TOLLHOUSE_DATABASE_WAIT_SECONDS",
        "REDIS_URL",
        "TOLLHOUSE_INTERNAL_TOKEN",
        "TOLLHOUSE_PEPPER",
        "TOLLHOUSE_DATA",
        "TOLLHOUSE_GRPC_LISTEN",
        "TOLLHOUSE_ROUTERS",
        "TOLLHOUSE_KEYSTORE",
        "TOLLHOUSE_LEDGER",
        "TOLLHOUSE_METRICS_LISTEN",
        "TOLLHOUSE_METRICS_TOKEN",
        "TOLLHOUSE_HOLD_LEASE_SECONDS",
        "TOLLHOUSE_MAX_BODY_BYTES",
        "TOLLHOUSE_LOG_LEVEL",
        "PORT",
        "STORE_MODEL_IN_DB",
        "DATABASE_HOST",
        "DATABASE_PORT",
        "DATABASE_USERNAME",
        "DATABASE_USER",
        "DATABASE_PASSWORD",
        "DATABASE_NAME",
        "REDIS_HOST",
        "REDIS_PORT",
        "REDIS_USERNAME",
        "REDIS_PASSWORD",
        "REDIS_SSL",
    ]
    assert from_environment(dict.fromkeys(names, "")) == Settings()


def test_everything_can_be_set() -> None:
    settings = from_environment(
        {
            "LITELLM_MASTER_KEY": "sk-1",
            "DATABASE_URL": "postgresql://h/d",
            "TOLLHOUSE_DATABASE_WAIT_SECONDS": "2",
            "REDIS_URL": "redis://h",
            "TOLLHOUSE_INTERNAL_TOKEN": "token",
            "TOLLHOUSE_PEPPER": "pepper",
            "TOLLHOUSE_DATA": "/data",
            "TOLLHOUSE_GRPC_LISTEN": "[::]:0",
            "TOLLHOUSE_ROUTERS": "a:1, b:2,",
            "TOLLHOUSE_KEYSTORE": "k:3",
            "TOLLHOUSE_LEDGER": "l:4",
            "TOLLHOUSE_METRICS_LISTEN": "[::]:9100",
            "TOLLHOUSE_METRICS_TOKEN": "scraper",
            "TOLLHOUSE_HOLD_LEASE_SECONDS": "1.5",
            "TOLLHOUSE_MAX_BODY_BYTES": "2048",
            "TOLLHOUSE_LOG_LEVEL": "DEBUG",
            "PORT": "8080",
            "STORE_MODEL_IN_DB": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "LITELLM_KEY_ROTATION_GRACE_PERIOD": "2d",
        }
    )
    assert settings == Settings(
        master_key="sk-1",
        database_url="postgresql://h/d",
        database_wait_seconds=2,
        redis_url="redis://h",
        internal_token="token",
        pepper="pepper",
        data=Path("/data"),
        grpc_listen="[::]:0",
        routers=("a:1", "b:2"),
        keystore=("k:3",),
        ledger=("l:4",),
        metrics_listen="[::]:9100",
        metrics_token="scraper",
        hold_lease_seconds=1.5,
        max_body_bytes=2048,
        log_level="debug",
        http_port=8080,
        store_model_in_db=True,
        permits_weak_master_key=True,
        rotation_grace_seconds=2 * 86_400,
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
        ("PORT", "http"),
        ("PORT", "-1"),
        ("LITELLM_KEY_ROTATION_GRACE_PERIOD", "soon"),
        ("LITELLM_KEY_ROTATION_GRACE_PERIOD", "0d"),
        ("LITELLM_KEY_ROTATION_GRACE_PERIOD", "1mo"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        from_environment({name: text})


def test_metrics_are_not_shown_to_everybody() -> None:
    with pytest.raises(SettingsError, match="TOLLHOUSE_METRICS_TOKEN is not set"):
        from_environment({"TOLLHOUSE_METRICS_LISTEN": "0.0.0.0:9100"})


def test_no_secret_is_in_the_repr() -> None:
    secret = "a-secret"
    names = ["LITELLM_MASTER_KEY", "DATABASE_URL", "REDIS_URL", "TOLLHOUSE_INTERNAL_TOKEN", "TOLLHOUSE_PEPPER"]
    assert secret not in repr(from_environment(dict.fromkeys(names, secret)))


DATABASE = {"DATABASE_HOST": "db", "DATABASE_USERNAME": "me", "DATABASE_NAME": "gateway"}
# What a variable of the environment can hold.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


class TestInParts:
    """DATABASE_URL and REDIS_URL, as LiteLLM's users name them in parts."""

    @pytest.mark.parametrize(
        ("parts", "url"),
        [
            ({}, "postgresql://me@db/gateway"),
            ({"DATABASE_PASSWORD": "p@/:?#%"}, "postgresql://me:p%40%2F%3A%3F%23%25@db/gateway"),
            ({"DATABASE_PORT": "6432"}, "postgresql://me@db:6432/gateway"),
            ({"DATABASE_HOST": "db:6432"}, "postgresql://me@db:6432/gateway"),
            ({"DATABASE_HOST": "::1", "DATABASE_PORT": "1"}, "postgresql://me@[::1]:1/gateway"),
            ({"DATABASE_USERNAME": "", "DATABASE_USER": "you"}, "postgresql://you@db/gateway"),
            ({"DATABASE_URL": "postgresql://whole"}, "postgresql://whole"),
        ],
    )
    def test_of_the_database(self, parts: dict[str, str], url: str) -> None:
        assert from_environment(DATABASE | parts).database_url == url

    @pytest.mark.parametrize("name", ["DATABASE_USERNAME", "DATABASE_NAME"])
    def test_a_part_that_is_missing_is_named(self, name: str) -> None:
        with pytest.raises(SettingsError, match=f"^{name} is not set, but DATABASE_HOST is"):
            from_environment({key: value for key, value in DATABASE.items() if key != name})

    def test_without_a_host_the_others_say_nothing(self) -> None:
        environ = {"DATABASE_NAME": "gateway", "REDIS_PORT": "tcp://10.0.0.1:6379", "REDIS_PASSWORD": "p"}
        assert from_environment(environ) == Settings()

    @pytest.mark.parametrize(
        ("parts", "url"),
        [
            ({}, "redis://r:6379"),
            ({"REDIS_PORT": "7000", "REDIS_PASSWORD": "p@:"}, "redis://:p%40%3A@r:7000"),
            ({"REDIS_USERNAME": "me", "REDIS_PASSWORD": "p", "REDIS_SSL": "True"}, "rediss://me:p@r:6379"),
            ({"REDIS_HOST": "::1"}, "redis://[::1]:6379"),
            ({"REDIS_URL": "redis://whole"}, "redis://whole"),
        ],
    )
    def test_of_redis(self, parts: dict[str, str], url: str) -> None:
        assert from_environment({"REDIS_HOST": "r"} | parts).redis_url == url

    def test_a_port_that_is_none_is_named(self) -> None:
        """Kubernetes sets REDIS_PORT so where a service is called redis."""
        with pytest.raises(SettingsError, match=r"^REDIS_PORT: 'tcp://10\.0\.0\.1:6379' is not a port"):
            from_environment({"REDIS_HOST": "r", "REDIS_PORT": "tcp://10.0.0.1:6379"})

    @given(TEXTS, TEXTS, TEXTS)
    def test_any_text_survives(self, user: str, password: str, database: str) -> None:
        parts = {"DATABASE_USERNAME": user, "DATABASE_PASSWORD": password, "DATABASE_NAME": database}
        url = urlsplit(from_environment(DATABASE | parts).database_url)
        assert (unquote(url.username or ""), unquote(url.password or "")) == (user, password)
        assert (url.hostname, unquote(url.path)) == ("db", f"/{database}")

    def test_no_secret_is_in_an_error(self) -> None:
        environ = {"REDIS_HOST": "r", "REDIS_PASSWORD": "a-secret", "REDIS_PORT": "x"}
        with pytest.raises(SettingsError) as caught:
            from_environment(environ)
        assert "a-secret" not in str(caught.value)


def test_every_variable_that_is_read_is_documented() -> None:
    root = Path(__file__).resolve().parents[3]
    variables = set(re.findall(r"environ\.get\([\"']([A-Z_]+)", (root / "services/settings.py").read_text()))
    assert len(variables) > 20
    page = (root / "docs/reference/settings.md").read_text()
    assert sorted(name for name in variables if f"`{name}`" not in page) == []
