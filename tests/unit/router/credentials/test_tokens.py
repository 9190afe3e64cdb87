"""Tokens that are kept: who waits, who does not, and how often the token service is asked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.credentials.base import NoCredential
from router.credentials.tokens import (
    LEAST_AGE_SECONDS,
    LONGEST_LIFE_SECONDS,
    LONGEST_RETRY_SECONDS,
    RETRY_SECONDS,
    Fetched,
    TokenCache,
)
from services.errors import GatewayError, Reason

HOUR = 3600.0
DOWN = NoCredential("is down", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE)


class Service:
    """A token service that answers when the test says so, and a cache of its tokens."""

    def __init__(self, **options: Any) -> None:
        self.now = 1000.0
        self.asked: list[asyncio.Future[Fetched[str]]] = []
        self.cache: TokenCache[str] = TokenCache(lambda: self.now, **options)

    async def fetch(self) -> Fetched[str]:
        answer = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        return await answer

    def get(self, key: str = "key", provider: str = "azure") -> asyncio.Task[str]:
        return asyncio.ensure_future(self.cache.get(key, self.fetch, provider=provider))

    async def answers(self, value: str = "token", life_seconds: float = HOUR) -> None:
        await until(lambda: bool(self.asked) and not self.asked[-1].done())
        self.asked[-1].set_result(Fetched(value, life_seconds))
        await settle()

    async def fails(self, failure: Exception = DOWN) -> None:
        await until(lambda: bool(self.asked) and not self.asked[-1].done())
        self.asked[-1].set_exception(failure)
        await settle()

    async def refuses(self, **members: Any) -> GatewayError:
        """What a call is told without the service being asked."""
        asked = len(self.asked)
        with pytest.raises(GatewayError) as caught:
            await self.get(**members)
        assert len(self.asked) == asked
        return caught.value


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


async def settle() -> None:
    """Every callback that is ready has run, and those that it made ready."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def service() -> Iterator[Service]:
    return Service()


async def filled(service: Service, life_seconds: float = HOUR) -> None:
    call = service.get()
    await service.answers(life_seconds=life_seconds)
    assert await call == "token"


async def test_many_who_wait_are_served_by_one_fetch(service: Service) -> None:
    calls = [service.get() for _ in range(50)]
    await service.answers()
    assert await asyncio.gather(*calls) == ["token"] * 50
    assert await service.get() == "token"
    assert len(service.asked) == 1


async def test_credentials_do_not_mix(service: Service) -> None:
    one, other = service.get("one"), service.get("other")
    await until(lambda: len(service.asked) == 2)
    service.asked[0].set_result(Fetched("of one", HOUR))
    service.asked[1].set_result(Fetched("of other", HOUR))
    assert (await one, await other) == ("of one", "of other")
    assert (await service.get("one"), await service.get("other")) == ("of one", "of other")


@pytest.mark.parametrize("leaving", [[0], [1, 2], [0, 1, 2]])
async def test_who_leaves_takes_nothing_from_the_others(service: Service, leaving: list[int]) -> None:
    calls = [service.get() for _ in range(3)]
    await until(lambda: bool(service.asked))
    for number in leaving:
        calls[number].cancel()
    await settle()
    await service.answers()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        assert isinstance(outcome, asyncio.CancelledError) if number in leaving else outcome == "token"
    assert await service.get() == "token"
    assert len(service.asked) == 1


async def test_a_token_is_fetched_anew_before_its_end_and_nobody_waits(service: Service) -> None:
    await filled(service)
    service.now += HOUR - 301
    assert await service.get() == "token"
    assert len(service.asked) == 1
    service.now += 2
    assert [await service.get() for _ in range(20)] == ["token"] * 20
    await until(lambda: len(service.asked) == 2)
    assert await service.get() == "token"
    await service.answers("new")
    assert await service.get() == "new"
    assert len(service.asked) == 2


async def test_a_token_that_is_over_is_not_given_out(service: Service) -> None:
    await filled(service)
    service.now += HOUR - 20
    call = service.get()
    await settle()
    assert not call.done()
    await service.answers("new")
    assert await call == "new"


async def test_a_server_that_gives_out_what_it_has_kept_is_not_asked_at_each_call(service: Service) -> None:
    """A metadata server gives the same token until just before its end."""
    await filled(service, life_seconds=280)
    service.now += 253
    for _ in range(5):
        await service.get()
    await service.answers("token", life_seconds=27)
    for _ in range(5):
        await service.get()
    assert len(service.asked) == 2


async def test_a_token_ages_from_the_moment_of_asking(service: Service) -> None:
    call = service.get()
    await until(lambda: bool(service.asked))
    service.now += 8
    await service.answers(life_seconds=10)
    assert await call == "token"
    service.now += 2
    late = service.get()
    await settle()
    assert not late.done()
    await service.answers("new")
    assert await late == "new"


async def test_a_failure_is_everybodys_answer_until_it_is_time_to_ask_again(service: Service) -> None:
    calls = [service.get(provider=f"p{number}") for number in range(3)]
    await service.fails()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [str(error) for error in errors] == ["p0 is down.", "p1 is down.", "p2 is down."]
    assert len({id(error) for error in errors}) == 3
    service.now += RETRY_SECONDS - 1
    error = await service.refuses()
    assert (error.reason, error.provider) == (Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, "azure")
    assert error.retry_after_seconds == pytest.approx(1)
    service.now += 1
    call = service.get()
    await service.answers()
    assert await call == "token"
    assert len(service.asked) == 2


@pytest.mark.parametrize(("asked", "kept"), [(0.0, RETRY_SECONDS), (30.0, 30.0), (1e6, LONGEST_RETRY_SECONDS)])
async def test_a_server_says_when_to_ask_again_within_limits(service: Service, asked: float, kept: float) -> None:
    call = service.get()
    await service.fails(NoCredential("waits", Reason.ERROR_REASON_PROVIDER_UNAVAILABLE, asked))
    with pytest.raises(GatewayError) as caught:
        await call
    assert caught.value.retry_after_seconds == pytest.approx(kept)
    service.now += kept - 0.01
    await service.refuses()
    service.now += 0.02
    service.get()
    await until(lambda: len(service.asked) == 2)
    await service.answers()


async def test_a_credential_that_is_refused_does_not_promise_to_work_later(service: Service) -> None:
    call = service.get()
    await service.fails(NoCredential("is refused"))
    with pytest.raises(GatewayError) as caught:
        await call
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_AUTHENTICATION
    assert caught.value.retry_after_seconds is None
    assert (await service.refuses()).retry_after_seconds is None


async def test_a_failure_does_not_spoil_a_token_that_is_still_good(service: Service) -> None:
    await filled(service)
    service.now += HOUR - 200
    assert await service.get() == "token"
    await service.fails()
    for _ in range(5):
        assert await service.get() == "token"
    assert len(service.asked) == 2
    service.now += RETRY_SECONDS
    assert await service.get() == "token"
    await until(lambda: len(service.asked) == 3)
    await service.answers("new")
    assert await service.get() == "new"


async def test_a_fetch_that_hangs_ends(service: Service) -> None:
    service = Service(fetch_seconds=0.01)
    with pytest.raises(GatewayError) as caught:
        await asyncio.wait_for(service.get(), 5)
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_TIMEOUT
    await service.refuses()


async def test_a_mistake_of_ours_is_not_kept(service: Service) -> None:
    call = service.get()
    await service.fails(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await call
    await filled(service)


@pytest.mark.parametrize("life_seconds", [0, -1, math.nan])
async def test_a_token_that_is_over_when_it_comes_is_a_failure(service: Service, life_seconds: float) -> None:
    call = service.get()
    await service.answers(life_seconds=life_seconds)
    with pytest.raises(GatewayError) as caught:
        await call
    assert caught.value.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE


async def test_a_token_that_lives_for_ever_is_not_believed(service: Service) -> None:
    await filled(service, life_seconds=math.inf)
    service.now += LONGEST_LIFE_SECONDS
    call = service.get()
    await service.answers("new")
    assert await call == "new"


async def test_a_token_that_the_provider_refuses_is_fetched_anew_but_not_for_each_refusal(service: Service) -> None:
    service.cache.drop("key")
    await filled(service)
    service.now += LEAST_AGE_SECONDS - 1
    service.cache.drop("key")
    assert await service.get() == "token"
    service.now += 1
    service.cache.drop("key")
    service.cache.drop("key")
    call = service.get()
    await service.answers("new")
    assert await call == "new"
    service.cache.drop("key")
    assert await service.get() == "new"
    assert len(service.asked) == 2


async def test_there_is_a_limit_to_what_is_kept(service: Service) -> None:
    service = Service(max_tokens=2)
    for key in ("a", "b", "c"):
        call = service.get(key)
        await service.answers(key)
        assert await call == key
    assert [await service.get("b"), await service.get("c")] == ["b", "c"]
    assert len(service.asked) == 3
    service.get("a")
    await until(lambda: len(service.asked) == 4)
    await service.answers()


async def test_closing_ends_what_is_under_way(service: Service) -> None:
    call = service.get()
    await until(lambda: bool(service.asked))
    await service.cache.close()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert service.asked[0].cancelled()


def test_tokens_are_not_shown() -> None:
    assert "secret" not in repr(Fetched("secret", 1))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1, 6, 29, 60, 301, 3299, 3600])),
        st.tuples(st.just("call"), st.just(0.0)),
        st.tuples(st.just("answer"), st.sampled_from([1.0, 30.0, 3600.0])),
        st.tuples(st.just("fail"), st.just(0.0)),
        st.tuples(st.just("leave"), st.just(0.0)),
        st.tuples(st.just("drop"), st.just(0.0)),
    ),
    max_size=30,
)


@given(steps=STEPS)
@example([("call", 0.0), ("answer", 30.0), ("wait", 60), ("call", 0.0)])
def test_whatever_happens_one_fetch_at_a_time_and_no_token_past_its_end(steps: list[tuple[str, float]]) -> None:
    asyncio.run(_plays_out(steps))


async def _plays_out(steps: list[tuple[str, float]]) -> None:
    service = Service()
    over_at: dict[str, float] = {}
    waiting: list[asyncio.Task[str]] = []
    asked_at: dict[int, float] = {}
    for number, (kind, seconds) in enumerate(steps):
        under_way = [answer for answer in service.asked if not answer.done()]
        assert len(under_way) <= 1
        if kind == "wait":
            service.now += seconds
        elif kind == "drop":
            service.cache.drop("key")
        elif kind == "leave" and waiting:
            waiting.pop(0).cancel()
        elif kind == "answer" and under_way:
            value = f"token {number}"
            over_at[value] = asked_at[len(service.asked)] + seconds
            under_way[0].set_result(Fetched(value, seconds))
        elif kind == "fail" and under_way:
            under_way[0].set_exception(DOWN)
        elif kind == "call":
            call = service.get()
            await settle()
            if call.done() and call.exception() is None:
                # At once, so it is one that was kept.
                assert service.now < over_at[call.result()]
            elif not call.done():
                waiting.append(call)
        await settle()
        asked_at.setdefault(len(service.asked), service.now)
        if not any(not answer.done() for answer in service.asked):
            # Who waits, waits for a fetch.
            assert all(call.done() for call in waiting)
            waiting = []
    await service.cache.close()
    await asyncio.gather(*waiting, return_exceptions=True)
