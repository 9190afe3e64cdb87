"""What tests share: one embedded PostgreSQL and one embedded Valkey for the whole run, fast and forgetful."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from services.embedded.account import server_account
from services.embedded.postgres import EmbeddedPostgres
from services.embedded.valkey import EmbeddedValkey
from tests.stores import emptied, new_database

# Fixtures that live beside what they drive; each file is a plugin.
pytest_plugins = [
    name
    for name in (
        "tests.stack",
        "tests.fake_provider",
        "tests.edge_scene",
        "tests.recordings",
        "tests.golden",
        "tests.token_server",
        "tests.alert_receivers",
    )
    if importlib.util.find_spec(name)
]

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the suite takes beside pytest's own."""
    parser.addoption("--write-pages", action="store_true", help="write the pages of docs/ that the suite makes")


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Where the session's servers keep their data: a short path that every account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="tollhouse-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def embedded_postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The session's PostgreSQL; use `database_url` unless the server itself matters."""
    server = EmbeddedPostgres(server_folder, server_account(), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def embedded_valkey(server_folder: Path) -> Iterator[EmbeddedValkey]:
    """The session's Valkey; use `redis_url` unless the server itself matters."""
    server = EmbeddedValkey(server_folder, server_account(), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def database_url(embedded_postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A fresh, empty database of the test's own."""
    async with new_database(embedded_postgres) as url:
        yield url


@pytest.fixture
def redis_url(embedded_valkey: EmbeddedValkey) -> str:
    """The session's Valkey, emptied but for what belongs to gateways that several tests share."""
    return emptied(embedded_valkey.redis_url)
