"""Generated secrets: made once, kept, for their owner only."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.process import StartError
from services.secret import SecretFolder, new_master_key, random_secret


def test_a_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    secrets = SecretFolder(tmp_path / "secrets")
    first = secrets.read_or_make("pepper", random_secret)
    assert SecretFolder(tmp_path / "secrets").read_or_make("pepper", random_secret) == first
    assert stat.S_IMODE(secrets.path("pepper").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    """Here the other one is quicker: it comes between the look and the making."""
    secrets = SecretFolder(tmp_path)

    def make_too_late() -> str:
        assert SecretFolder(tmp_path).read_or_make("token", lambda: "quicker") == "quicker"
        return "slower"

    assert secrets.read_or_make("token", make_too_late) == "quicker"
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_a_secret_that_was_lost_is_not_replaced_in_silence(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("\n")
    with pytest.raises(StartError, match="pepper is empty"):
        SecretFolder(tmp_path).read_or_make("pepper", random_secret)


def test_a_master_key_looks_like_a_key() -> None:
    assert new_master_key().startswith("sk-")
    assert len(new_master_key()) > 30
    assert new_master_key() != new_master_key()
