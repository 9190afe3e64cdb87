"""Runs one server and ends it when the parent ends, even when the parent is killed.

    python -I -S guard.py CONTROL UID GID COMMAND...

CONTROL is a descriptor: one end of a socket pair whose other end only the parent holds. End of file on it, SIGTERM,
SIGINT or SIGHUP mean: ask the server to end (SIGINT), and after 10 s kill it. The server's process id is written to
CONTROL once it runs. The exit status is the server's, or 128 + signal. UID and GID are the server's account, -1: ours.

This file is run by its path, in a session of its own, and imports as little as it can: it starts in some 20 ms. It
stays in the account of the parent, because a server's account may be unable to read the Python that runs this.
"""

import os
import select
import signal
import sys
import time

# PostgreSQL needs well under a second for a fast shutdown, Valkey to write what it holds; more means it hangs.
STOP_SECONDS = 10.0

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(arguments: list[str]) -> int:
    """Start the server, wait for its end or for the parent's."""
    control, uid, gid = (int(argument) for argument in arguments[:3])
    os.set_inheritable(control, False)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    # Held back over the fork: a signal that met Python's handlers in the new process would be lost to the server.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    server = os.fork()
    if server == 0:
        _become(arguments[3:], uid, gid)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_STOP_SIGNALS):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    _tell(control, server)
    return _watch(server, control, wake_read)


def _become(command: list[str], uid: int, gid: int) -> None:
    """In the forked process: be the server."""
    try:
        # Python ignores SIGPIPE, and what is ignored stays so in the program that follows.
        for number in (signal.SIGPIPE, *_STOP_SIGNALS):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        if uid != -1:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        os.execv(command[0], command)  # noqa: S606 -- the command is the parent's, and no shell reads it
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
    os._exit(127)


def _tell(control: int, server: int) -> None:
    try:
        os.write(control, b"%d\n" % server)
    except BrokenPipeError:
        return  # the parent is gone already: `_watch` sees its end of file


def _watch(server: int, control: int, wake: int) -> int:
    """Until the server has ended; its exit status."""
    kill_at: float | None = None
    while True:
        ended, status = os.waitpid(server, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if kill_at is None:
            readable, _, _ = select.select([control, wake], [], [])
        else:
            readable, _, _ = select.select([wake], [], [], max(0.0, kill_at - time.monotonic()))
            if time.monotonic() >= kill_at:
                os.kill(server, signal.SIGKILL)
                kill_at += STOP_SECONDS
        signals = os.read(wake, 64) if wake in readable else b""
        told = any(number != signal.SIGCHLD for number in signals)
        if kill_at is None and (told or (control in readable and not _read(control))):
            os.kill(server, signal.SIGINT)
            kill_at = time.monotonic() + STOP_SECONDS


def _read(control: int) -> bytes:
    try:
        return os.read(control, 64)
    except ConnectionResetError:  # the parent was killed before it read the process id
        return b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
