"""The snapshot of keys: what is asked of the store, how often, and for how long it is good."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
import structlog

from keystore.keys import ABSENT_SECONDS, GOOD_FOR_SECONDS, MAX_WAITING, POLL_SECONDS, Keys
from keystore.policy.owners import Key, Kind, Owner
from keystore.rows import KeyRow, OwnerRow
from keystore.sql import PAGE
from keystore.store import Store
from services.errors import GatewayError, unavailable


class FakeStore:
    """Rows in a list, in the order of their versions."""

    def __init__(self) -> None:
        self.rows: list[KeyRow] = []
        self.owner_rows: list[OwnerRow] = []
        self.keys = self
        self.owners = FakeOwners(self)
        self.away = False
        self.finds = 0
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def put(self, token: str, *, blocked: bool = False, deleted: bool = False) -> None:
        self.rows = [row for row in self.rows if row.key.token != token]
        key = Key(token, token, "sk-...", blocked=blocked)
        self.rows.append(KeyRow(key, deleted=deleted, version=self.top + 1))

    def put_owner(self, owner_id: str, *, blocked: bool = False, deleted: bool = False) -> None:
        self.owner_rows = [row for row in self.owner_rows if row.owner.id != owner_id]
        owner = Owner(Kind.TEAM, owner_id, blocked=blocked)
        self.owner_rows.append(OwnerRow(owner, deleted=deleted, version=self.top + 1))

    @property
    def top(self) -> int:
        return max((row.version for row in [*self.rows, *self.owner_rows]), default=0)

    async def version(self) -> int:
        self.reads += 1
        if self.away:
            raise unavailable("away")
        return self.top

    async def changes(self, place: tuple[int, str], version: int) -> list[KeyRow]:
        return [row for row in self.rows if (row.version, row.key.key_id) > place and row.version <= version][:PAGE]

    async def with_token(self, token: str) -> list[KeyRow]:
        self.finds += 1
        found = [row for row in self.rows if row.key.token == token and not row.deleted]
        await self.gate.wait()
        if self.away:
            raise unavailable("away")
        return found


class FakeOwners:
    """The same of owners."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store

    async def changes(self, place: tuple[int, str, str], version: int) -> list[OwnerRow]:
        rows = [row for row in self.store.owner_rows if row.version <= version]
        return [row for row in rows if (row.version, row.owner.kind.value, row.owner.id) > place][:PAGE]


class Clock:
    """Seconds that the test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(store: FakeStore, clock: Clock) -> Keys:
    return Keys(cast("Store", store), clock, structlog.get_logger())


async def test_all_keys_are_read_page_by_page_and_changes_after_them(keys: Keys, store: FakeStore) -> None:
    store.rows = [KeyRow(Key(f"k{number}", f"k{number}", ""), version=number) for number in range(1, 2501)]
    await keys.read_feed()
    assert keys.version == 2500
    assert all(keys.directory.key_by_token(f"k{number}", 0) for number in range(1, 2501))
    store.put("k7", deleted=True)
    store.put("k8", blocked=True)
    assert await keys.reach(2502)
    assert keys.directory.key_by_token("k7", 0) is keys.directory.key_by_id("k7") is None
    blocked = keys.directory.key_by_token("k8", 0)
    assert blocked is not None
    assert blocked.blocked


async def test_what_is_known_is_not_read_again(keys: Keys, store: FakeStore) -> None:
    store.put("a")
    await keys.read_feed()
    assert not await keys.reach(1)
    assert store.reads == 1


async def test_a_store_that_is_away_leaves_the_snapshot_and_is_not_asked_at_every_admission(
    keys: Keys, store: FakeStore, clock: Clock
) -> None:
    store.put("a")
    await keys.read_feed()
    store.away = True
    for _ in range(10):
        assert not await keys.reach(2)
    assert store.reads == 2
    assert keys.directory.key_by_token("a", 0)
    clock.now += POLL_SECONDS
    await keys.reach(2)
    assert store.reads == 3
    clock.now += GOOD_FOR_SECONDS - POLL_SECONDS - 1
    assert keys.good
    clock.now += 1
    assert not keys.good


async def test_a_key_is_looked_up_once_for_all_who_wait(keys: Keys, store: FakeStore) -> None:
    store.put("a")
    store.gate.clear()
    waiting = [asyncio.create_task(keys.look_up("a")) for _ in range(50)]
    await asyncio.sleep(0)
    store.gate.set()
    await asyncio.gather(*waiting)
    assert store.finds == 1
    assert keys.directory.key_by_token("a", 0)


async def test_an_absent_key_is_remembered_for_a_second(keys: Keys, store: FakeStore, clock: Clock) -> None:
    await keys.look_up("a")
    assert keys.is_absent("a")
    clock.now += ABSENT_SECONDS
    assert not keys.is_absent("a")
    await keys.look_up("a")
    store.put("a")
    await keys.reach(1)
    assert not keys.is_absent("a")


async def test_a_key_that_was_deleted_while_it_was_looked_up_stays_deleted(keys: Keys, store: FakeStore) -> None:
    store.put("a")
    store.gate.clear()
    looking = asyncio.create_task(keys.look_up("a"))
    await asyncio.sleep(0.01)
    store.put("a", deleted=True)
    await keys.read_feed()
    store.gate.set()
    await looking
    assert keys.directory.key_by_token("a", 0) is None
    assert keys.is_absent("a")


async def test_more_look_ups_than_may_wait_are_refused(keys: Keys, store: FakeStore) -> None:
    store.gate.clear()
    waiting = [asyncio.create_task(keys.look_up(str(number))) for number in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(GatewayError):
        await keys.look_up("one more")
    store.gate.set()
    await asyncio.gather(*waiting)


async def test_a_look_up_that_fails_says_so_and_remembers_nothing(keys: Keys, store: FakeStore) -> None:
    store.away = True
    with pytest.raises(GatewayError):
        await keys.look_up("a")
    assert not keys.is_absent("a")


async def test_owners_are_read_page_by_page_and_changes_after_them(keys: Keys, store: FakeStore) -> None:
    store.owner_rows = [OwnerRow(Owner(Kind.TEAM, f"t{number}"), version=number) for number in range(1, 2501)]
    store.put("a")
    await keys.read_feed()
    assert keys.version == 2501
    assert keys.directory.key_by_token("a", 0)
    assert all(keys.directory.owner(Kind.TEAM, f"t{number}") for number in range(1, 2501))
    store.put_owner("t7", deleted=True)
    store.put_owner("t8", blocked=True)
    assert await keys.reach(2503)
    assert keys.directory.owner(Kind.TEAM, "t7") is None
    blocked = keys.directory.owner(Kind.TEAM, "t8")
    assert blocked is not None
    assert blocked.blocked


async def test_a_key_is_never_known_before_its_owners(keys: Keys, store: FakeStore) -> None:
    """A team and a key of it come while the feed is read, between its owners and its keys."""
    store.put("old")
    read = store.changes

    async def after_others(place: tuple[int, str], version: int) -> list[KeyRow]:
        if store.reads == 1:
            store.put_owner("team")
            store.put("new")
        return await read(place, version)

    store.changes = after_others  # type: ignore[method-assign]
    await keys.read_feed()
    assert keys.directory.key_by_token("old", 0)
    assert keys.directory.key_by_token("new", 0) is keys.directory.owner(Kind.TEAM, "team") is None
    await keys.look_up("new")
    assert keys.directory.key_by_token("new", 0)
    assert keys.directory.owner(Kind.TEAM, "team")
