"""The snapshot of keys: what is asked of the store, how often, and for how long it is good."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
import structlog

from keystore.keys import ABSENT_SECONDS, GOOD_FOR_SECONDS, MAX_WAITING, POLL_SECONDS, Keys
from keystore.policy.access import Key
from keystore.store import PAGE, KeyRow, Store
from services.errors import GatewayError, unavailable


class FakeStore:
    """Rows in a list, in the order of their versions."""

    def __init__(self) -> None:
        self.rows: list[KeyRow] = []
        self.away = False
        self.finds = 0
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def put(self, token: str, *, blocked: bool = False, deleted: bool = False) -> None:
        self.rows = [row for row in self.rows if row.key.token != token]
        key = Key(token, token, "sk-...", blocked=blocked)
        self.rows.append(KeyRow(key, "", 0, 0, "{}", deleted, self.top + 1))

    @property
    def top(self) -> int:
        return max((row.version for row in self.rows), default=0)

    async def version(self) -> int:
        self.reads += 1
        if self.away:
            raise unavailable("away")
        return self.top

    async def changes(self, version: int, key_id: str) -> list[KeyRow]:
        return [row for row in self.rows if (row.version, row.key.key_id) > (version, key_id)][:PAGE]

    async def find(self, names: Sequence[str]) -> list[KeyRow]:
        self.finds += 1
        found = [row for row in self.rows if row.key.token in names and not row.deleted]
        await self.gate.wait()
        if self.away:
            raise unavailable("away")
        return found


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
    store.rows = [KeyRow(Key(f"k{number}", f"k{number}", ""), "", 0, 0, "", False, number) for number in range(1, 2501)]
    await keys.read_feed()
    assert keys.version == 2500
    assert all(keys.by_token(f"k{number}") for number in range(1, 2501))
    store.put("k7", deleted=True)
    store.put("k8", blocked=True)
    assert await keys.reach(2502)
    assert keys.by_token("k7") is keys.by_id("k7") is None
    blocked = keys.by_token("k8")
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
    assert keys.by_token("a")
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
    assert keys.by_token("a")


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
    assert keys.by_token("a") is None
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
