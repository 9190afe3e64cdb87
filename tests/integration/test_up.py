"""`tollhouse up`: everything from an empty folder with one command, and nothing left of it afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import httpx
import psutil
import pytest

from services.embedded import guard

# Five times what a guard gives its server: a promise with a deadline is tested by a longer wait.
GONE_SECONDS = 5 * guard.STOP_SECONDS
READY_SECONDS = 60

CONFIG = """
model_list:
  - model_name: mock-gpt
    litellm_params: {model: openai/gpt-4o-mini, mock_response: Hello from Tollhouse.}
"""
CHAT = {"model": "mock-gpt", "messages": [{"role": "user", "content": "Hello"}]}


class Up:
    """One `tollhouse up`, ready."""

    def __init__(self, folder: Path, prefix: Sequence[str] = ()) -> None:
        self.data = folder / "data"
        begun = time.monotonic()
        self.process, ready = launch(folder, ["--port", "0"], {}, prefix)
        line = ready.readline()
        ready.close()
        if not line:
            self.process.wait(30)
            raise RuntimeError((folder / "errors").read_text())
        self.ready_seconds = time.monotonic() - begun
        self.url = f"http://127.0.0.1:{json.loads(line)['http']}"
        self.output = (folder / "output").read_text()

    @property
    def headers(self) -> dict[str, str]:
        key = (self.data / "secrets" / "master_key").read_text().strip()
        return {"Authorization": f"Bearer {key}"}

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(READY_SECONDS)


def launch(
    folder: Path, arguments: list[str], environ: dict[str, str], prefix: Sequence[str] = ()
) -> tuple[subprocess.Popen[bytes], TextIO]:
    """Start `tollhouse up` on `folder`/data; the process, and the file on which it says that it is ready."""
    (folder / "config.yaml").write_text(CONFIG)
    read, write = os.pipe()
    with (folder / "output").open("wb") as output, (folder / "errors").open("ab") as errors:
        process = subprocess.Popen(
            [
                *prefix,
                sys.executable,
                "-m",
                "services",
                *("up", "--config", "config.yaml", "--data", "data"),
                *arguments,
            ],
            env={"PATH": os.environ["PATH"], "TOLLHOUSE_READY_FD": str(write)} | environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            pass_fds=(write,),
        )
    os.close(write)
    return process, os.fdopen(read)


def processes_of(data: Path) -> list[psutil.Process]:
    """Those that name the data folder, or work in it: servers, their workers and their guards."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            places = (*process.cmdline(), process.cwd())
            if process.status() != psutil.STATUS_ZOMBIE and any(str(data) in place for place in places):
                found.append(process)
    return found


def wait_until_gone(data: Path) -> float:
    """Wait until no process of the folder is left; how long that took. AssertionError after GONE_SECONDS."""
    begun = time.monotonic()
    while left := processes_of(data):
        assert time.monotonic() - begun < GONE_SECONDS, [process.cmdline() for process in left]
        time.sleep(0.05)
    return time.monotonic() - begun


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every account can reach. Whatever still runs on it at the end is killed, and that is a failure."""
    path = Path(tempfile.mkdtemp(prefix="tollhouse-test-"))
    path.chmod(0o755)
    yield path
    left = processes_of(path)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    shutil.rmtree(path)
    assert not left, left


@pytest.fixture
def up(folder: Path) -> Iterator[Callable[..., Up]]:
    """Starts `tollhouse up` on `folder`; ended with the test."""
    started: list[Up] = []

    def start(**options: object) -> Up:
        started.append(Up(folder, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGTERM)


def test_an_empty_folder_becomes_a_gateway_that_answers(up: Callable[..., Up]) -> None:
    gateway = up()
    print(f"ready after {gateway.ready_seconds:.2f} s from an empty folder")
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", headers=gateway.headers, json=CHAT)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "Hello from Tollhouse."
    assert httpx.post(f"{gateway.url}/v1/chat/completions", json=CHAT).status_code == 401


def test_the_line_that_it_prints_works_as_it_stands(up: Callable[..., Up], folder: Path) -> None:
    gateway = up()
    assert f"Tollhouse listens on {gateway.url}" in gateway.output
    assert "Master key: data/secrets/master_key" in gateway.output
    assert gateway.headers["Authorization"].removeprefix("Bearer ") not in gateway.output
    line = gateway.output.strip().splitlines()[-1]
    answer = subprocess.run(line, shell=True, cwd=folder, capture_output=True, check=True, text=True)
    assert json.loads(answer.stdout)["choices"][0]["message"]["content"] == "Hello from Tollhouse."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_roles_in_order_then_the_servers(up: Callable[..., Up], folder: Path, number: int) -> None:
    gateway = up()
    assert {process.name() for process in processes_of(gateway.data)} >= {"postgres", "valkey-server"}
    assert gateway.end(number) == 0
    assert processes_of(gateway.data) == []
    events = [json.loads(line) for line in (folder / "errors").read_text().splitlines()]
    assert [event["role"] for event in events if event["event"] == "role_ended"] == [
        "edge",
        "router",
        "keystore",
        "ledger",
    ]
    assert [event for event in events if event["level"] in ("error", "critical")] == []
    # The database was ended in order, after its users: it has nothing to recover.
    assert "FATAL" not in (gateway.data / "postgres.log").read_text()


def test_killed_it_leaves_no_process(up: Callable[..., Up]) -> None:
    gateway = up()
    assert processes_of(gateway.data)
    gateway.process.kill()
    gateway.process.wait(30)
    print(f"nothing left {wait_until_gone(gateway.data):.2f} s after kill -9")


def test_a_second_start_finds_what_the_first_one_kept(up: Callable[..., Up]) -> None:
    first = up()
    made = httpx.post(f"{first.url}/key/generate", headers=first.headers, json={"models": ["mock-gpt"]})
    assert made.status_code == 200, made.text
    master = first.headers
    first.process.kill()
    first.process.wait(30)
    second = up()  # at once: the servers of the first may still be ending
    print(f"ready after {second.ready_seconds:.2f} s after kill -9")
    assert second.headers == master
    answer = httpx.post(
        f"{second.url}/v1/chat/completions", headers={"Authorization": f"Bearer {made.json()['key']}"}, json=CHAT
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become somebody else")
def test_an_ordinary_account_needs_nothing_of_root(up: Callable[..., Up], folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    # It may read what root may, and no more than that: the Python that runs this may lie in root's home.
    reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    gateway = up(prefix=["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", *reads])
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", headers=gateway.headers, json=CHAT)
    assert answer.status_code == 200, answer.text
    assert {process.uids().real for process in processes_of(gateway.data)} == {nobody.pw_uid}
    assert gateway.end(signal.SIGTERM) == 0
    assert processes_of(gateway.data) == []


def refusal(folder: Path, *arguments: str, **environ: str) -> str:
    """What a start that must fail says: one line; nothing runs afterwards."""
    (line,) = refusals(folder, *arguments, **environ)
    return line


def refusals(folder: Path, *arguments: str, **environ: str) -> list[str]:
    """The same with what it warns of before."""
    process, ready = launch(folder, list(arguments), environ)
    with ready:
        assert ready.readline() == ""
    assert process.wait(30) == 1
    assert processes_of(folder) == []
    return [line for line in (folder / "errors").read_text().splitlines() if not line.startswith("{")]


def test_a_port_that_is_taken_is_named_before_anything_starts(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert refusal(folder, "--port", str(port)) == (
            f"tollhouse: cannot listen on 127.0.0.1:{port}: Address already in use"
        )
    assert not (folder / "data").exists()


def test_a_master_key_that_everybody_knows_is_refused_where_others_reach_it(folder: Path) -> None:
    line = refusal(folder, "--port", "0", "--host", "0.0.0.0", LITELLM_MASTER_KEY="sk-1234")
    assert line.startswith("tollhouse: the master key is a well-known one")
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("host", "permission"),
    [("127.0.0.1", {}), ("0.0.0.0", {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"})],
)
def test_elsewhere_and_where_it_is_permitted_it_is_warned_about(
    folder: Path, host: str, permission: dict[str, str]
) -> None:
    with socket.socket() as other:
        other.bind((host, 0))
        other.listen()
        port = str(other.getsockname()[1])
        warned, refused = refusals(folder, "--port", port, "--host", host, LITELLM_MASTER_KEY="sk-1234", **permission)
    assert warned.startswith("tollhouse: WARNING: the master key is a well-known one")
    assert "cannot listen" in refused


def test_a_database_that_is_not_there_is_told_and_valkey_ended(folder: Path) -> None:
    environ = {
        "DATABASE_URL": "postgresql://user:secret@127.0.0.1:1/gateway",
        "TOLLHOUSE_DATABASE_WAIT_SECONDS": "0.5",
    }
    line = refusal(folder, "--port", "0", **environ)
    assert line.startswith("tollhouse: the database cannot be reached: ")
    assert "secret" not in line


def test_a_file_that_is_no_configuration_is_told_with_its_line(folder: Path) -> None:
    (folder / "broken.yaml").write_text("model_list:\n  - model_name: 7\n")
    line = refusal(folder, "--config", "broken.yaml")
    assert line.startswith("tollhouse: broken.yaml:2: ")


def test_a_data_folder_that_cannot_be_used_is_told(folder: Path) -> None:
    (folder / "data").write_text("a file")
    assert refusal(folder, "--port", "0").startswith("tollhouse: cannot use the data folder: ")
