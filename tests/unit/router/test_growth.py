"""A hold that grows with a stream: when more is asked for, what is let through meanwhile, and where it ends."""

from __future__ import annotations

import asyncio
import json

import pytest
from gateway.v1 import common_pb2, router_pb2
from hypothesis import given
from hypothesis import strategies as st

from router.catalog import Deployment
from router.dispatch import Dispatch
from router.growth import Growth, can_grow
from router.wire.openai.stream import ChatStream
from services.errors import GatewayError, Reason
from services.money import Rates
from tests.engine_bench import Budget

# 1 nano-USD a token in, 2 out.
RATES = Rates(input=1_000_000, output=2_000_000)
DEPLOYMENT = Deployment("d", "g", "openai", "m", "", rates=RATES, ceiling_rates=RATES, shows_all_output=True)
INPUT_TOKENS = 10


def scene(*, slice_tokens: int, bound: int, cap: int, choices: int = 1) -> tuple[Growth, Dispatch, Budget]:
    """A stream that holds so many tokens of its bound, under a cap in nano-USD."""
    hold = common_pb2.Hold(
        held_nano_usd=INPUT_TOKENS + 2 * slice_tokens,
        output_tokens_bound=bound,
        choices=choices,
        epoch="e",
        extendable=True,
    )
    request = router_pb2.Open(hold=hold, input_tokens_bound=INPUT_TOKENS, stream=True)
    budget = Budget(cap_nano_usd=cap)
    dispatch = Dispatch(request, lambda: 0.0)
    return Growth(dispatch, DEPLOYMENT, 0, budget.extend), dispatch, budget


def events(tokens: int) -> bytes:
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "x"}}]}).encode()
    return (b"data: " + chunk + b"\n\n") * tokens


def tokens_in(passed: bytes) -> int:
    return passed.count(b'"content"')


async def pass_on(growth: Growth, block: bytes) -> tuple[bytes, bool]:
    """As the engine does."""
    passed = b""
    while block:
        fitting = growth.fit(block)
        passed, block = passed + fitting, block[len(fitting) :]
        if block and not await growth.grows():
            return passed, False
    return passed, True


async def test_more_is_asked_for_at_four_fifths_and_no_earlier() -> None:
    growth, dispatch, budget = scene(slice_tokens=100, bound=1_000, cap=10**6)
    assert await pass_on(growth, events(79)) == (events(79), True)
    await asyncio.sleep(0.01)
    assert budget.asked == []
    await pass_on(growth, events(1))
    await asyncio.sleep(0.01)
    # Twice as much, and at least sixteen tokens more.
    assert budget.asked == [(INPUT_TOKENS + 2 * 200, INPUT_TOKENS + 2 * 116)]
    assert dispatch.held_nano_usd == INPUT_TOKENS + 2 * 200
    growth.close()


async def test_each_slice_is_twice_the_one_before_up_to_the_call_s_own_bound() -> None:
    growth, dispatch, budget = scene(slice_tokens=100, bound=700, cap=10**6)
    for _ in range(2_000):
        _, complete = await pass_on(growth, events(1))
        assert complete
    assert [wanted for wanted, _ in budget.asked] == [INPUT_TOKENS + 2 * tokens for tokens in (200, 400, 700)]
    assert dispatch.held_nano_usd == INPUT_TOKENS + 2 * 700


@given(
    cap_tokens=st.integers(100, 3_000),
    slice_tokens=st.integers(16, 100),
    blocks=st.lists(st.integers(1, 400), max_size=12),
)
def test_no_more_is_let_through_than_is_held_and_all_that_can_be_held_is(
    cap_tokens: int, slice_tokens: int, blocks: list[int]
) -> None:
    bound = 2_000

    async def run() -> None:
        growth, dispatch, _ = scene(slice_tokens=slice_tokens, bound=bound, cap=INPUT_TOKENS + 2 * cap_tokens)
        through, complete = 0, True
        for block in blocks:
            passed, complete = await pass_on(growth, events(block))
            through += tokens_in(passed)
            if dispatch.held_nano_usd < INPUT_TOKENS + 2 * bound:
                assert INPUT_TOKENS + 2 * through <= dispatch.held_nano_usd <= INPUT_TOKENS + 2 * cap_tokens
            if not complete:
                break
        if complete:
            assert through == sum(blocks)
        else:
            # Cut only where not even sixteen tokens more are to be had.
            assert dispatch.held_nano_usd == INPUT_TOKENS + 2 * through
            assert cap_tokens < through + 16
        growth.close()

    asyncio.run(run())


@pytest.mark.parametrize("away", [True, False])
async def test_what_is_refused_is_asked_for_once_more_when_all_is_used_up(away: bool) -> None:
    growth, dispatch, budget = scene(slice_tokens=100, bound=1_000, cap=INPUT_TOKENS + 2 * 100)
    budget.away = away
    for _ in range(90):
        await pass_on(growth, events(1))
        await asyncio.sleep(0)
    assert len(budget.asked) == 1
    assert await pass_on(growth, events(500)) == (events(10), False)
    assert len(budget.asked) == 2
    assert dispatch.held_nano_usd == INPUT_TOKENS + 2 * 100


async def test_what_others_have_given_back_meanwhile_is_had() -> None:
    growth, _, budget = scene(slice_tokens=100, bound=1_000, cap=INPUT_TOKENS + 2 * 100)
    await pass_on(growth, events(90))
    await asyncio.sleep(0.01)
    assert len(budget.asked) == 1
    budget.cap_nano_usd = INPUT_TOKENS + 2 * 150
    assert await pass_on(growth, events(500)) == (events(60), False)


async def test_what_pays_for_no_useful_answer_is_refused_at_once() -> None:
    with pytest.raises(GatewayError) as refused:
        scene(slice_tokens=15, bound=1_000, cap=10**6)
    assert refused.value.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED
    scene(slice_tokens=16, bound=1_000, cap=10**6)


async def test_a_stream_that_ends_while_more_is_asked_for_leaves_nothing_running() -> None:
    growth, _, budget = scene(slice_tokens=100, bound=1_000, cap=10**6)
    await pass_on(growth, events(90))
    growth.close()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
    assert budget.held_nano_usd == 0


def test_only_what_is_seen_to_the_last_token_may_grow() -> None:
    request = router_pb2.Open(hold=common_pb2.Hold(epoch="e", extendable=True))
    assert can_grow(request, DEPLOYMENT, b"{}")
    assert not can_grow(request, DEPLOYMENT, b'{"prediction":{"type":"content","content":"x"}}')
    assert not can_grow(request, DEPLOYMENT, b'{"modalities":["text","audio"]}')
    assert not can_grow(request, Deployment("d", "g", "openai", "m", ""), b"{}")
    assert not can_grow(router_pb2.Open(hold=common_pb2.Hold(epoch="e")), DEPLOYMENT, b"{}")


def test_what_came_in_one_read_beyond_the_cut_is_not_billed_though_its_usage_came_too() -> None:
    _, dispatch, _ = scene(slice_tokens=100, bound=1_000, cap=10**6)
    stream = ChatStream(DEPLOYMENT, show_usage=False)
    dispatch.begin_attempt(DEPLOYMENT)
    dispatch.streams(stream)
    usage = {"prompt_tokens": 7, "completion_tokens": 300, "completion_tokens_details": {"reasoning_tokens": 250}}
    stream.feed(events(300) + b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
    billed = dispatch.cut(100)
    assert billed == common_pb2.TokenUsage(input_tokens=7, output_tokens=100, reasoning_tokens=100)
    dispatch.end_attempt()
    assert dispatch.ended[0].usage == billed
