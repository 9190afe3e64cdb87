"""Money is held before it is spent: no cap is passed, whatever comes at once, late, twice or never."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway.v1 import keystore_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from services.errors import GatewayError
from services.methods import GET_GATEWAY_BUDGET, GET_KEY

# Of one call with the fixtures' defaults: 1,000 tokens at 2,000.
BOUND = 2_000_000


async def _balance(keystore: Any, secret: str) -> tuple[int, int]:
    key = (await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=secret))).key
    return key.spent_nano_usd, key.held_nano_usd


async def test_two_hundred_at_once_never_pass_a_cap_on_two_keystores(start_keystore: Any, gather: Any) -> None:
    first, second = await start_keystore(), await start_keystore()
    await first.router("r1")
    await second.router("r2")
    secret, _ = await first.create_key(10 * BOUND)
    edges = [await first.edge(), await second.edge(), await first.edge(), await second.edge()]
    admitted, refused = await gather([edges[number % 4].admit(secret) for number in range(200)])
    assert sum(each.hold.held_nano_usd for each in admitted) == 10 * BOUND
    assert len(admitted) == 10
    assert {error.reason for error in refused} == {Reason.ERROR_REASON_BUDGET_EXCEEDED}
    assert await _balance(first, secret) == (0, 10 * BOUND)


async def test_a_settlement_turns_the_hold_into_what_it_cost(keystore: Any) -> None:
    router = await keystore.router("r1")
    secret, _ = await keystore.create_key(BOUND)
    edge = await keystore.edge()
    dispatch_id = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    with pytest.raises(GatewayError, match=r"held for calls under way: 0.002"):
        await edge.admit(secret)
    await router.settle(dispatch_id, 7)
    assert await _balance(keystore, secret) == (7, 0)
    await router.settle(dispatch_id, 7)
    assert await _balance(keystore, secret) == (7, 0)
    assert keystore.metric("tollhouse_settlements_total", outcome="duplicate") == 1


async def test_many_settlements_are_acknowledged_in_order(keystore: Any, gather: Any) -> None:
    router = await keystore.router("r1")
    secret, _ = await keystore.create_key(1_000 * BOUND)
    edge = await keystore.edge()
    ids = [edge.new_id() for _ in range(500)]
    await gather([edge.admit(secret, dispatch_id=each) for each in ids])
    for each in ids:
        last = router.send(settle=keystore_pb2.Settle(dispatch_id=each, cost_nano_usd=3))
    await router.acknowledged(last)
    assert await _balance(keystore, secret) == (1_500, 0)


async def test_the_gateway_s_budget_binds_every_key_and_the_master(start_keystore: Any) -> None:
    keystore = await start_keystore(max_budget="0.005")
    await keystore.router("r1")
    rich, _ = await keystore.create_key(100 * BOUND)
    free, _ = await keystore.create_key()
    edge = await keystore.edge()
    await edge.admit(rich)
    await edge.admit("")
    partial = await edge.admit(free)
    assert partial.hold.held_nano_usd == 1_000_000
    for secret in (rich, free, ""):
        with pytest.raises(GatewayError, match=r"Budget has been exceeded! Current cost: 0, Max budget: 0.005"):
            await edge.admit(secret)
    # All or none: the rich key holds nothing for the call that was refused.
    assert await _balance(keystore, rich) == (0, BOUND)
    budget = await keystore.call(GET_GATEWAY_BUDGET, keystore_pb2.GetGatewayBudgetRequest())
    assert (budget.max_budget_nano_usd, budget.spent_nano_usd, budget.held_nano_usd) == (5_000_000, 0, 5_000_000)


async def test_a_hold_that_nobody_renews_frees_its_money_and_its_cost_counts_later(
    start_keystore: Any, eventually: Any
) -> None:
    keystore = await start_keystore(lease_seconds=1.0)
    router = await keystore.router("r1")
    secret, _ = await keystore.create_key(2 * BOUND)
    edge = await keystore.edge()
    left, kept = edge.new_id(), edge.new_id()
    await edge.admit(secret, dispatch_id=left)
    await edge.admit(secret, dispatch_id=kept)

    async def only_one_is_held() -> bool:
        router.send(renew=keystore_pb2.Renew(dispatch_ids=[kept]))
        return await _balance(keystore, secret) == (0, BOUND)

    await eventually(only_one_is_held)
    await router.settle(left, 9)
    assert await _balance(keystore, secret) == (9, BOUND)
    await router.settle(kept, 1)
    assert await _balance(keystore, secret) == (10, 0)
    assert keystore.metric("tollhouse_settlements_total", outcome="expired") == 1


async def test_spend_that_the_counters_do_not_know_is_summed_in_the_ledger_once(
    start_keystore: Any, ledger: Any, gather: Any
) -> None:
    """The gateway's own budget, set where calls were made before."""
    ledger.entries = [(b"1" * 16, "k", 4_000_000), (b"2" * 16, "", 500_000)]
    keystore = await start_keystore(max_budget="0.0065")
    await keystore.router("r1")
    edge = await keystore.edge()
    admitted, refused = await gather([edge.admit("") for _ in range(10)])
    assert [each.hold.held_nano_usd for each in admitted] == [BOUND]
    assert {error.message for error in refused} == {
        "Budget has been exceeded! Current cost: 0.0045, Max budget: 0.0065, held for calls under way: 0.002"
    }
    assert ledger.sums == 1


async def test_while_the_ledger_is_away_an_unknown_budget_refuses(start_keystore: Any, ledger: Any) -> None:
    ledger.away = True
    keystore = await start_keystore(max_budget="1")
    await keystore.router("r1")
    edge = await keystore.edge()
    with pytest.raises(GatewayError) as refused:
        await edge.admit("")
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    ledger.away = False
    await edge.admit("")


async def test_an_edge_that_is_gone_does_not_stop_the_others(keystore: Any) -> None:
    secret, _ = await keystore.create_key()
    gone, here = await keystore.edge(), await keystore.edge()
    asking = asyncio.create_task(gone.admit(secret))
    await asyncio.sleep(0)
    await gone.link.close()
    asking.cancel()
    await here.admit(secret)


async def test_a_settlement_shares_the_round_of_the_admission_that_needs_its_money(
    keystore: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round trip is saved, and the money is there all the same: settlements come first in a round."""
    monkeypatch.setattr("keystore.admission.SETTLE_SECONDS", 1.0)  # longer than this takes on a busy machine
    router = await keystore.router("r1")
    secret, _ = await keystore.create_key(BOUND)
    edge = await keystore.edge()
    dispatch_id = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    rounds = keystore.metric("tollhouse_admission_round_seconds_count")
    sequence = router.send(settle=keystore_pb2.Settle(dispatch_id=dispatch_id, cost_nano_usd=0))
    # The settlement has reached the keystore and waits there.
    await asyncio.sleep(0.02)
    await edge.admit(secret)
    assert keystore.metric("tollhouse_admission_round_seconds_count") == rounds + 1
    await router.acknowledged(sequence)
