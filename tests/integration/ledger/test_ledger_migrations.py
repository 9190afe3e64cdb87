"""Migrations run once each, whole, in order, however many processes start them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import structlog
from structlog.testing import capture_logs

from services.postgres import MigrationError, migrate, wait_for_server

LOG = structlog.get_logger()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE demo.one (n integer); INSERT INTO demo.one VALUES (1);")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE demo.two (n integer);")
    return tmp_path


async def test_a_second_run_does_nothing(database_url, folder, sql):
    assert await migrate(database_url, "demo", folder, LOG) == 2
    assert await migrate(database_url, "demo", folder, LOG) == 0
    assert await sql.fetchval("SELECT count(*) FROM demo.one") == 1
    (folder / "0003_third.sql").write_text("CREATE TABLE demo.three (n integer);")
    assert await migrate(database_url, "demo", folder, LOG) == 1


async def test_processes_that_migrate_at_once_share_the_work(database_url, folder, sql):
    ran = await asyncio.gather(*(migrate(database_url, "demo", folder, LOG) for _ in range(6)))
    assert sum(ran) == 2
    assert await sql.fetchval("SELECT count(*) FROM demo.one") == 1


async def test_schemas_are_independent(database_url, folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "0001_first.sql").write_text("CREATE TABLE other.one (n integer);")
    assert await migrate(database_url, "demo", folder, LOG) == 2
    assert await migrate(database_url, "other", other, LOG) == 1


async def test_an_applied_file_that_has_changed_is_an_error(database_url, folder):
    await migrate(database_url, "demo", folder, LOG)
    (folder / "0001_first.sql").write_text("CREATE TABLE demo.one (n bigint);")
    with pytest.raises(MigrationError, match=r"0001_first\.sql"):
        await migrate(database_url, "demo", folder, LOG)


async def test_a_file_that_fails_leaves_nothing_of_itself(database_url, folder, sql):
    (folder / "0002_second.sql").write_text("CREATE TABLE demo.two (n integer); SELECT nonsense;")
    with pytest.raises(MigrationError, match=r"0002_second\.sql failed: .*nonsense"):
        await migrate(database_url, "demo", folder, LOG)
    assert await sql.fetchval("SELECT to_regclass('demo.two')") is None
    assert await sql.fetchval("SELECT count(*) FROM demo.migrations") == 1


async def test_a_server_that_is_not_there_is_one_line(database_url, folder, tmp_path):
    with pytest.raises(MigrationError, match="cannot be reached") as failed:
        await migrate(f"postgresql://user:secret@/postgres?host={tmp_path}", "demo", folder, LOG)
    assert "secret" not in str(failed.value)
    assert "\n" not in str(failed.value)


async def test_a_server_that_comes_late_is_waited_for(database_url, tmp_path):
    """Its socket is where nobody listens until the wait has begun."""
    url = urlsplit(database_url)
    socket_folder = Path(parse_qs(url.query)["host"][0])
    with capture_logs() as logs:
        waiting = asyncio.create_task(wait_for_server(f"postgresql://{url.netloc}{url.path}?host={tmp_path}", 60, LOG))
        async with asyncio.timeout(30):
            while not logs:
                await asyncio.sleep(0.01)
        assert not waiting.done()
        (real,) = socket_folder.glob(".s.PGSQL.*[0-9]")
        (tmp_path / real.name).symlink_to(real)
        await asyncio.wait_for(waiting, 30)
    assert [each["event"] for each in logs] == ["waiting_for_the_database"]


async def test_a_server_that_refuses_us_is_not_waited_for(database_url):
    begun = time.monotonic()
    with pytest.raises(MigrationError, match="cannot be reached"):
        await wait_for_server(f"{database_url.partition('?')[0]}-not-there?{database_url.partition('?')[2]}", 600, LOG)
    assert time.monotonic() - begun < 300


async def test_prisma_parameters_do_no_harm(database_url, folder):
    """The server itself refuses them; that is why they are taken away."""
    url = f"{database_url}&connection_limit=5&pool_timeout=10&schema=public"
    with pytest.raises(asyncpg.PostgresError):
        await asyncpg.connect(url)
    assert await migrate(url, "demo", folder, LOG) == 2
