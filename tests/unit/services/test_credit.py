"""Credit: bounded, never lost, and nobody waits for what is there."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.credit import Window


async def settle() -> None:
    """Let every task that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_is_there_is_taken_at_once() -> None:
    window = Window(10)
    assert window.try_take(4)
    assert window.available == 6


def test_the_last_taker_may_overdraw_by_one_frame() -> None:
    window = Window(10)
    assert window.try_take(15)
    assert not window.try_take(1)
    window.give(5)
    assert not window.try_take(1), "given back what was overdrawn: still nothing there"
    window.give(1)
    assert window.try_take(1)


def test_a_call_and_its_link_are_both_charged() -> None:
    link = Window(10)
    first, second = Window(8, link), Window(8, link)
    assert first.try_take(8)
    assert second.try_take(2)
    assert not second.try_take(1), "the link has none left"
    assert (first.available, second.available, link.available) == (0, 6, 0)
    first.give(8)
    assert second.try_take(6)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 60)), max_size=60))
def test_what_is_under_way_stays_within_the_windows_and_one_frame(steps: list[tuple[int, int]]) -> None:
    """Calls take and give in any order; what they have under way is what the windows lack."""
    link = Window(100)
    calls = [Window(50, link) for _ in range(2)]
    under_way = [0, 0]
    for step, size in steps:
        call = step % 2
        if step < 2 and calls[call].try_take(size):
            under_way[call] += size
        elif step == 2:
            giver = size % 2
            given_back = min(size, under_way[giver])
            calls[giver].give(given_back)
            under_way[giver] -= given_back
        assert [50 - window.available for window in calls] == under_way
        assert 100 - link.available == sum(under_way)
        assert max(under_way) < 50 + 60
        assert sum(under_way) < 100 + 60


async def test_who_waits_is_woken_by_credit_for_the_call() -> None:
    window = Window(1)
    await window.take(1)
    waiting = asyncio.create_task(window.take(1))
    await settle()
    assert not waiting.done()
    window.give(1)
    await asyncio.wait_for(waiting, 1)
    assert window.available == 0


async def test_who_waits_is_woken_by_credit_for_the_link() -> None:
    link = Window(1)
    first, second = Window(5, link), Window(5, link)
    await first.take(1)
    waiting = asyncio.create_task(second.take(1))
    await settle()
    assert not waiting.done()
    first.give(1)
    await asyncio.wait_for(waiting, 1)
    assert (second.available, link.available) == (4, 0)


async def test_who_waits_goes_on_only_when_call_and_link_both_have_some() -> None:
    link = Window(2)
    call, other = Window(1, link), Window(5, link)
    assert call.try_take(1)
    assert other.try_take(3)
    waiting = asyncio.create_task(call.take(1))
    await settle()
    call.give(1)
    await settle()
    assert not waiting.done(), "the call has credit, the link is still overdrawn"
    other.give(3)
    await asyncio.wait_for(waiting, 1)


async def test_everybody_gets_through_in_the_order_they_came() -> None:
    window = Window(1)
    await window.take(1)
    through: list[int] = []

    async def one(number: int) -> None:
        await window.take(1)
        through.append(number)

    tasks = [asyncio.create_task(one(number)) for number in range(20)]
    for _ in range(20):
        await settle()
        window.give(1)
    await asyncio.wait_for(asyncio.gather(*tasks), 1)
    assert through == list(range(20))


async def test_one_that_stops_waiting_takes_nothing_and_leaves_nothing() -> None:
    window = Window(0)
    stopped, waiting = (asyncio.create_task(window.take(1)) for _ in range(2))
    await settle()
    stopped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopped
    assert len(window._waiters) == 1
    window.give(1)
    await asyncio.wait_for(waiting, 1)
    assert window._waiters == []


async def test_one_woken_and_cancelled_in_the_same_moment_does_not_keep_the_credit() -> None:
    window = Window(0)
    cancelled, waiting = (asyncio.create_task(window.take(1)) for _ in range(2))
    await settle()
    window.give(1)
    cancelled.cancel()
    await asyncio.wait_for(waiting, 1)
    assert cancelled.cancelled()
    assert window.available == 0


async def test_a_call_that_ends_gives_back_what_the_link_lacks() -> None:
    link = Window(10)
    call = Window(10, link)
    assert call.try_take(10)
    waiting = asyncio.create_task(Window(10, link).take(1))
    await settle()
    assert not waiting.done()
    call.give_back_to_outer(10)
    await asyncio.wait_for(waiting, 1)
    assert link.available == 9
