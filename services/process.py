"""What every long-running command shares: its event loop, its end by signal, and how it says that it is ready."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Coroutine, Mapping
from typing import Any

import uvloop


class StartError(Exception):
    """The process cannot start; the message is one line for the person who started it."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a command on uvloop until it returns."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def stop_signal() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; a second one ends the process at once, with what guards it has."""
    stopping = asyncio.Event()

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    return stopping


def tell_ready(environ: Mapping[str, str], ports: Mapping[str, int | None]) -> None:
    """One line of JSON, our ports, on the descriptor TOLLHOUSE_READY_FD, when whoever started us has given one."""
    descriptor = environ.get("TOLLHOUSE_READY_FD")
    if descriptor:
        with os.fdopen(int(descriptor), "w") as file:
            file.write(json.dumps(ports) + "\n")
