"""Servers that nobody here wrote, as providers: each is started once for the run, and ends with it, however it ends."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from services.embedded.account import Account
from services.embedded.child import Child
from tests.integration.real_servers import tiny_model

HERE = Path(__file__).parent
# One package of 2 MB; a registry that needs longer is as good as none.
INSTALL_SECONDS = 120
_LISTENING = re.compile(r"listening on (http://127\.0\.0\.1:\d+)$", re.MULTILINE)


def serve(name: str, command: Sequence[str | Path], folder: Path) -> Iterator[str]:
    """Start a server that prints where it listens; its address, and its end when the test run ends."""
    log = folder / f"{name}.log"
    child = Child.start(name, command, account=Account(), lock=folder / f"{name}.lock", log=log)
    child.wait_until(lambda: _LISTENING.search(log.read_text()) is not None)
    address = _LISTENING.search(log.read_text())
    assert address is not None
    yield address[1]
    child.stop()


@pytest.fixture(scope="session")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llama.cpp over a model of random weights; skips where its wheel is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed: it has wheels for Linux only")
    folder = tmp_path_factory.mktemp("llama")
    tiny_model.write(folder / "tiny.gguf")
    command = [sys.executable, HERE / "llama_server.py", folder / "tiny.gguf", str(tiny_model.CONTEXT_TOKENS)]
    yield from serve("llama.cpp", command, folder)


@pytest.fixture(scope="session")
def aimock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """aimock over `aimock/fixtures.json`; skips where there is no Node, or its package cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("aimock needs Node.js with npm")
    program = _installed(npm) / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    command = [node, program, "--port", "0", "--fixtures", HERE / "aimock" / "fixtures.json"]
    yield from serve("aimock", command, tmp_path_factory.mktemp("aimock"))


def _installed(npm: str) -> Path:
    """The folder where the packages of `aimock/package-lock.json` are, fetched at first use and kept between runs."""
    lock = (HERE / "aimock" / "package-lock.json").read_bytes()
    kept = Path(tempfile.gettempdir()) / f"tollhouse-npm-{os.getuid()}-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not kept.exists():
        _install(npm, kept)
    # What another account has put there is not run.
    if kept.stat().st_uid != os.getuid():
        pytest.skip(f"{kept} belongs to another account")
    return kept


def _install(npm: str, kept: Path) -> None:
    """Whole or not at all, also beside another run of the suite."""
    folder = Path(tempfile.mkdtemp(prefix="tollhouse-npm-"))
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "aimock" / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--engine-strict", "--no-audit", "--no-fund"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(folder)
        pytest.skip(f"npm cannot fetch aimock: {(error.stderr or b'').decode(errors='replace')[:400] or error}")
    try:
        folder.rename(kept)
    except OSError:
        shutil.rmtree(folder)
