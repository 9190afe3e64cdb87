"""Keys that were stored before terms keep what they may do and spend."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path

import asyncpg
import pytest
import structlog

from services.postgres import migrate


async def test_terms_are_filled_from_what_keys_had_before(database_url: str, tmp_path: Path) -> None:
    log = structlog.get_logger()
    files = sorted((importlib.resources.files("keystore") / "migrations").iterdir(), key=lambda file: file.name)
    for file in files[:4]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    await migrate(database_url, "keystore", tmp_path, log)
    connection = await asyncpg.connect(database_url)
    insert = """
        INSERT INTO keystore.keys (key_id, token, key_name, models, max_budget_nano_usd, blocked, created_at,
            updated_at, user_id, team_id, metadata, version, rpm_limit, tpm_limit, max_parallel_requests)
        VALUES ($1, $1, 'sk-...', $2, $3, false, now(), now(), '', '', '{}', 1, $4, $5, $6)
    """
    await connection.execute(insert, "full", ["b", "a"], 0, 1, 0, 3)
    await connection.execute(insert, "bare", [], None, None, None, None)
    for file in files[4:]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    await migrate(database_url, "keystore", tmp_path, log)
    rows = await connection.fetch("SELECT key_id, terms FROM keystore.keys")
    await connection.close()
    assert {row["key_id"]: json.loads(row["terms"]) for row in rows} == {
        "full": {
            "models": ["b", "a"],
            "max_budget_nano_usd": 0,
            "rpm_limit": 1,
            "tpm_limit": 0,
            "max_parallel_requests": 3,
        },
        "bare": {},
    }


@pytest.mark.parametrize(
    "statement", ["UPDATE keystore.audit SET action = ''", "DELETE FROM keystore.audit", "TRUNCATE keystore.audit"]
)
async def test_nothing_of_the_audit_log_changes_or_goes(database_url: str, statement: str) -> None:
    with importlib.resources.as_file(importlib.resources.files("keystore") / "migrations") as folder:
        await migrate(database_url, "keystore", folder, structlog.get_logger())
    connection = await asyncpg.connect(database_url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()
