"""The command `tollhouse`.

A command's code is imported when it is called: `check-config` needs neither servers nor gRPC, and `up` wants its
servers started before the rest is read.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from services import config
from services.config import ConfigError
from services.embedded.errors import EmbeddedError
from services.process import StartError
from services.settings import SettingsError


def main() -> None:
    """Run one command. What a person can mend is told in one line on stderr, with exit status 1."""
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except (ConfigError, SettingsError, EmbeddedError, StartError) as error:
        sys.exit(f"tollhouse: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tollhouse", description="An AI gateway with hard budgets.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="run everything on this host, databases included")
    up.add_argument("--config", type=Path, metavar="FILE", help="config.yaml; without one there are no models")
    _add_http(up)
    up.add_argument("--data", type=Path, metavar="DIR", help="where data goes (default: $TOLLHOUSE_DATA or .tollhouse)")
    up.set_defaults(run=_up)

    serve = commands.add_parser("serve", help="run some roles; the others and the databases are elsewhere")
    serve.add_argument("roles", metavar="ROLES", help="edge, router, keystore, ledger, comma-separated, or all")
    serve.add_argument("--config", type=Path, required=True, metavar="FILE")
    _add_http(serve)
    serve.set_defaults(run=_serve)

    migrate = commands.add_parser("migrate", help="bring the database's tables up to date")
    migrate.add_argument("--config", type=Path, metavar="FILE", help="for general_settings.database_url")
    migrate.set_defaults(run=_migrate)

    check = commands.add_parser("check-config", help="read a config.yaml and say whether it can be used")
    check.add_argument("--config", type=Path, required=True, metavar="FILE")
    check.set_defaults(run=_check_config)
    return parser


def _add_http(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", default="127.0.0.1", help="where the edge listens for HTTP (default: %(default)s)")
    command.add_argument("--port", type=int, default=4000, help="default: %(default)s; 0: any that is free")


def _up(arguments: argparse.Namespace) -> None:
    importlib.import_module("services.up").up(arguments.config, arguments.host, arguments.port, arguments.data)


def _serve(arguments: argparse.Namespace) -> None:
    importlib.import_module("services.serve").serve(arguments.roles, arguments.config, arguments.host, arguments.port)


def _migrate(arguments: argparse.Namespace) -> None:
    importlib.import_module("services.serve").migrate(arguments.config)


def _check_config(arguments: argparse.Namespace) -> None:
    read = config.load(arguments.config, os.environ)
    print(f"{arguments.config}: {len(read.model_list)} deployments")
    for key in read.ignored:
        print(f"{arguments.config}: {key} has no effect yet")


if __name__ == "__main__":
    main()
