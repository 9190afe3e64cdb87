"""The guard: its server ends when it should, and never outlives the parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil
import pytest

from services.embedded import guard

# A server that does not end when asked, and says so.
STUBBORN = [sys.executable, "-c", "import signal, time\nsignal.signal(2, signal.SIG_IGN)\nprint('on')\ntime.sleep(60)"]


@dataclass
class Guarded:
    process: subprocess.Popen[bytes]
    control: socket.socket
    server: int

    def server_lives(self) -> bool:
        return psutil.pid_exists(self.server) and psutil.Process(self.server).status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def guarded() -> Iterator[Callable[..., Guarded]]:
    """Starts a command under a guard."""
    started: list[Guarded] = []

    def start(*command: str, uid: int = -1, gid: int = -1) -> Guarded:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, *map(str, (theirs.fileno(), uid, gid)), *command],
                pass_fds=(theirs.fileno(),),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                # A group to lose: where tests run as root, root often has none.
                extra_groups=[4] if os.geteuid() == 0 else None,
            )
        started.append(Guarded(process, ours, int(ours.recv(32))))
        return started[-1]

    yield start
    for each in started:
        with suppress(ProcessLookupError):
            os.kill(each.server, signal.SIGKILL)
        each.control.close()
        each.process.communicate(timeout=30)


def test_end_of_file_ends_the_server(guarded: Callable[..., Guarded]) -> None:
    sleeper = guarded("/bin/sleep", "60")
    assert sleeper.server_lives()
    sleeper.control.close()
    assert sleeper.process.wait(30) == 128 + signal.SIGINT
    assert not sleeper.server_lives()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_guard_ends_the_server_first(guarded: Callable[..., Guarded], number: int) -> None:
    sleeper = guarded("/bin/sleep", "60")
    sleeper.process.send_signal(number)
    assert sleeper.process.wait(30) == 128 + signal.SIGINT
    assert not sleeper.server_lives()


def test_the_guard_ends_with_its_server_and_its_status(guarded: Callable[..., Guarded]) -> None:
    assert guarded("/bin/sh", "-c", "exit 7").process.wait(30) == 7
    killed = guarded("/bin/sleep", "60")
    os.kill(killed.server, signal.SIGKILL)
    assert killed.process.wait(30) == 128 + signal.SIGKILL


def test_a_server_that_does_not_end_when_asked_is_killed(guarded: Callable[..., Guarded]) -> None:
    stubborn = guarded(*STUBBORN)
    assert stubborn.process.stdout is not None
    stubborn.process.stdout.read(2)
    begun = time.monotonic()
    stubborn.control.close()
    assert stubborn.process.wait(5 * guard.STOP_SECONDS) == 128 + signal.SIGKILL
    # It was given its time before: a promise of at least, not of at most.
    assert time.monotonic() - begun >= guard.STOP_SECONDS


def test_asking_early_is_not_lost(guarded: Callable[..., Guarded]) -> None:
    """The parent may end before the new process has become the server."""
    for _ in range(20):
        sleeper = guarded("/bin/sleep", "60")
        sleeper.control.close()
        assert sleeper.process.wait(30) == 128 + signal.SIGINT


def test_a_program_that_is_not_there_is_named(guarded: Callable[..., Guarded]) -> None:
    missing = guarded("/nonexistent/server")
    _, errors = missing.process.communicate(timeout=30)
    assert missing.process.returncode == 127
    assert errors == b"cannot run /nonexistent/server: No such file or directory\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can lend an account")
def test_root_lends_an_account_and_none_of_its_groups(guarded: Callable[..., Guarded]) -> None:
    reporter = guarded("/usr/bin/env", "sh", "-c", "id -u; id -G", uid=65534, gid=65534)
    output, _ = reporter.process.communicate(timeout=30)
    assert output.split() == [b"65534", b"65534"]


def test_the_server_takes_sigpipe_as_programs_expect(guarded: Callable[..., Guarded]) -> None:
    """Python ignores it, and an ignored signal stays ignored in the program that follows."""
    assert guarded("/bin/sh", "-c", "kill -PIPE $$").process.wait(30) == 128 + signal.SIGPIPE
