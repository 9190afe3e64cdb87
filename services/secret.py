"""Secrets that a single host makes for itself, each in a file of mode 0600, made once."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from services.process import StartError


class SecretFolder:
    """The generated secrets of one installation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where a secret is kept."""
        return self._folder / name

    def read_or_make(self, name: str, make: Callable[[], str]) -> str:
        """The secret of that name; made at first use. Of several processes at once, one makes it and all get it.

        StartError when the file is there and empty: a secret that was lost is not replaced in silence.
        """
        path = self.path(name)
        if not path.exists():
            self._make(path, make())
        secret = path.read_text().strip()
        if not secret:
            raise StartError(f"{path} is empty; put the secret back, or remove the file to have a new one made")
        return secret

    def _make(self, path: Path, secret: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret + "\n")
        # A link appears whole or not at all, and never over one that is there.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()


def new_master_key() -> str:
    """A new admin's key, in the form that OpenAI's clients know."""
    return f"sk-{secrets.token_urlsafe(24)}"


def random_secret() -> str:
    """256 bits, for a pepper or a token."""
    return secrets.token_hex(32)
