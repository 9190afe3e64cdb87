"""Which folder the data of a single host goes to."""

from __future__ import annotations

import errno
from pathlib import Path

from services.embedded.account import Account

# For root, when the folder it asked for lies in a home that the servers' account may not enter.
FALLBACK = Path("/var/lib/tollhouse")


def make_data_folder(wished: Path, account: Account, fallback: Path = FALLBACK) -> Path:
    """The wished folder, absolute; or `fallback` when the servers' account cannot reach the wished one.

    Made when missing: for nobody else, or, when the servers have an account of their own, for others to pass through
    and not to read. OSError when it cannot be made.
    """
    folder = wished.absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(nearest))
    if account.is_lent and not account.can_enter(nearest):
        folder = fallback
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o711 if account.is_lent else 0o700)
    return folder
