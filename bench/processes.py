"""Starts what the bench needs, each on its core, and ends it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.fake_provider import Stats
from bench.load import Outcome
from bench.scenarios import Scenario

GATEWAY_CORE, LOAD_CORE = 0, 1
_READY_SECONDS = 60
_STOP_SECONDS = 30
# What a run takes beyond its own time: starting Python, and waiting for calls that are under way.
_LOAD_SLACK_SECONDS = 30


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes started in here run on this core alone. Without two cores, or off Linux: wherever they like."""
    if not can_pin():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def can_pin() -> bool:
    """Whether the gateway and the load can each have a core of their own."""
    return hasattr(os, "sched_getaffinity") and {GATEWAY_CORE, LOAD_CORE} <= os.sched_getaffinity(0)


class FakeProvider:
    """The fake provider's process."""

    def __init__(self) -> None:
        with on_core(LOAD_CORE):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.fake_provider"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def stats(self) -> Stats:
        """What it has seen so far."""
        return msgspec.json.decode(get(f"http://127.0.0.1:{self.port}/stats"), type=Stats)

    def stop(self) -> None:
        """End it."""
        self._process.communicate(timeout=_STOP_SECONDS)


def run_load(scenario: Scenario, port: int, key: str, model: str, seconds: float) -> Outcome:
    """One run of the load generator against whatever listens on `port`."""
    command = [sys.executable, "-m", "bench.load", "--port", str(port), "--key", key, "--model", model]
    command += ["--connections", str(scenario.connections), "--rate", str(scenario.rate), "--seconds", str(seconds)]
    command += ["--stream"] if scenario.streamed else []
    with on_core(LOAD_CORE):
        ran = subprocess.run(
            command, stdout=subprocess.PIPE, timeout=seconds + _LOAD_SLACK_SECONDS, check=True, text=True
        )
    return msgspec.json.decode(ran.stdout, type=Outcome)


def start_tollhouse(
    arguments: Sequence[str], environ: Mapping[str, str], folder: Path, name: str
) -> tuple[subprocess.Popen[bytes], int]:
    """Start one process of the gateway and wait until it is ready; its HTTP port, 0 when it has none."""
    read, write = os.pipe()
    with on_core(GATEWAY_CORE), (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services", *arguments],
            env={**environ, "TOLLHOUSE_READY_FD": str(write)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write,),
            cwd=folder,
        )
    os.close(write)
    with os.fdopen(read) as ready:
        readable, _, _ = select.select([ready], [], [], _READY_SECONDS)
        line = ready.readline() if readable else ""
    if not line:
        process.kill()
        raise RuntimeError(f"{name} did not start:\n{(folder / f'{name}.log').read_text()[-4000:]}")
    return process, msgspec.json.decode(line)["http"] or 0


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """End it in order; one that does not end is killed, and TimeoutExpired says so."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def get(url: str, key: str = "", body: object = None, *, timeout_seconds: float = 10) -> bytes:
    """GET, or POST of a JSON body; the answer's body. HTTPError when the status is none of 2xx."""
    request = urllib.request.Request(url, data=None if body is None else msgspec.json.encode(body))
    request.add_header("content-type", "application/json")
    if key:
        request.add_header("authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
        answer: bytes = response.read()
        return answer
