"""An embedded Valkey: no TCP, one Unix socket, every write in an append-only file."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote

from services.embedded import binaries
from services.embedded.account import Account
from services.embedded.child import Child
from services.embedded.sockets import SocketFolder


class EmbeddedValkey:
    """Data in `folder`/valkey, log beside it. `start` and `stop` block; call them off the event loop.

    durable: False only for tests.
    """

    def __init__(self, folder: Path, account: Account, *, durable: bool = True) -> None:
        self._folder = folder
        self._data = folder / "valkey"
        self._account = account
        self._durable = durable
        self._sockets = SocketFolder(folder / "valkey.run", account)
        self._child: Child | None = None

    @property
    def redis_url(self) -> str:
        """For the redis client; valid after `start`."""
        return f"unix://{quote(str(self._socket), safe='/')}"

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it does not run."""
        return self._child.pid if self._child is not None else 0

    def start(self) -> None:
        """Start, and return when commands are answered: an append-only file has then been read."""
        program = binaries.valkey_program(self._account, self._folder / "programs")
        self._account.make_folder(self._data)
        self._sockets.make()
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data),
            # The counters are a cache of the ledger, but one that is costly to make anew: the file is synced once a
            # second, snapshots would only write the same twice.
            "appendonly": "yes" if self._durable else "no",
            "save": "",
        }
        command: list[str | Path] = [program]
        for name, value in settings.items():
            command += [f"--{name}", value]
        self._child = Child.start(
            "Valkey",
            command,
            account=self._account,
            lock=self._folder / "valkey.lock",
            log=self._folder / "valkey.log",
        )
        self._child.wait_until(self._is_ready)

    def stop(self) -> None:
        """End it in order. Nothing happens when it does not run."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        self._sockets.remove()

    @property
    def _socket(self) -> Path:
        return self._sockets.path / "valkey.sock"

    def _is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False
