"""Folders for Unix sockets, whose paths must be short."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from services.embedded.account import Account

# A socket's path may have 107 bytes on Linux and 103 on macOS; the longest name that goes in here is 21 long.
_LONGEST = 80


class SocketFolder:
    """A folder of mode 0700 for one server's sockets: the one wished for, or one in the system's temporary folder."""

    def __init__(self, wished: Path, account: Account) -> None:
        self.path = wished
        self._account = account
        self._temporary = len(str(wished).encode()) > _LONGEST

    def make(self) -> None:
        """Make it; `path` is final from here on."""
        if self._temporary:
            self.path = Path(tempfile.mkdtemp(prefix="tollhouse-"))
        self._account.make_folder(self.path)

    def remove(self) -> None:
        """Remove it and what is left in it."""
        shutil.rmtree(self.path, ignore_errors=True)
