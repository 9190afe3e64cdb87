"""Where data goes, and where sockets go."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.embedded.account import Account
from services.embedded.folder import make_data_folder
from services.embedded.sockets import SocketFolder

NOBODY = Account(65534, 65534)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can lend an account")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account can reach; pytest's own cannot be."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_data_of_one_account_is_for_no_other(tmp_path: Path) -> None:
    folder = make_data_folder(tmp_path / "a" / "data", Account())
    assert folder == tmp_path / "a" / "data"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    assert make_data_folder(tmp_path, Account()) == tmp_path
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_a_file_in_its_place_is_no_reason_to_go_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(NotADirectoryError):
        make_data_folder(tmp_path / "data", NOBODY, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


@needs_root
def test_a_lent_account_passes_through_but_does_not_read(open_folder: Path) -> None:
    folder = make_data_folder(open_folder / "data", NOBODY)
    assert folder == open_folder / "data"
    assert NOBODY.can_enter(folder)
    assert NOBODY.run(["/bin/ls", folder], {}).returncode != 0


@needs_root
def test_a_folder_out_of_the_accounts_reach_is_replaced(open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    fallback = open_folder / "elsewhere"
    assert make_data_folder(home / "project" / "data", NOBODY, fallback) == fallback
    assert NOBODY.can_enter(fallback)
    assert list(home.iterdir()) == []


def test_a_short_socket_folder_is_where_it_was_wished(tmp_path: Path) -> None:
    sockets = SocketFolder(Path(tempfile.gettempdir()) / f"run-{os.getpid()}", Account())
    sockets.make()
    assert sockets.path.parent == Path(tempfile.gettempdir())
    assert stat.S_IMODE(sockets.path.stat().st_mode) == 0o700
    sockets.remove()
    assert not sockets.path.exists()


def test_a_long_one_is_made_where_paths_are_short(tmp_path: Path) -> None:
    """A socket whose path is longer than some 100 bytes cannot be bound at all."""
    wished = tmp_path / ("long" * 25)
    sockets = SocketFolder(wished, Account())
    sockets.make()
    assert len(str(sockets.path)) < 80
    assert stat.S_IMODE(sockets.path.stat().st_mode) == 0o700
    assert not wished.exists()
    sockets.remove()
    assert not sockets.path.exists()
