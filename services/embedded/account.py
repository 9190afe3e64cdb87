"""The account that embedded servers run as. PostgreSQL refuses to run as root, so root lends it another."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.embedded.errors import EmbeddedError

# Debian and the official images have the first, every Unix the second.
_NAMES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """uid and gid of the servers; None both: those of this process."""

    uid: int | None = None
    gid: int | None = None

    @property
    def is_lent(self) -> bool:
        """Whether it is another than ours."""
        return self.uid is not None

    def run(self, command: Sequence[str | Path], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a short command as this account, with nothing to read; PermissionError when it may not."""
        return subprocess.run(  # noqa: S603 -- the commands are this package's own
            command,
            env=environ,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )

    def can_run(self, program: Path) -> bool:
        """Whether `program --version` works: it can be reached, fits this machine and finds its libraries."""
        try:
            return self.run([program, "--version"], server_environment()).returncode == 0
        except OSError:
            return False

    def can_enter(self, folder: Path) -> bool:
        """Whether it can pass through a folder and all those above it."""
        return self.run(["/bin/sh", "-c", 'cd "$0"', folder], server_environment()).returncode == 0

    def make_folder(self, folder: Path) -> None:
        """A folder that only this account may enter (and root)."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        if self.uid is not None and self.gid is not None:
            os.chown(folder, self.uid, self.gid)


def server_account() -> Account:
    """Ours, unless we are root. EmbeddedError when root finds no other."""
    if os.geteuid() != 0:
        return Account()
    for name in _NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(f"running as root, and there is no account {' or '.join(_NAMES)} to run PostgreSQL as")


def server_environment() -> dict[str, str]:
    """What a server sees of our environment: nothing that may hold a credential or change how it works."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
