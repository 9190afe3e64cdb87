"""Gives keys that ask for it another secret by itself, again and again (docs/decisions/0016-rotation.md).

Every keystore looks; who finds a key due does it within a change, which has the feed locked, so that no other does it
too. The secret before stays good for the grace, in which its holder asks for the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from structlog.typing import FilteringBoundLogger

from keystore.announcer import Announcer
from keystore.members import with_secret
from keystore.rows import KeyRow
from keystore.secrets import Tokens, digest_of
from keystore.store import Store
from services.errors import GatewayError

# A key is given its next secret so much later than it was to be, at most.
LOOK_SECONDS = 60.0
# Of one change: others wait for it, some milliseconds a key.
MAX_KEYS = 50
# Of the audit log.
BY = "rotation"


class Rotation:
    """Of one keystore; `run` looks until it is cancelled. grace_seconds: for which the secret before is good."""

    def __init__(
        self,
        *,
        store: Store,
        tokens: Tokens,
        announcer: Announcer,
        grace_seconds: int,
        now_ms: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._announcer = announcer
        self._grace_seconds = grace_seconds
        self._now_ms = now_ms
        self._log = log

    async def run(self) -> NoReturn:
        """Look again and again."""
        while True:
            try:
                while await self.rotate() == MAX_KEYS:
                    pass
            except GatewayError as error:
                # The store is away: there will be another look.
                self._log.warning("keys_not_rotated", error=error.message)
            except Exception:
                # The rim of one look: whatever it was, there will be another.
                self._log.exception("keys_not_rotated")
            await asyncio.sleep(LOOK_SECONDS)

    async def rotate(self) -> int:
        """Give keys that are due their next secret, MAX_KEYS at most; how many there were."""
        now_ms = self._now_ms()
        if not await self._store.keys.due(now_ms, 1):
            return 0
        async with self._store.change(BY, now_ms) as change:
            due = await change.keys.due(now_ms, MAX_KEYS)
            for row in due:
                await change.update_key(row, self._rotated(row, now_ms), "regenerated")
        await self._announcer.announce_if_possible(change.version)
        self._log.info("keys_rotated", keys=len(due))
        return len(due)

    def _rotated(self, row: KeyRow, now_ms: int) -> KeyRow:
        secret = self._tokens.next_secret(row.key.token)
        token = self._tokens.token_of(digest_of(secret))
        after = with_secret(row, secret, token, grace_seconds=self._grace_seconds, now_ms=now_ms)
        return replace(after, updated_ms=now_ms, updated_by=BY)
