"""What every long-running command does with signals, and how it says that it is ready."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from services.process import tell_ready

WAITS = """
import asyncio, sys
from services.process import run, stop_signal

async def main():
    stopping = stop_signal()
    print("on", flush=True)
    await stopping.wait()
    print("stopping", flush=True)
    if "hang" in sys.argv:
        await asyncio.sleep(60)

run(main())
"""


def start(*arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", WAITS, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_in_order(number: int) -> None:
    with start() as process:
        process.send_signal(number)
        assert process.wait(30) == 0


def test_the_second_signal_ends_at_once() -> None:
    with start("hang") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == b"stopping\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM


def test_ready_is_one_line_and_the_end_of_the_file() -> None:
    read, write = os.pipe()
    tell_ready({"TOLLHOUSE_READY_FD": str(write)}, {"http": 4000, "grpc": None})
    with os.fdopen(read) as file:
        assert json.loads(file.read()) == {"http": 4000, "grpc": None}


def test_nobody_needs_to_be_told() -> None:
    tell_ready({}, {"http": 1})
