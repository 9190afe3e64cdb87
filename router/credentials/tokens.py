"""Tokens that are kept while they are good.

    value = await cache.get(key, fetch, provider="azure")

- One fetch serves all who wait for it, and outlives any of them.
- A token is fetched anew before it ends, while the old one is still given out: nobody waits for that.
- A fetch that failed is not repeated at once; until then its failure is everybody's answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from router.credentials.base import NoCredential
from services.errors import Reason

T = TypeVar("T")

# A token is fetched anew this long before it ends, or in the last tenth of its life: never again at once, also when a
# metadata server gives out what it has kept itself.
REFRESH_BEFORE_SECONDS = 300.0
REFRESH_BEFORE_SHARE = 0.1
# Of that time, what is left for requests on their way: in it a token is given out no more.
ON_THE_WAY_SHARE = 0.1
# The longest that any of the three clouds gives. A server that says more is not believed.
LONGEST_LIFE_SECONDS = 86_400.0
# A fetch is two round trips; the clouds' own libraries wait from 3 to 120 s.
FETCH_SECONDS = 10.0
# After a failure: long enough that a burst of calls asks once, short enough that nobody notices a hiccup.
RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 60.0
# A provider that refuses every token would have one fetched for every call.
LEAST_AGE_SECONDS = 60.0
# Of different credentials; as many as there are deployments, at most.
MAX_TOKENS = 1024


class Fetched(NamedTuple, Generic[T]):
    """What a token service gave, and for how long from the moment of asking."""

    value: T
    life_seconds: float

    def __repr__(self) -> str:
        return f"Fetched({self.life_seconds:g} s)"


class _Token(NamedTuple, Generic[T]):
    value: T
    fetched_at: float
    refresh_at: float
    good_until: float


class _Slot(Generic[T]):
    """What is known of one credential."""

    __slots__ = ("failure", "retry_at", "task", "token")

    def __init__(self) -> None:
        self.token: _Token[T] | None = None
        self.failure: NoCredential | None = None
        self.retry_at = -math.inf
        self.task: asyncio.Task[T | NoCredential] | None = None


class TokenCache(Generic[T]):
    """Of one event loop. clock: seconds that only go forward. fetch_seconds: the time that a fetch has."""

    def __init__(
        self, clock: Callable[[], float], *, max_tokens: int = MAX_TOKENS, fetch_seconds: float = FETCH_SECONDS
    ) -> None:
        self._clock = clock
        self._max_tokens = max_tokens
        self._fetch_seconds = fetch_seconds
        self._slots: dict[Hashable, _Slot[T]] = {}
        # The loop holds its tasks weakly.
        self._tasks: set[asyncio.Task[T | NoCredential]] = set()

    async def close(self) -> None:
        """Break off what is being fetched."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def get(self, key: Hashable, fetch: Callable[[], Awaitable[Fetched[T]]], *, provider: str) -> T:
        """A good token of the credential that `key` names; `fetch` raises NoCredential.

        provider: named in errors. Raises GatewayError.
        """
        slot = self._slots.get(key) or self._new_slot(key)
        now = self._clock()
        token = slot.token
        if token is not None and now < token.refresh_at:
            return token.value
        if slot.task is None and now >= slot.retry_at:
            slot.task = self._begin(slot, fetch)
        if token is not None and now < token.good_until:
            return token.value
        if slot.task is None:
            assert slot.failure is not None, "who may not fetch has failed before"
            raise slot.failure.error(provider, _wait_seconds(slot.failure, slot.retry_at - now))
        # One who leaves takes nothing from the others.
        outcome = await asyncio.shield(slot.task)
        if isinstance(outcome, NoCredential):
            raise outcome.error(provider, _wait_seconds(outcome, slot.retry_at - self._clock()))
        return outcome

    def drop(self, key: Hashable) -> None:
        """Its token was refused: it is not given out again, unless it has only just come."""
        slot = self._slots.get(key)
        token = slot.token if slot else None
        if slot and token and self._clock() - token.fetched_at >= LEAST_AGE_SECONDS:
            slot.token = None

    def _new_slot(self, key: Hashable) -> _Slot[T]:
        if len(self._slots) >= self._max_tokens:
            del self._slots[next(iter(self._slots))]
        slot = self._slots[key] = _Slot()
        return slot

    def _begin(self, slot: _Slot[T], fetch: Callable[[], Awaitable[Fetched[T]]]) -> asyncio.Task[T | NoCredential]:
        task = asyncio.get_running_loop().create_task(self._fetch(slot, fetch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _fetch(self, slot: _Slot[T], fetch: Callable[[], Awaitable[Fetched[T]]]) -> T | NoCredential:
        """Fetch, and remember how it went."""
        asked_at = self._clock()
        try:
            async with asyncio.timeout(self._fetch_seconds):
                value, life_seconds = await fetch()
            if not life_seconds > 0:
                raise NoCredential("was given a token that is over already", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE)
        except NoCredential as failure:
            return self._failed(slot, failure)
        except TimeoutError:
            what = f"was given no credential within {self._fetch_seconds:g} s"
            return self._failed(slot, NoCredential(what, Reason.ERROR_REASON_PROVIDER_TIMEOUT))
        finally:
            slot.task = None
        life_seconds = min(life_seconds, LONGEST_LIFE_SECONDS)
        early_seconds = min(REFRESH_BEFORE_SECONDS, life_seconds * REFRESH_BEFORE_SHARE)
        over_at = asked_at + life_seconds
        slot.token = _Token(value, asked_at, over_at - early_seconds, over_at - early_seconds * ON_THE_WAY_SHARE)
        slot.failure = None
        return value

    def _failed(self, slot: _Slot[T], failure: NoCredential) -> NoCredential:
        asked_seconds = failure.retry_after_seconds or 0.0
        slot.failure = failure
        slot.retry_at = self._clock() + min(max(RETRY_SECONDS, asked_seconds), LONGEST_RETRY_SECONDS)
        return failure


def _wait_seconds(failure: NoCredential, seconds: float) -> float | None:
    """What to tell a caller. A credential that was refused will be refused again."""
    return None if failure.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION else max(0.0, seconds)
