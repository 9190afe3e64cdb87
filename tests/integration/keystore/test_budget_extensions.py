"""Holds that grow with their answers: never past a cap, whoever asks at once, and all that is held is given back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
from gateway.v1 import common_pb2, keystore_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from keystore.policy.holds import SLICE_OUTPUT_TOKENS
from services.errors import GatewayError
from services.methods import DELETE_KEYS, GET_KEY

# Of the fixtures' model whose streams show all: 2,000 nano-USD a token.
SLICE = 2_000 * SLICE_OUTPUT_TOKENS
CHAT = common_pb2.OPERATION_CHAT_COMPLETIONS


async def _balance(keystore: Any, secret: str) -> tuple[int, int]:
    key = (await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=secret))).key
    return key.spent_nano_usd, key.held_nano_usd


async def _stream(edge: Any, secret: str, **members: Any) -> tuple[bytes, common_pb2.Hold]:
    dispatch_id = edge.new_id()
    members = {"model": "shown", "operation": CHAT, "output_tokens_limit": 0, "stream": True, **members}
    admitted = await edge.admit(secret, dispatch_id=dispatch_id, **members)
    return dispatch_id, admitted.hold


async def test_a_stream_holds_its_first_slice_and_grows_to_what_the_budget_has(keystore: Any) -> None:
    router = await keystore.router("r1")
    secret, key = await keystore.create_key(3 * SLICE)
    edge = await keystore.edge()
    dispatch_id, hold = await _stream(edge, secret)
    assert (hold.held_nano_usd, hold.output_tokens_limit, hold.extendable) == (SLICE, 0, True)
    assert hold.output_tokens_bound == 100_000
    assert await router.extend(dispatch_id, key.key_id, 2 * SLICE, SLICE + 1) == 2 * SLICE
    assert await router.extend(dispatch_id, key.key_id, 4 * SLICE, 2 * SLICE + 1) == 3 * SLICE
    assert await _balance(keystore, secret) == (0, 3 * SLICE)
    with pytest.raises(GatewayError) as refused:
        await router.extend(dispatch_id, key.key_id, 8 * SLICE, 3 * SLICE + 1)
    assert refused.value.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED
    # What was granted already is granted again: an answer may have been lost.
    assert await router.extend(dispatch_id, key.key_id, 2 * SLICE, SLICE + 1) == 3 * SLICE
    await router.settle(dispatch_id, 11)
    assert await _balance(keystore, secret) == (11, 0)
    with pytest.raises(GatewayError) as gone:
        await router.extend(dispatch_id, key.key_id, 4 * SLICE, 1)
    assert gone.value.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED
    assert await _balance(keystore, secret) == (11, 0)
    assert keystore.metric("tollhouse_extensions_total", outcome="granted") == 3
    assert keystore.metric("tollhouse_extensions_total", outcome="refused") == 2


async def test_less_than_a_slice_buys_a_limit_and_does_not_grow(keystore: Any) -> None:
    await keystore.router("r1")
    secret, _ = await keystore.create_key(SLICE // 2)
    _, hold = await _stream(await keystore.edge(), secret)
    assert (hold.held_nano_usd, hold.output_tokens_limit, hold.extendable) == (SLICE // 2, 512, False)


@pytest.mark.parametrize(
    "members", [{"stream": False}, {"model": "priced", "output_tokens_limit": 50_000}, {"operation": 0}]
)
async def test_what_cannot_be_counted_as_it_comes_is_held_whole(keystore: Any, members: dict[str, Any]) -> None:
    await keystore.router("r1")
    secret, _ = await keystore.create_key(1_000 * SLICE)
    _, hold = await _stream(await keystore.edge(), secret, **members)
    assert hold.held_nano_usd == 2_000 * hold.output_tokens_bound >= 100_000_000
    assert not hold.extendable


async def test_two_hundred_that_grow_at_once_never_pass_their_cap(start_keystore: Any, gather: Any) -> None:
    first, second = await start_keystore(max_budget="0.05"), await start_keystore(max_budget="0.05")
    routers = [await first.router("r1"), await second.router("r2")]
    secret, key = await first.create_key(400 * SLICE)
    edge = await first.edge()
    cap = 50_000_000
    held = {dispatch_id: SLICE for dispatch_id, _ in [await _stream(edge, secret) for _ in range(20)]}
    asking = [
        routers[number % 2].extend(dispatch_id, key.key_id, (2 + number) * SLICE, (1 + number) * SLICE + 1)
        for number in range(10)
        for dispatch_id in held
    ]
    granted, refused = await gather(asking)
    assert granted
    assert {error.reason for error in refused} == {Reason.ERROR_REASON_BUDGET_EXCEEDED}
    _, sum_held = await _balance(first, secret)
    assert 20 * SLICE < sum_held <= cap
    for dispatch_id in held:
        await routers[0].settle(dispatch_id, 1)
    assert await _balance(first, secret) == (20, 0)


async def test_while_the_counters_are_rebuilt_nothing_grows_and_afterwards_it_does(
    keystore: Any, redis_url: str, eventually: Any
) -> None:
    router = await keystore.router("r1")
    secret, key = await keystore.create_key(10 * SLICE)
    dispatch_id, _ = await _stream(await keystore.edge(), secret)
    with redis.from_url(redis_url) as server:
        server.flushall()
    with pytest.raises(GatewayError) as refused:
        await router.extend(dispatch_id, key.key_id, 2 * SLICE, SLICE + 1)
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    async with asyncio.timeout(10):
        epoch = await router.epochs.get()
    hold = keystore_pb2.OpenHold(
        dispatch_id=dispatch_id, principal=common_pb2.Principal(key_id=key.key_id), held_nano_usd=SLICE
    )
    router.send(report=keystore_pb2.Report(router_id="r1", epoch=epoch, holds=[hold]))

    async def grows() -> bool:
        try:
            return await router.extend(dispatch_id, key.key_id, 2 * SLICE, SLICE + 1) == 2 * SLICE
        except GatewayError as error:
            assert error.reason == Reason.ERROR_REASON_UNAVAILABLE
            return False

    await eventually(grows)
    assert await _balance(keystore, secret) == (0, 2 * SLICE)


async def test_the_hold_of_a_deleted_key_does_not_grow(keystore: Any) -> None:
    router = await keystore.router("r1")
    secret, key = await keystore.create_key(10 * SLICE)
    dispatch_id, _ = await _stream(await keystore.edge(), secret)
    await keystore.call(DELETE_KEYS, keystore_pb2.DeleteKeysRequest(names=[secret]))
    with pytest.raises(GatewayError) as refused:
        await router.extend(dispatch_id, key.key_id, 2 * SLICE, SLICE + 1)
    assert refused.value.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED


async def test_a_key_that_another_keystore_made_is_known_when_its_hold_grows(start_keystore: Any) -> None:
    first, second = await start_keystore(), await start_keystore()
    await first.router("r1")
    router = await second.router("r2")
    secret, key = await first.create_key(10 * SLICE)
    dispatch_id, _ = await _stream(await first.edge(), secret)
    assert await router.extend(dispatch_id, key.key_id, 2 * SLICE, SLICE + 1) == 2 * SLICE


async def test_frames_that_make_no_sense_are_refused_and_harm_nobody(keystore: Any) -> None:
    router = await keystore.router("r1")
    secret, key = await keystore.create_key(10 * SLICE)
    dispatch_id, _ = await _stream(await keystore.edge(), secret)
    for members in (
        (b"short", key.key_id, 2 * SLICE, 1),
        (dispatch_id, key.key_id, -1, 1),
        (dispatch_id, "no such key", 2 * SLICE, 1),
        (dispatch_id, "", 2 * SLICE, 1),
        (dispatch_id, key.key_id, 2**62, 2**62),
    ):
        with pytest.raises(GatewayError):
            await router.extend(*members)
    assert await _balance(keystore, secret) == (0, SLICE)
