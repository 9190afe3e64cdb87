"""What services/postgres.py does before it talks to a server."""

from __future__ import annotations

import asyncpg
import pytest
import structlog

from services.errors import GatewayError, Reason
from services.postgres import FOREIGN_PARAMETERS, MigrationError, clean_url, mapped, migrate

LOG = structlog.get_logger()


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql://u:p@h/d?", "postgresql://u:p@h/d"),
        ("postgresql://u:p@h/d?connection_limit=5", "postgresql://u:p@h/d"),
        ("postgresql://u:p@h/d?Schema=public&sslmode=require", "postgresql://u:p@h/d?sslmode=require"),
        ("postgresql://u:%3F%26@/d?host=/run/x%20y&pgbouncer=true", "postgresql://u:%3F%26@/d?host=/run/x%20y"),
        ("postgresql://h/d?application_name=schema&&port=1", "postgresql://h/d?application_name=schema&port=1"),
    ],
)
def test_parameters_for_others_are_taken_out_of_a_url_and_nothing_else(given, clean):
    assert clean_url(given) == clean


@pytest.mark.parametrize("name", sorted(FOREIGN_PARAMETERS))
def test_each_listed_parameter_is_taken_out(name):
    assert clean_url(f"postgresql://h/d?a=1&{name}=2&b=3") == "postgresql://h/d?a=1&b=3"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        FileNotFoundError(),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.AdminShutdownError(),
        asyncpg.CrashShutdownError(),
        asyncpg.TooManyConnectionsError(),
        asyncpg.DiskFullError(),
        asyncpg.ReadOnlySQLTransactionError(),
        asyncpg.DeadlockDetectedError(),
        asyncpg.SerializationError(),
        asyncpg.LockNotAvailableError(),
        asyncpg.QueryCanceledError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_database_that_cannot_answer_now_is_unavailable(error):
    with pytest.raises(GatewayError) as raised, mapped():
        raise error
    assert raised.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UndefinedTableError(),
        asyncpg.UniqueViolationError(),
        asyncpg.NumericValueOutOfRangeError(),
        asyncpg.exceptions.ClientConfigurationError("no such scheme"),
        KeyError("a mistake"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, mapped():
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "no migrations"),
        (["1_short.sql"], "1_short.sql is not named"),
        (["0001_a.sql", "0001_b.sql"], "0001_b.sql and 0001_a.sql have the same number"),
    ],
)
async def test_a_folder_that_is_no_folder_of_migrations_is_named(tmp_path, names, said):
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=said):
        await migrate("postgresql://nowhere/", "demo", tmp_path, LOG)


async def test_a_schema_is_a_plain_name(tmp_path):
    with pytest.raises(ValueError, match="no name for a schema"):
        await migrate("postgresql://nowhere/", 'x"; DROP', tmp_path, LOG)
