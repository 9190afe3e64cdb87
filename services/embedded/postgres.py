"""An embedded PostgreSQL: no TCP, one Unix socket in a folder that only its account may enter."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from services.embedded import binaries
from services.embedded.account import Account, server_environment
from services.embedded.child import Child
from services.embedded.errors import EmbeddedError
from services.embedded.sockets import SocketFolder

_USER = "tollhouse"
_SETTINGS = {
    # Whoever can open the socket is its owner, so nobody else may.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # Two small pools a role and room for a person; each connection costs a process.
    "max_connections": "100",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}
# For tests: what a crash of the machine would lose does not matter to them.
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """Data in `folder`/postgres, log beside it. `start` and `stop` block; call them off the event loop.

    named: TOLLHOUSE_PG_BIN, empty when not set. durable: False only for tests.
    """

    def __init__(self, folder: Path, account: Account, *, named: str = "", durable: bool = True) -> None:
        self._folder = folder
        self._data = folder / "postgres"
        self._account = account
        self._named = named
        self._durable = durable
        self._sockets = SocketFolder(folder / "postgres.run", account)
        self._child: Child | None = None

    @property
    def database_url(self) -> str:
        """For asyncpg; valid after `start`."""
        return f"postgresql://{_USER}@/postgres?host={quote(str(self._sockets.path), safe='/')}"

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it does not run."""
        return self._child.pid if self._child is not None else 0

    def start(self) -> None:
        """Make the data folder when there is none, start, and return when connections are taken."""
        programs = binaries.postgres_programs(self._account, self._folder / "programs", self._named)
        if not (self._data / "PG_VERSION").exists():
            self._initialise(programs / "initdb")
        self._sockets.make()
        settings = _SETTINGS | {"unix_socket_directories": str(self._sockets.path)}
        if not self._durable:
            settings |= _NOT_DURABLE
        command: list[str | Path] = [programs / "postgres", "-D", self._data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._child = Child.start(
            "PostgreSQL",
            command,
            account=self._account,
            lock=self._folder / "postgres.lock",
            log=self._folder / "postgres.log",
        )
        self._child.wait_until(self._is_ready)

    def stop(self) -> None:
        """End it in order. Nothing happens when it does not run."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        self._sockets.remove()

    def _initialise(self, initdb: Path) -> None:
        self._account.make_folder(self._data)
        command: list[str | Path] = [initdb, "-D", self._data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C"]
        command += ["--no-instructions"] if self._durable else ["--no-instructions", "--no-sync"]
        made = self._account.run(command, server_environment())
        if made.returncode != 0:
            words = (made.stderr or made.stdout).strip().splitlines()
            raise EmbeddedError(f"PostgreSQL's initdb failed in {self._data}: {words[0] if words else 'no reason'}")

    def _is_ready(self) -> bool:
        """Line 8 of postmaster.pid says so, and line 1 that it is this server and none that was killed before."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"
