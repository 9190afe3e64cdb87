"""The house rules that a linter does not know, held to every file of the project.

An exception to a rule stands in its table here, with the reason; one that is no longer needed fails as well.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("services", "edge", "router", "keystore", "ledger", "bench", "hatch_build.py")

LONGEST_FILE_LINES = 450
LONGEST_FUNCTION_LINES = 70

# path -> reason
LONG_FILES: Mapping[str, str] = {}
# path::function -> reason
LONG_FUNCTIONS: Mapping[str, str] = {}
# path::function -> why it is the outermost rim of a task or a handler
RIMS: Mapping[str, str] = {
    "edge/admin/endpoint.py::__call__": "an HTTP handler's outermost rim",
    "edge/admin/endpoint.py::_stream": "the same, once the head has gone out",
    "edge/inference.py::__call__": "an HTTP handler's outermost rim",
    "keystore/admission.py::run": "the rim of a round; the next one goes on",
    "keystore/admission.py::_decide": "the rim of what is asked of the counters; the round's calls are answered",
    "keystore/admission.py::_seed_scope": "a task of its own; those who wait for it are refused",
    "keystore/admission.py::_look_up": "a task of its own; the one who waits for it is refused",
    "keystore/extensions.py::_decide": "a round of extensions; those who wait are answered",
    "keystore/keys.py::run": "a task that must live as long as its process",
    "keystore/rebuild.py::see_routers": "a task that must live as long as its process",
    "keystore/rebuild.py::look": "one look at the counters; whatever it was, there will be another",
    "keystore/reconciler.py::run": "a task that must live as long as its process",
    "keystore/rotation.py::run": "a task that must live as long as its process",
    "ledger/delivery/deliverer.py::_run": "a task that must live as long as its process",
    "router/alerts/watch.py::run": "the rim of one look; there is another",
    "ledger/alerts/reporter.py::_run": "the rim of one look; there is another",
    "ledger/alerts/teller.py::_run": "the rim of one look; there is another",
    "ledger/alerts/teller.py::_tell": "the rim of one delivery; the others go on",
    "keystore/budget_watch.py::run": "the rim of one look; there is another",
    "ledger/keeper.py::_run": "a task that must live as long as its process",
    "router/outbox/adoption.py::_run": "a task that must live as long as its process",
    "router/service.py::_serve": "the outermost rim of a call's task",
    "services/composition.py::_within": "one role that cannot stop must not keep the others from it",
    "services/inprocess.py::_answer": "a handler's outermost rim",
    "services/inprocess.py::_serve": "a handler's outermost rim",
    "services/rpc.py::answer": "a handler's outermost rim",
    "services/rpc.py::_handle": "a handler's outermost rim",
}
# path::function -> why it imports late
LATE_IMPORTS: Mapping[str, str] = {
    "edge/admin/export_parquet.py::__init__": "a library that is an extra, and takes a while to import",
    "router/credentials/aws_library.py::find_keys": "a library that is an extra, and takes a second to import",
    "router/providers/prices.py::load_price_table": "a library of 10 MB that only the router's start needs",
    "services/up.py::_up": "read while the embedded servers start",
    "hatch_build.py::generate": "the build hook is read by hatchling before grpcio-tools is there",
}

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs\.org|proxy\.golang\.org|crates\.io|ghcr\.io|docker\.io"
)
MACHINE_PATHS = re.compile(r"(?<![\w.$/~-])/(work|home|root)/")
# Words that announce unfinished work.
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
# These name what they forbid; a lock file is made by a tool, a licence by others.
NOT_READ = ("tests/tidy/", "requirements.lock", "LICENSE")


def project_files() -> list[str]:
    """Every file that is, or is about to be, under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def python_files() -> list[str]:
    return [name for name in project_files() if name.endswith(".py") and name.startswith((*PACKAGES, "tests/"))]


def modules() -> Iterator[tuple[str, ast.Module]]:
    """The code that runs, parsed: not the tests."""
    for name in python_files():
        if name.startswith(PACKAGES):
            yield name, ast.parse((ROOT / name).read_text(), name)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def held_to(found: set[str], allowed: Mapping[str, str]) -> None:
    """What was found is exactly what is allowed."""
    assert sorted(found - set(allowed)) == []
    assert sorted(set(allowed) - found) == [], "these exceptions are needed no more"


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def innermost(tree: ast.Module, line: int) -> str:
    """The function around a line."""
    around = [node for node in functions(tree) if node.lineno <= line <= (node.end_lineno or 0)]
    return min(around, key=lines_of).name if around else "<module>"


def test_no_file_is_longer_than_an_idea() -> None:
    long = {name for name in python_files() if len((ROOT / name).read_text().splitlines()) > LONGEST_FILE_LINES}
    held_to(long, LONG_FILES)


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{name}::{node.name}"
        for name, tree in modules()
        for node in functions(tree)
        if lines_of(node) > LONGEST_FUNCTION_LINES
    }
    held_to(long, LONG_FUNCTIONS)


def test_only_rims_catch_everything() -> None:
    wide = {
        f"{name}::{innermost(tree, node.lineno)}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node)
    }
    held_to(wide, RIMS)


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    """`except:` and `except Exception`; one that raises again as its last act hides nothing."""
    names = (
        {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {"Exception"}
    )
    last = handler.body[-1]
    raises_again = isinstance(last, ast.Raise) and last.exc is None
    return bool(names & {"Exception", "BaseException"}) and not raises_again


def test_modules_import_at_their_head() -> None:
    late = {
        f"{name}::{function.name}"
        for name, tree in modules()
        for function in functions(tree)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))
    }
    held_to(late, LATE_IMPORTS)


def test_nothing_is_global() -> None:
    found = [name for name, tree in modules() if any(isinstance(node, ast.Global) for node in ast.walk(tree))]
    assert found == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, tree in modules() if tree.body and not ast.get_docstring(tree)]
    assert silent == []


@pytest.mark.parametrize(
    "forbidden", [UNFINISHED, REGISTRIES, MACHINE_PATHS], ids=["unfinished", "registry", "machine path"]
)
def test_no_file_mentions(forbidden: re.Pattern[str]) -> None:
    """No unfinished work, no address of a package registry, no path of the machine it was written on."""
    found = []
    for name in project_files():
        if name.startswith(NOT_READ):
            continue
        text = (ROOT / name).read_bytes().decode("utf-8", errors="replace")
        found += [f"{name}: {match.group()}" for match in forbidden.finditer(text)]
    assert found == []
