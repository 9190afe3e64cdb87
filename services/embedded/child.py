"""Starts a server under its guard, knows whether it lives, and ends it."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from services.embedded import guard
from services.embedded.account import Account, server_environment
from services.embedded.errors import EmbeddedError

# Recovery after a crash reads a log of a few hundred MB at most; a server that needs longer wants a person.
READY_SECONDS = 60.0
_POLL_SECONDS = 0.01
# How long to wait for a server whose parent was killed: as long as its guard gives it, and some for a busy machine.
_ENDING_SECONDS = guard.STOP_SECONDS + 5
# A log is for the last failure; one that has grown past this is begun anew at the next start.
_LOG_BYTES = 8 * 1024 * 1024


class Child:
    """A running server. `pid` is its own, not its guard's."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], control: socket.socket, log: Path, log_offset: int
    ) -> None:
        self._name = name
        self._process = process
        self._control = control
        self._log = log
        self._log_offset = log_offset
        self.pid = int(control.recv(32) or 0)

    @classmethod
    def start(cls, name: str, command: Sequence[str | Path], *, account: Account, lock: Path, log: Path) -> Child:
        """Start `command`, once no other server holds `lock`. What it prints goes to the file `log`.

        The lock is held by the server itself, so a server whose parent was killed keeps it until it has ended.
        """
        ids = (account.uid, account.gid) if account.is_lent else (-1, -1)
        ours, theirs = socket.socketpair()
        with _hold(lock, name) as held, theirs, _open_log(log) as output:
            log_offset = output.tell()
            process = subprocess.Popen(  # noqa: S603 -- the command is this package's own
                [
                    *(sys.executable, "-I", "-S", guard.__file__),
                    *map(str, (theirs.fileno(), *ids)),
                    *command,
                ],
                env=server_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(), held.fileno()),
                start_new_session=True,
            )
        return cls(name, process, ours, log, log_offset)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return when the server is ready. EmbeddedError when it ends or takes too long; it is then ended."""
        give_up_at = time.monotonic() + READY_SECONDS
        while not ready():
            if self._process.poll() is not None:
                self._control.close()
                raise EmbeddedError(f"{self._name} did not start: {self._last_words()} (see {self._log})")
            if time.monotonic() > give_up_at:
                self.stop()
                raise EmbeddedError(f"{self._name} was not ready within {READY_SECONDS:g} s (see {self._log})")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """End it in order; its guard kills it when that takes too long."""
        self._control.close()
        self._process.wait()

    def _last_words(self) -> str:
        """The line of its log that says why; explanations may follow it."""
        with self._log.open("rb") as file:
            file.seek(self._log_offset)
            lines = file.read(_LOG_BYTES).decode(errors="replace").strip().splitlines()
        fatal = [line for line in lines if "FATAL" in line]
        return (fatal or lines or [f"exit status {self._process.returncode}"])[-1]


def _hold(lock: Path, name: str) -> BinaryIO:
    """The lock file, locked. Waits for a server that is ending just now."""
    give_up_at = time.monotonic() + _ENDING_SECONDS
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    file = os.fdopen(descriptor, "r+b")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                file.close()
                raise EmbeddedError(f"{name} is already running on {lock.parent}; end that one first") from None
            time.sleep(_POLL_SECONDS)
        else:
            return file


def _open_log(log: Path) -> BinaryIO:
    grown = log.exists() and log.stat().st_size > _LOG_BYTES
    file = log.open("wb" if grown else "ab")
    os.fchmod(file.fileno(), 0o600)
    return file
