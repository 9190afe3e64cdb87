"""All keys and owners in memory, kept up to date from the feed of changes.

Every change of one raises a version, which every decision of the counters returns. A keystore that is behind reads
the feed before it answers (`reach`), so a change holds from the next admission on every replica. Once a second it reads
the feed anyway: for the time when the counters are away, and to know that the store is there. Without the store what
is in memory is good for ten minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn

from structlog.typing import FilteringBoundLogger

from keystore.policy.owners import Directory
from keystore.rows import KeyRow, OwnerRow
from keystore.sql import PAGE
from keystore.store import Store
from services.errors import GatewayError, unavailable

POLL_SECONDS = 1.0
GOOD_FOR_SECONDS = 600.0
# An admission waits no longer for the feed; PostgreSQL may be slow to say that it is away. Then admissions do not ask
# it for POLL_SECONDS.
REACH_SECONDS = 1.0

# A key that does not exist is looked for once a second at most; so many such answers are remembered, a few MB.
ABSENT_SECONDS = 1.0
MAX_ABSENT = 10_000
# Look-ups at once, for guessed keys must not take the store's connections; those beyond MAX_WAITING are refused.
MAX_LOOKUPS = 4
MAX_WAITING = 256


class Keys:
    """The snapshot: `directory` has all that is known, as of one version. `clock` is monotonic seconds."""

    def __init__(self, store: Store, clock: Callable[[], float], log: FilteringBoundLogger) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self.directory = Directory()
        # The places in the feed up to which all is known, the version that was read to its end, and the one that was
        # announced and reached.
        self._key_place = (0, "")
        self._owner_place = (0, "", "")
        self._read = -1
        self._reached = -1
        self._good_until = 0.0
        self._rest_until = 0.0
        self._reading = asyncio.Lock()
        self._absent: dict[str, float] = {}
        self._lookups: dict[str, asyncio.Task[None]] = {}
        self._lookup_slots = asyncio.Semaphore(MAX_LOOKUPS)

    @property
    def version(self) -> int:
        """Of the newest change that is known here; -1 before the first."""
        return self._reached

    @property
    def good(self) -> bool:
        """Whether the snapshot may still be relied on."""
        return self._clock() < self._good_until

    def is_absent(self, token: str) -> bool:
        """Whether the store has just said that there is no such key."""
        return self._absent.get(token, 0.0) > self._clock()

    async def read_feed(self) -> None:
        """Take over every change up to now. UNAVAILABLE when the store does not answer."""
        async with self._reading:
            # Before the rows: all of this version are there once it can be seen. Newer ones wait, for a key must not be
            # known before its owners.
            version = await self._store.version()
            more_owners = more_keys = version > self._read
            while more_owners or more_keys:
                owners = await self._store.owners.changes(self._owner_place, version) if more_owners else []
                keys = await self._store.keys.changes(self._key_place, version) if more_keys else []
                self._take_over(owners, keys)
                more_owners, more_keys = len(owners) == PAGE, len(keys) == PAGE
            self._read = max(self._read, version)
            self._reached = max(self._reached, version)
            self._good_until = self._clock() + GOOD_FOR_SECONDS

    async def reach(self, version: int) -> bool:
        """Read the feed when `version` is newer than what is known; whether something may have changed.

        A store that does not answer leaves the snapshot as it is.
        """
        if version <= self._reached or self._clock() < self._rest_until:
            return False
        try:
            async with asyncio.timeout(REACH_SECONDS):
                await self.read_feed()
        except (GatewayError, TimeoutError):
            self._rest_until = self._clock() + POLL_SECONDS
            self._log.warning("keys_behind", known=self._reached, announced=version)
            return False
        # What was announced was committed before: the feed has it, unless the store is not the one that it was.
        self._reached = max(self._reached, version)
        return True

    async def look_up(self, token: str) -> None:
        """Ask the store for a key that is not in the snapshot; then the directory or `is_absent` knows.

        Asked for by many, it is asked once. UNAVAILABLE when the store does not answer or too many wait for it.
        """
        task = self._lookups.get(token)
        if task is None:
            if len(self._lookups) >= MAX_WAITING:
                raise unavailable("Too many unknown keys are being looked up; try again.")
            task = self._lookups[token] = asyncio.get_running_loop().create_task(self._look_up(token))
            task.add_done_callback(lambda _: self._lookups.pop(token, None))
        await asyncio.shield(task)

    async def run(self) -> NoReturn:
        """Read the feed again and again."""
        problem = ""
        while True:
            try:
                await self.read_feed()
                problem = ""
            except GatewayError as error:
                if error.message != problem:
                    self._log.warning("keys_not_read", error=error.message)
                problem = error.message
            except Exception:
                # The rim of one reading: whatever it was, there will be another.
                self._log.exception("keys_not_read")
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """End what is being looked up."""
        for task in self._lookups.values():
            task.cancel()
        await asyncio.gather(*self._lookups.values(), return_exceptions=True)

    async def _look_up(self, token: str) -> None:
        async with self._lookup_slots:
            rows = await self._store.keys.with_token(token)
        # It was made just now; its owners may be as new. An older one may have changed since it was read.
        if any(row.version > self._read for row in rows):
            await self.read_feed()
        if rows and self.directory.has_token(token):
            return
        while len(self._absent) >= MAX_ABSENT:
            del self._absent[next(iter(self._absent))]
        self._absent[token] = self._clock() + ABSENT_SECONDS

    def _take_over(self, owners: Sequence[OwnerRow], keys: Sequence[KeyRow]) -> None:
        """A page of each, in one step: what changed together is seen together, as far as a page reaches."""
        for owned in owners:
            owner = owned.owner
            if owned.deleted:
                self.directory.remove_owner(owner.kind, owner.id)
            else:
                self.directory.put_owner(owner)
            self._owner_place = (owned.version, owner.kind.value, owner.id)
        for row in keys:
            key = row.key
            self._absent.pop(key.token, None)
            if row.deleted:
                self.directory.remove_key(key.key_id)
            else:
                self.directory.put_key(key)
            self._key_place = (row.version, key.key_id)
