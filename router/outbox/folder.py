"""A folder of segments, and the lock that says whether its process lives.

The lock is `flock` on a file inside it: the kernel lets go of it when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import uuid
from pathlib import Path

LOCK = "lock"
SUFFIX = ".segment"
# A folder gets its name once it is locked, so that nobody takes it over in between.
_UNFINISHED = ".new-"
# Nothing else is touched: the root may be a volume of its own, with a `lost+found`.
_NAME = re.compile("[0-9a-f]{32}")


class Folder:
    """A folder that this process holds the lock of."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def segment_path(self, first_sequence: int) -> Path:
        """Where the segment that begins so is; names sort by age."""
        return self.path / f"{first_sequence:020d}{SUFFIX}"

    def segments(self) -> list[Path]:
        """The segments there are, the oldest first."""
        return sorted(self.path.glob(f"*{SUFFIX}"))

    def release(self) -> None:
        """Let others take it over."""
        os.close(self._lock)

    def remove(self) -> None:
        """Delete it, and release it.

        The oldest segment goes first: a folder that is left half deleted holds no `opened` whose entry is gone.
        """
        for path in self.segments():
            path.unlink()
        (self.path / LOCK).unlink()
        self.path.rmdir()
        self.release()


def create(root: Path) -> Folder:
    """A new folder, locked. OSError when the disk does not allow it."""
    name = uuid.uuid4().hex
    unfinished, path = root / f"{_UNFINISHED}{name}", root / name
    unfinished.mkdir(parents=True, mode=0o700)
    lock = os.open(unfinished / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    unfinished.rename(path)
    return Folder(path, lock)


def others(root: Path, own: Path) -> list[Path]:
    """The folders of other processes, living or not."""
    return sorted(path for path in root.iterdir() if _NAME.fullmatch(path.name) and path != own)


def take_over(path: Path) -> Folder | None:
    """The folder, locked, when its process is gone; None when it lives or another has taken it."""
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        # Somebody was killed, or is, in the last step of deleting it.
        with contextlib.suppress(OSError):
            path.rmdir()
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had the lock may just have deleted the folder.
        if os.path.samestat(os.fstat(lock), os.stat(path / LOCK)):
            return Folder(path, lock)
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None
