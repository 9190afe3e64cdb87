"""The command `tollhouse`. Without a verb, `tollhouse --config FILE ...` is `up`, with the flags of `litellm`.

A command's code is imported when it is called: `check-config` needs neither servers nor gRPC, and `up` wants its
servers started before the rest is read.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from services.config import ConfigError
from services.embedded.errors import EmbeddedError
from services.process import StartError
from services.settings import SettingsError
from services.startup import QuickModel


def main() -> None:
    """Run one command. What a person can mend is told in one line on stderr, with exit status 1."""
    given = sys.argv[1:]
    if given and given[0].startswith("-") and given[0] not in ("-h", "--help"):
        given = ["up", *given]
    arguments = _parser().parse_args(given)
    try:
        arguments.run(arguments)
    except (ConfigError, SettingsError, EmbeddedError, StartError) as error:
        sys.exit(f"tollhouse: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tollhouse", description="An AI gateway with hard budgets.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="run everything on this host, databases included")
    models = up.add_mutually_exclusive_group()
    _add_config(models)
    models.add_argument("-m", "--model", help="serve this one model, openai/gpt-4o-mini for one, without a file")
    up.add_argument("--api_base", metavar="URL", help="where the provider of --model is (default: its own address)")
    _add_http(up)
    up.add_argument("--data", type=Path, metavar="DIR", help="where data goes (default: $TOLLHOUSE_DATA or .tollhouse)")
    up.add_argument("--debug", "--detailed_debug", action="store_true", help="log at level debug")
    _add_litellm_flags(up.add_argument_group("LiteLLM's flags that have no effect"))
    up.set_defaults(run=_up)

    serve = commands.add_parser("serve", help="run some roles; the others and the databases are elsewhere")
    serve.add_argument("roles", metavar="ROLES", help="edge, router, keystore, ledger, comma-separated, or all")
    _add_config(serve, required=True)
    _add_http(serve)
    serve.set_defaults(run=_serve)

    migrate = commands.add_parser("migrate", help="bring the database's tables up to date")
    _add_config(migrate)
    migrate.set_defaults(run=_migrate)

    health = commands.add_parser("health", help="say whether roles on this host answer; a container's health check")
    health.add_argument("roles", metavar="ROLES", help="as for serve")
    health.add_argument("--port", type=int, help="where the edge listens for HTTP (default: $PORT or 4000)")
    health.set_defaults(run=_health)

    check = commands.add_parser("check-config", help="read a config.yaml and say whether it can be used")
    check.add_argument("file", type=Path, nargs="?", metavar="FILE")
    _add_config(check)
    check.set_defaults(run=_check_config)
    return parser


def _add_http(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", default="127.0.0.1", help="where the edge listens for HTTP (default: %(default)s)")
    command.add_argument("--port", type=int, help="default: $PORT or 4000; 0: any that is free")


def _add_config(command: argparse._ActionsContainer, *, required: bool = False) -> None:
    named = os.environ.get("CONFIG_FILE_PATH")
    command.add_argument(
        *("-c", "--config"),
        type=Path,
        default=Path(named) if named else None,
        required=required and not named,
        metavar="FILE",
        help="config.yaml (default: $CONFIG_FILE_PATH)",
    )


def _add_litellm_flags(group: argparse._ArgumentGroup) -> None:
    """Those of the command `litellm` that a start must not stumble over."""
    group.add_argument("--num_workers", type=int, default=1, metavar="N", help="one process serves everything")
    group.add_argument("--keepalive_timeout", type=int, metavar="SECONDS", help="idle connections end by themselves")
    for flag in ("--run_gunicorn", "--run_granian", "--run_hypercorn", "--use_prisma_db_push"):
        group.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    # Not taken in silence: who asks for TLS must not be served without.
    for flag in ("--ssl_keyfile_path", "--ssl_certfile_path"):
        group.add_argument(flag, metavar="FILE", help="refused: TLS is not served yet")


def _up(arguments: argparse.Namespace) -> None:
    if arguments.ssl_keyfile_path or arguments.ssl_certfile_path:
        raise StartError("TLS is not served yet; leave out --ssl_* and put a proxy that ends TLS in front")
    if arguments.num_workers != 1:
        print("tollhouse: --num_workers has no effect yet: one process serves everything", file=sys.stderr)
    if arguments.api_base and not arguments.model:
        raise StartError("--api_base goes with --model; in a file it is litellm_params.api_base")
    up = importlib.import_module("services.up")
    up.up(
        up.Options(
            source=QuickModel(arguments.model, arguments.api_base) if arguments.model else arguments.config,
            http_host=arguments.host,
            http_port=arguments.port,
            data=arguments.data,
            log_level="debug" if arguments.debug else None,
        )
    )


def _serve(arguments: argparse.Namespace) -> None:
    importlib.import_module("services.serve").serve(arguments.roles, arguments.config, arguments.host, arguments.port)


def _migrate(arguments: argparse.Namespace) -> None:
    importlib.import_module("services.serve").migrate(arguments.config)


def _health(arguments: argparse.Namespace) -> None:
    importlib.import_module("services.health").health(arguments.roles, arguments.port)


def _check_config(arguments: argparse.Namespace) -> None:
    file = arguments.file or arguments.config
    if file is None:
        raise StartError("name the file: tollhouse check-config FILE")
    importlib.import_module("services.check").check(file)


if __name__ == "__main__":
    main()
