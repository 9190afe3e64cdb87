"""Limits of keys and of the gateway: exact over keystores, told in LiteLLM's words, and what trouble makes of them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import redis
from gateway.v1 import common_pb2, keystore_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from services.errors import GatewayError
from services.methods import GET_KEY

ROUNDS = "tollhouse_admission_round_seconds_count"


async def _early_in_a_minute(seconds: float = 15) -> None:
    """Counts of a minute begin anew with the next: a test must not be cut in two by that."""
    left = 60 - time.time() % 60
    if left < seconds:
        await asyncio.sleep(left + 0.1)


async def _admit_until_counted(keystore: Any, edge: Any, secret: str) -> None:
    """Admit until the counters have decided: where they answer too late, as on a busy machine, a keystore's own memory
    does, which knows of no call before."""
    while True:
        late = keystore.metric("tollhouse_limits_fallback_total")
        await edge.admit(secret)
        if keystore.metric("tollhouse_limits_fallback_total") == late:
            return


async def test_five_requests_a_minute_are_five_over_two_keystores(start_keystore: Any, gather: Any) -> None:
    await _early_in_a_minute()
    first, second = await start_keystore(), await start_keystore()
    secret, _ = await first.create_key(rpm_limit=5)
    edges = [await each.edge() for each in (first, second, first, second)]
    admitted, refused = await gather([edges[number % 4].admit(secret) for number in range(20)])
    assert len(admitted) == 5
    assert {error.reason for error in refused} == {Reason.ERROR_REASON_RATE_LIMITED}
    assert all(0 < error.retry_after_seconds <= 60 for error in refused)


async def test_calls_at_once_are_counted_over_two_keystores_and_end_with_their_settlement(
    start_keystore: Any, gather: Any
) -> None:
    first, second = await start_keystore(), await start_keystore()
    router = await second.router("r1")
    secret, _ = await first.create_key(max_parallel_requests=3)
    edges = [await first.edge(), await second.edge()]
    ids = [edges[0].new_id() for _ in range(10)]
    outcomes = await asyncio.gather(*(edges[n % 2].ask(secret, dispatch_id=each) for n, each in enumerate(ids)))
    live = [each for each, outcome in zip(ids, outcomes, strict=True) if outcome.HasField("admitted")]
    assert len(live) == 3
    await router.settle(live[0], 0)
    await edges[1].admit(secret)
    with pytest.raises(
        GatewayError, match=r"Limit type: max_parallel_requests. Current limit: 3, Remaining: 0. A call"
    ):
        await edges[0].admit(secret)


async def test_all_calls_together_have_a_limit_which_binds_the_master_key_too(start_keystore: Any) -> None:
    keystore = await start_keystore(parallel=2)
    router, edge = await keystore.router("r1"), await keystore.edge()
    secret, _ = await keystore.create_key()
    first = edge.new_id()
    reply = await edge.ask(secret, dispatch_id=first)
    assert reply.admitted.hold.limited
    assert not reply.HasField("rate_limits")
    await edge.admit("")
    with pytest.raises(GatewayError, match="Rate limit exceeded for the whole gateway"):
        await edge.admit("")
    await router.settle(first, 0)
    await edge.admit("")


async def test_a_refusal_is_litellm_s_with_the_key_s_name_in_place_of_its_hash(keystore: Any) -> None:
    await _early_in_a_minute()
    secret, key = await keystore.create_key(rpm_limit=1, tpm_limit=100_000, max_parallel_requests=7)
    edge = await keystore.edge()
    reply = await edge.ask(secret, input_tokens_bound=400)
    limits = reply.rate_limits
    assert (limits.requests_limit, limits.requests_remaining) == (1, 0)
    # A token for every 4 bytes of input, and the 1,000 of output that the caller allows.
    assert (limits.tokens_limit, limits.tokens_remaining) == (100_000, 100_000 - 1_100)
    assert (limits.parallel_limit, limits.parallel_remaining, limits.exceeded) == (7, 6, "")
    reply = await edge.ask(secret)
    message = reply.refused.message
    assert message.startswith(
        f"Rate limit exceeded for api_key: {key.key_name}. Limit type: requests. Current limit: 1, Remaining: 0. "
        "Limit resets at: "
    )
    assert message.endswith(":00 UTC")
    assert key.key_id not in message
    assert keystore.digest(secret) not in message
    limits = reply.rate_limits
    assert (limits.exceeded, limits.requests_remaining, limits.parallel_remaining) == ("requests", 0, 6)
    assert 0 < limits.reset_ms <= 60_000
    assert reply.refused.retry_after_ms == limits.reset_ms


async def test_a_limit_of_nothing_refuses_and_names_no_time(keystore: Any) -> None:
    edge = await keystore.edge()
    for limit in ("rpm_limit", "tpm_limit", "max_parallel_requests"):
        secret, _ = await keystore.create_key(**{limit: 0})
        reply = await edge.ask(secret)
        assert reply.refused.reason == Reason.ERROR_REASON_RATE_LIMITED
        assert reply.refused.retry_after_ms == 0


async def test_tokens_are_an_estimate_until_the_call_has_ended(keystore: Any) -> None:
    await _early_in_a_minute()
    router, edge = await keystore.router("r1"), await keystore.edge()
    secret, _ = await keystore.create_key(tpm_limit=1_500)
    dispatch_id = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    with pytest.raises(GatewayError, match=r"Limit type: tokens. Current limit: 1500, Remaining: 500.*at 1000 tokens"):
        await edge.admit(secret)
    await router.settle(dispatch_id, 0, tokens=17)
    assert (await edge.ask(secret)).rate_limits.tokens_remaining == 1_500 - 17 - 1_000


async def test_limits_are_decided_with_the_budget_in_one_round_trip(keystore: Any) -> None:
    await keystore.router("r1")
    edge = await keystore.edge()
    both, _ = await keystore.create_key(1_000_000_000, rpm_limit=100, tpm_limit=100_000, max_parallel_requests=9)
    only, _ = await keystore.create_key(rpm_limit=100)
    free, _ = await keystore.create_key()
    await edge.admit(free)
    for secret in (both, only, free):
        before = keystore.metric(ROUNDS)
        await edge.admit(secret)
        assert keystore.metric(ROUNDS) == before + 1


async def test_a_call_under_limits_only_holds_no_money_and_is_told_to_be_settled(keystore: Any) -> None:
    await keystore.router("r1")
    edge = await keystore.edge()
    secret, _ = await keystore.create_key(rpm_limit=9)
    hold = (await edge.admit(secret)).hold
    assert (hold.limited, hold.epoch, hold.held_nano_usd, hold.output_tokens_limit) == (True, "", 0, 0)
    secret, _ = await keystore.create_key()
    assert not (await edge.admit(secret)).hold.limited


async def test_a_slot_whose_router_is_gone_ends_with_its_lease(start_keystore: Any, eventually: Any) -> None:
    keystore = await start_keystore(lease_seconds=1)
    router, edge = await keystore.router("r1"), await keystore.edge()
    secret, _ = await keystore.create_key(max_parallel_requests=1)
    dispatch_id = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    for _ in range(6):
        router.send(renew=keystore_pb2.Renew(dispatch_ids=[dispatch_id]))
        await asyncio.sleep(0.25)
        with pytest.raises(GatewayError):
            await edge.admit(secret)

    async def is_free() -> bool:
        return bool((await edge.ask(secret)).HasField("admitted"))

    await eventually(is_free)


async def test_after_a_loss_of_the_counters_open_calls_keep_their_slots(
    start_keystore: Any, redis_url: str, eventually: Any
) -> None:
    keystore = await start_keystore(parallel=10)
    router, edge = await keystore.router("r1"), await keystore.edge()
    secret, key = await keystore.create_key(max_parallel_requests=1)
    dispatch_id = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    with redis.from_url(redis_url) as client:
        client.flushall()
    open_hold = keystore_pb2.OpenHold(dispatch_id=dispatch_id, principal=common_pb2.Principal(key_id=key.key_id))
    epoch = await router.epochs.get()
    # Told twice, it has one slot.
    for more in (True, False):
        report = keystore_pb2.Report(router_id="r1", epoch=epoch, holds=[open_hold], more=more)
        router.send(report=report)

    with redis.from_url(redis_url, decode_responses=True) as client:

        async def is_ready() -> bool:
            return bool(client.hget("{tollhouse}:state", "phase") == "ready")

        await eventually(is_ready)
        with pytest.raises(GatewayError, match="max_parallel_requests"):
            await _admit_until_counted(keystore, edge, secret)
        await router.settle(dispatch_id, 0, tokens=5)
        await edge.admit(secret)
        assert client.hgetall("{tollhouse}:slots") == {f"key:{key.key_id}": "1", "gateway": "1"}


async def test_while_the_counters_are_away_a_keystore_limits_requests_by_its_own_memory(
    start_keystore: Any, own_valkey: Any, gather: Any
) -> None:
    keystore = await start_keystore(counters=own_valkey.redis_url)
    secret, _ = await keystore.create_key(rpm_limit=5, max_parallel_requests=2)
    edge = await keystore.edge()
    await edge.admit(secret)
    await asyncio.to_thread(own_valkey.stop)
    await _early_in_a_minute()
    admitted, refused = await gather([edge.admit(secret) for _ in range(20)])
    assert len(admitted) == 5
    assert {error.reason for error in refused} == {Reason.ERROR_REASON_RATE_LIMITED}
    assert not any(each.hold.limited for each in admitted)
    assert keystore.metric("tollhouse_limits_fallback_total") >= 20


async def test_limits_read_back_as_they_were_made(keystore: Any) -> None:
    secret, key = await keystore.create_key(rpm_limit=0, tpm_limit=5)
    read = (await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=secret))).key
    assert read == key
    limits = ("rpm_limit", "tpm_limit", "max_parallel_requests")
    assert [read.terms.HasField(name) for name in limits] == [True, True, False]
    for limit in ("rpm_limit", "tpm_limit", "max_parallel_requests"):
        for wrong in (-1, 1 << 60):
            with pytest.raises(GatewayError) as refused:
                await keystore.create_key(**{limit: wrong})
            assert (refused.value.reason, refused.value.param) == (Reason.ERROR_REASON_INVALID_REQUEST, limit)
