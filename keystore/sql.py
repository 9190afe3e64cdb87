"""What the stores have in common: who answers their questions, and lists of columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg

# Rows of one read of the feed: at some 12 microseconds each, 3 ms of the event loop.
PAGE = 250


class Asks(Protocol):
    """The store (any connection of its pool), or one connection that is in a transaction."""

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows."""


def columns(names: Sequence[str]) -> str:
    """A list of them."""
    return ", ".join(names)


def placeholders(names: Sequence[str], first: int) -> str:
    """As many parameters, from this number on."""
    return ", ".join(f"${number}" for number in range(first, first + len(names)))
