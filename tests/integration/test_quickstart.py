"""docs/quickstart.md, line by line as a newcomer types it: only the installation is there already.

The lines run in a folder that stands for the clone, so that `.tollhouse` is the test's own; the port is any free one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/quickstart.md").read_text()
# A start takes a few seconds; on a machine that runs other things as well, several times that.
SECONDS = 60

# What a reader's shell has, and this one only so. `--assume-old`: what is installed is not installed again.
PRELUDE = f"""
set -eu
curl() {{ command curl --silent --show-error --max-time 30 --write-out '\\n%{{http_code}}' "$@"; }}
make() {{ exec make --file={ROOT}/Makefile --assume-old={sys.prefix}/.ready VENV={sys.prefix} "$@"; }}
"""


class Clone:
    """The folder in which the page's lines are typed, and the gateway that runs there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "examples", folder / "examples")
        (folder / ".venv").symlink_to(sys.prefix)
        self.gateway: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self, line: str) -> str:
        """Type a line that goes on running; what it has printed, once it says how to try it."""
        self.gateway = subprocess.Popen(
            ["bash", "-c", PRELUDE + line],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PORT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "errors").open("ab"),
            text=True,
            start_new_session=True,
        )
        assert self.gateway.stdout is not None
        output = ""
        for printed in self.gateway.stdout:
            output += printed
            if printed.startswith("  curl "):
                break
        found = re.search(r"Tollhouse listens on (http://127\.0\.0\.1:\d+)", output)
        assert found, output + (self.folder / "errors").read_text()
        self.url = found[1]
        return output

    def type(self, line: str) -> str:
        """Type a line that ends, and well; what it has printed."""
        done = subprocess.run(
            ["bash", "-c", PRELUDE + line.replace("http://127.0.0.1:4000", self.url)],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            timeout=SECONDS,
            text=True,
        )
        assert done.returncode == 0, done
        return done.stdout

    def curl(self, line: str) -> tuple[int, Any]:
        """Type a curl line; status and body."""
        body, _, status = self.type(line).rpartition("\n")
        return int(status), json.loads(body)

    def press_ctrl_c(self) -> None:
        """As a terminal does: all of its foreground processes get the signal. Returns when nothing runs any more."""
        assert self.gateway is not None
        os.killpg(self.gateway.pid, signal.SIGINT)
        self.gateway.wait(SECONDS)
        until = time.monotonic() + SECONDS
        while left := self.processes():
            assert time.monotonic() < until, left
            time.sleep(0.05)

    def processes(self) -> list[psutil.Process]:
        """Those that work in the folder, or name it."""
        found = []
        for process in psutil.process_iter():
            try:
                if any(str(self.folder) in place for place in (*process.cmdline(), process.cwd())):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


@pytest.fixture
def clone() -> Iterator[Clone]:
    """In a folder that every account can reach, for the databases run as another than root."""
    folder = Path(tempfile.mkdtemp(prefix="tollhouse-test-"))
    folder.chmod(0o755)
    made = Clone(folder)
    yield made
    for process in made.processes():
        process.kill()
    if made.gateway is not None:
        made.gateway.wait(SECONDS)
    shutil.rmtree(folder)


def test_every_line_does_what_the_page_says(clone: Clone) -> None:
    blocks = [textwrap.dedent(block) for block in re.findall(r"^ *```\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)]
    run, call, make_key, call_with_key, spend, copy, check, run_own = blocks
    cost_usd = float(re.findall(r"Each call costs \$([\d.]+)", PAGE)[0])
    budget_usd = float(re.findall(r'"max_budget": ([\d.]+)', make_key)[0])

    printed = clone.start(run)
    assert "Master key: .tollhouse/secrets/master_key" in printed
    status, answer = clone.curl(call)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "Hello from Tollhouse.")

    assert clone.curl(make_key)[0] == 200
    answered = 0
    while (result := clone.curl(call_with_key))[0] == 200:
        answered += 1
        assert answered < 5, "a budget that does not hold"
    assert (result[0], result[1]["error"]["type"]) == (422, "budget_exceeded")

    refused, *of_the_key, of_the_master = spent(clone, spend, answered + 2)
    assert (refused, of_the_master) == (0, cost_usd)
    assert of_the_key[1:] == [cost_usd] * (answered - 1)
    assert 0 < of_the_key[0] <= cost_usd
    # Refused is what the rest would pay for at the usual price, and not at the dearest, less than twice as much.
    assert sum(of_the_key) <= budget_usd < sum(of_the_key) + 2 * cost_usd

    clone.press_ctrl_c()
    clone.type(copy)
    assert "my.yaml: 1 deployments of 1 can be served" in clone.type(check)
    clone.start(run_own)
    assert clone.curl(call_with_key)[0] == 422, "the data was kept"
    clone.press_ctrl_c()
    assert (clone.folder / ".tollhouse").is_dir()


def spent(clone: Clone, line: str, count: int) -> list[float]:
    """What each call has cost, the newest first, once so many of them have reached the ledger."""
    until = time.monotonic() + SECONDS
    while True:
        status, entries = clone.curl(line)
        assert status == 200
        if len(entries) >= count:
            return [entry["spend"] for entry in entries]
        assert time.monotonic() < until, entries
        time.sleep(0.1)
