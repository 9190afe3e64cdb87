"""The command line: LiteLLM's flags, with and without a verb."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services import __main__ as command
from services import up
from services.startup import QuickModel
from services.up import Options


@pytest.fixture
def options_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Options]:
    """What `up` is called with by a command line."""
    monkeypatch.delenv("CONFIG_FILE_PATH", raising=False)

    def options_of(line: str) -> Options:
        seen: list[Options] = []
        monkeypatch.setattr(up, "up", seen.append)
        monkeypatch.setattr(sys, "argv", ["tollhouse", *line.split()])
        command.main()
        return seen[0]

    return options_of


CONFIG = Path("config.yaml")
LINES = {
    "up": Options(),
    "up --config config.yaml": Options(CONFIG),
    "--config config.yaml --port 80 --host 0.0.0.0": Options(CONFIG, "0.0.0.0", 80),
    "-c config.yaml --num_workers 1": Options(CONFIG),
    "--config config.yaml --detailed_debug": Options(CONFIG, log_level="debug"),
    "--debug --config config.yaml": Options(CONFIG, log_level="debug"),
    "--config config.yaml --run_gunicorn --keepalive_timeout 75 --use_prisma_db_push": Options(CONFIG),
    "--model gpt-4o": Options(QuickModel("gpt-4o")),
    "-m openai/x --api_base http://h/v1": Options(QuickModel("openai/x", "http://h/v1")),
    "up --data /d --port 0": Options(data=Path("/d"), http_port=0),
}


@pytest.mark.parametrize(("line", "options"), LINES.items(), ids=LINES)
def test_a_line_means(
    options_of: Callable[[str], Options], line: str, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    assert options_of(line) == options
    assert capsys.readouterr().err == ""


def test_the_environment_names_the_file_unless_the_line_says_otherwise(
    options_of: Callable[[str], Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIG_FILE_PATH", "of-the-environment.yaml")
    assert options_of("up").source == Path("of-the-environment.yaml")
    assert options_of("--config config.yaml").source == CONFIG
    assert options_of("--model m").source == QuickModel("m")


def test_workers_are_told_to_be_one(options_of: Callable[[str], Options], capsys: pytest.CaptureFixture[str]) -> None:
    assert options_of("--config config.yaml --num_workers 4") == Options(CONFIG)
    assert capsys.readouterr().err == ("tollhouse: --num_workers has no effect yet: one process serves everything\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--config c --ssl_certfile_path cert.pem", "tollhouse: TLS is not served yet"),
        ("--config c --ssl_keyfile_path key.pem", "tollhouse: TLS is not served yet"),
        ("--config c --api_base http://h", "tollhouse: --api_base goes with --model"),
    ],
)
def test_what_would_not_be_what_was_asked_for_is_refused(
    options_of: Callable[[str], Options], line: str, message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        options_of(line)


@pytest.mark.parametrize("line", ["", "--help", "up --config c --model m", "serve edge", "nothing"])
def test_other_lines_end_with_the_usage(options_of: Callable[[str], Options], line: str) -> None:
    with pytest.raises(SystemExit) as caught:
        options_of(line)
    assert caught.value.code == (0 if line == "--help" else 2)
