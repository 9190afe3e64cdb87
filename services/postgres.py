"""PostgreSQL, 15 or newer: a small pool, what its absence means to callers, and numbered migrations.

Everything here works through PgBouncer in transaction mode: no named prepared statement, no session lock and no
setting of a session. So SQL of the stores is parsed at every execution, with its parameters known: it may say
`$1 = '' OR key_id = $1` and still use an index.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from structlog.typing import FilteringBoundLogger

from services.errors import unavailable

CONNECT_TIMEOUT_SECONDS = 5.0
# Between two looks for a server that is not there yet.
WAIT_PAUSE_SECONDS = 0.25
# Longer than any statement of ours needs; shorter than callers of administration wait.
COMMAND_TIMEOUT_SECONDS = 10.0
# Each connection is a process of the server, and its max_connections (100 by default) is for all roles and replicas.
MAX_CONNECTIONS = 8

OLDEST_SERVER = 15

# Query parameters of a DATABASE_URL that are meant for Prisma or libpq. asyncpg would hand them to the server as
# settings, and the server would refuse the connection.
FOREIGN_PARAMETERS = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "connection_limit",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "pgbouncer",
        "pool_timeout",
        "schema",
        "single_use_connections",
        "socket_timeout",
        "sslaccept",
        "sslidentity",
        "statement_cache_size",
        "tcp_user_timeout",
    }
)

# The first half of the keys of our advisory locks, so that they are not another program's.
_LOCK_CLASS = 0x70110
# A migration that waits longer for a lock (for another's migration, or a table in use) fails and can be run again.
_LOCK_TIMEOUT = "60s"

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_SCHEMA_NAME = re.compile(r"[a-z][a-z_]{0,30}")

# What says "not now", whatever was asked. Other errors of SQL are mistakes of ours and stay what they are.
_NOT_NOW = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.ReadOnlySQLTransactionError,  # 25006: a primary that has become a replica
    asyncpg.TransactionRollbackError,  # class 40
    asyncpg.InsufficientResourcesError,  # class 53: connections, memory, disk
    asyncpg.LockNotAvailableError,  # 55P03
    asyncpg.OperatorInterventionError,  # class 57: shutting down, starting, cancelled
    asyncpg.InterfaceError,  # the connection or the pool is closed
    asyncpg.InternalClientError,  # the connection broke in mid-answer, and the pool could not take it back
)
# Of these, the ones that would be the same at the next try: asyncpg's own complaints about a value or a URL.
_NEVER = ValueError


class MigrationError(Exception):
    """The schema cannot be brought up to date; the message is one line for the person who ran the command."""


@dataclass(frozen=True, slots=True)
class _Migration:
    number: int
    name: str
    sql: str
    sha256: str


def clean_url(database_url: str) -> str:
    """The URL without FOREIGN_PARAMETERS; all else keeps its exact characters."""
    base, mark, query = database_url.partition("?")
    kept = [part for part in query.split("&") if part and part.partition("=")[0].lower() not in FOREIGN_PARAMETERS]
    return base + mark + "&".join(kept) if kept else base


async def connect(
    database_url: str,
    *,
    max_connections: int = MAX_CONNECTIONS,
    command_timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
) -> asyncpg.Pool:
    """A pool. Connections are made when they are needed, so this succeeds while the server is away.

    ValueError when the URL cannot be read.
    """
    return await asyncpg.create_pool(
        clean_url(database_url),
        min_size=0,
        max_size=max_connections,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=command_timeout_seconds,
        statement_cache_size=0,
    )


@contextmanager
def mapped() -> Iterator[None]:
    """Around every use of a pool: a database that is not there, full or failing over is GatewayError UNAVAILABLE."""
    try:
        yield
    except _NEVER:
        raise
    except _NOT_NOW as error:
        raise unavailable("The database does not answer; try again.") from error


async def wait_for_server(database_url: str, wait_seconds: float, log: FilteringBoundLogger) -> None:
    """Until the server takes connections. MigrationError when it does not in time, or when it takes none of ours."""
    deadline = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            connection = await asyncpg.connect(
                clean_url(database_url), timeout=CONNECT_TIMEOUT_SECONDS, statement_cache_size=0
            )
        except (OSError, asyncpg.CannotConnectNowError) as error:
            if time.monotonic() >= deadline:
                raise MigrationError(f"the database cannot be reached: {_line(error)}") from error
            if not told:
                log.warning("waiting_for_the_database", error=_line(error))
                told = True
            await asyncio.sleep(WAIT_PAUSE_SECONDS)
        except (ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise MigrationError(f"the database cannot be reached: {_line(error)}") from error
        else:
            await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)
            return


async def migrate(database_url: str, schema: str, folder: Path, log: FilteringBoundLogger) -> int:
    """Apply the files of `folder` (`0001_name.sql`, ...) that `schema` does not have yet; return how many ran.

    Each file runs whole or not at all, in its number's order, once, however many processes migrate at a time. Files
    name their schema (`ledger.entries`); it exists when they run. What has been applied is in `schema`.migrations.
    MigrationError: an applied file has changed since, a file fails, or the server cannot be reached or is too old.
    """
    if not _SCHEMA_NAME.fullmatch(schema):
        raise ValueError(f"{schema!r} is no name for a schema")
    files = _read(folder)
    try:
        connection = await asyncpg.connect(
            clean_url(database_url), timeout=CONNECT_TIMEOUT_SECONDS, statement_cache_size=0
        )
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationError(f"the database cannot be reached: {_line(error)}") from error
    try:
        version = connection.get_server_version().major
        if version < OLDEST_SERVER:
            raise MigrationError(f"PostgreSQL {version} is too old; {OLDEST_SERVER} or newer is needed")
        ran = 0
        for file in files:
            try:
                ran += await _apply(connection, schema, file)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                raise MigrationError(f"{schema}: {file.name} failed: {_line(error)}") from error
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)
    log.info("migrated", schema=schema, ran=ran, files=len(files))
    return ran


async def _apply(connection: asyncpg.Connection, schema: str, file: _Migration) -> int:
    """Run one file unless it has run: 1 or 0."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        # Of the transaction, not the session, so that PgBouncer keeps it; one a schema, so that roles do not wait.
        await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _LOCK_CLASS, schema)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {schema}.migrations (number integer PRIMARY KEY, name text NOT NULL, "
            "sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        # The schema has passed _SCHEMA_NAME; everything else is a parameter.
        applied = await connection.fetchrow(
            f"SELECT name, sha256 FROM {schema}.migrations WHERE number = $1",  # noqa: S608
            file.number,
        )
        if applied is not None:
            if applied["sha256"] != file.sha256:
                raise MigrationError(
                    f"{schema}: {file.name} is not what was applied as {applied['name']}; "
                    "an applied migration must never change, add a new one"
                )
            return 0
        await connection.execute(file.sql)
        await connection.execute(
            f"INSERT INTO {schema}.migrations (number, name, sha256) VALUES ($1, $2, $3)",  # noqa: S608
            file.number,
            file.name,
            file.sha256,
        )
        return 1


def _read(folder: Path) -> Sequence[_Migration]:
    """The folder's migrations by number; MigrationError for a name that is none, or a number used twice."""
    migrations: dict[int, _Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named like 0001_what_it_does.sql")
        number = int(match.group(1))
        if number in migrations:
            raise MigrationError(f"{path.name} and {migrations[number].name} have the same number")
        content = path.read_bytes()
        migrations[number] = _Migration(number, path.name, content.decode(), hashlib.sha256(content).hexdigest())
    if not migrations:
        raise MigrationError(f"there are no migrations in {folder}")
    return list(migrations.values())


def _line(error: Exception) -> str:
    """The first line of an error that may have many, or none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
