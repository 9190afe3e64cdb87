"""The commands of a deployment: what they refuse, in one line, and what they do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

GIVEN = {"PATH": os.environ["PATH"], "TOLLHOUSE_INTERNAL_TOKEN": "token", "TOLLHOUSE_GRPC_LISTEN": "127.0.0.1:0"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text("model_list: [{model_name: m, litellm_params: {model: openai/gpt-4o-mini, mock_response: hi}}]\n")
    return file


def run(*arguments: str | Path, environ: Mapping[str, str] = GIVEN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(*arguments: str | Path, environ: Mapping[str, str] = GIVEN) -> str:
    """The one line of a command that must fail; what is logged beside it is JSON."""
    done = run(*arguments, environ=environ)
    assert done.returncode == 1, done
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    return line


def test_a_usable_configuration_passes_the_check(config: Path) -> None:
    for arguments, environ in (
        ([config], {}),
        (["--config", config], {}),
        ([], {"CONFIG_FILE_PATH": str(config)}),
    ):
        done = run("check-config", *arguments, environ=GIVEN | environ)
        assert (done.returncode, done.stdout) == (0, f"{config}: 1 deployments of 1 can be served\n"), done


def test_what_is_left_out_and_what_has_no_effect_is_named_by_the_check(config: Path) -> None:
    config.write_text(
        "model_list:\n"
        "- {model_name: m, litellm_params: {model: gpt-4o, tags: [a]}}\n"
        "- {model_name: w, litellm_params: {model: openai/*}}\n"
        "surprise: {x: 1}\n"
        "router_settings: {num_retires: 1, retry_policy: {}}\n"
    )
    done = run("check-config", config, environ=GIVEN | {"STORE_MODEL_IN_DB": "True"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{config}: 1 deployments of 2 can be served",
        f"{config}:3: model_list[1]: w is left out: wildcards are not served yet",
        f"{config}:5: router_settings.num_retires: is unknown, perhaps a typo; known: num_retries",
        f"{config}:4: surprise: is unknown, perhaps a typo",
        "not acted on yet: model_list[].litellm_params.tags, router_settings.retry_policy",
        "STORE_MODEL_IN_DB is not acted on yet: models are those of the configuration",
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("model_list:\n  - model_name: m\n    litellm_params: 7\n", ":3: model_list[0].litellm_params: expected"),
        # These only the router knows.
        (
            "model_list:\n- {model_name: m, litellm_params: {model: opnai/m}}\n",
            ":2: model_list[0].litellm_params.model:",
        ),
        (
            "model_list:\n- {model_name: m, litellm_params: {model: nobodys}}\n",
            ":2: model_list[0].litellm_params.model:",
        ),
        ("include: more.yaml\n", ":1: include: "),
    ],
)
def test_a_broken_configuration_fails_the_check_with_its_line(config: Path, text: str, where: str) -> None:
    config.write_text(text)
    assert refusal("check-config", config).startswith(f"tollhouse: {config}{where}")


def test_a_check_without_a_file_asks_for_one() -> None:
    assert refusal("check-config") == "tollhouse: name the file: tollhouse check-config FILE"


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    assert refusal("serve", "ledger", "--config", missing).startswith(f"tollhouse: {missing}: cannot be read")


def test_a_role_that_does_not_exist_is_named(config: Path) -> None:
    assert "'egde' is no role" in refusal("serve", "egde", "--config", config)


def test_what_a_role_needs_and_does_not_have_is_named(config: Path) -> None:
    line = refusal("serve", "ledger", "--config", config)
    assert line == "tollhouse: DATABASE_URL is not set; the ledger needs it"
    assert refusal("migrate") == "tollhouse: DATABASE_URL is not set"


def test_an_edge_that_others_reach_has_a_master_key_of_its_own(config: Path) -> None:
    environ = {**GIVEN, "LITELLM_MASTER_KEY": "sk-1234", "TOLLHOUSE_INTERNAL_TOKEN": "token"}
    line = refusal("serve", "edge", "-c", config, "--host", "0.0.0.0", "--port", "0", environ=environ)
    assert line.startswith("tollhouse: the master key is a well-known one")


def test_a_grpc_port_that_is_taken_is_named(config: Path, database_url: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        environ = {**GIVEN, "DATABASE_URL": database_url, "TOLLHOUSE_GRPC_LISTEN": address}
        assert refusal("serve", "ledger", "--config", config, environ=environ) == (
            f"tollhouse: cannot listen on {address}: Address already in use"
        )


async def test_migrations_run_once(config: Path, database_url: str) -> None:
    environ = {**GIVEN, "DATABASE_URL": database_url}
    first, second = run("migrate", environ=environ), run("migrate", "--config", config, environ=environ)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert second.stdout == "Migrations run: 0.\n"
    connection = await asyncpg.connect(database_url)
    try:
        for schema in ("ledger", "keystore"):
            ran = await connection.fetchval(f"SELECT count(*) FROM {schema}.migrations")
            assert ran > 0, schema
    finally:
        await connection.close()


def test_a_role_waits_for_its_database_and_ends_in_order_without_it(config: Path) -> None:
    """A neighbour that is not there is no reason not to start: processes may come up in any order."""
    read, write = os.pipe()
    environ = {**GIVEN, "DATABASE_URL": "postgresql://127.0.0.1:1/none", "TOLLHOUSE_READY_FD": str(write)}
    with subprocess.Popen(
        [sys.executable, "-m", "services", "serve", "ledger", "--config", config],
        env=environ,
        pass_fds=(write,),
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(write)
        with os.fdopen(read) as ready:
            assert ready.readline().startswith('{"http": null, "grpc": ')
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
