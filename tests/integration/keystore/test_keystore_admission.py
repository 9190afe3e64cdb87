"""Who is admitted, with what held, and how soon a change of a key holds everywhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway.v1 import keystore_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from services.errors import GatewayError
from services.ids import IdMint
from services.methods import CREATE_KEY, DELETE_KEYS, SET_KEY_BLOCKED


async def test_a_key_without_a_budget_is_admitted_and_nothing_is_held(keystore: Any) -> None:
    await keystore.router("r1")
    secret, key = await keystore.create_key(user_id="u", team_id="t", models=["priced"])
    edge = await keystore.edge()
    admitted = await edge.admit(secret, end_user_id="customer", tags=["a", "b"])
    assert (admitted.principal.key_id, admitted.principal.user_id, admitted.principal.team_id) == (key.key_id, "u", "t")
    assert (admitted.principal.end_user_id, list(admitted.principal.tags)) == ("customer", ["a", "b"])
    assert not admitted.principal.master
    assert (admitted.hold.held_nano_usd, admitted.hold.epoch, admitted.hold.output_tokens_limit) == (0, "", 0)


async def test_the_master_key_is_admitted_as_itself(keystore: Any) -> None:
    edge = await keystore.edge()
    admitted = await edge.admit("")
    assert admitted.principal.master
    assert admitted.principal.key_id == ""


async def test_a_budget_holds_the_full_bound_and_imposes_nothing(keystore: Any) -> None:
    await keystore.router("r1")
    secret, _ = await keystore.create_key(1_000_000_000)
    edge = await keystore.edge()
    admitted = await edge.admit(secret, input_tokens_bound=100)
    assert admitted.hold.held_nano_usd == 100 * 1_000 + 1_000 * 2_000
    assert admitted.hold.epoch
    assert admitted.hold.output_tokens_limit == 0


async def test_too_small_a_budget_holds_what_is_left_and_imposes_what_that_buys(keystore: Any) -> None:
    await keystore.router("r1")
    secret, _ = await keystore.create_key(300_999)
    edge = await keystore.edge()
    admitted = await edge.admit(secret, input_tokens_bound=100)
    assert admitted.hold.held_nano_usd == 300_999
    assert admitted.hold.output_tokens_limit == 100


async def test_a_budget_that_cannot_pay_for_sixteen_tokens_refuses(keystore: Any) -> None:
    await keystore.router("r1")
    edge = await keystore.edge()
    enough, _ = await keystore.create_key(100 * 1_000 + 16 * 2_000)
    assert (await edge.admit(enough, input_tokens_bound=100)).hold.output_tokens_limit == 16
    less, key = await keystore.create_key(100 * 1_000 + 16 * 2_000 - 1)
    with pytest.raises(GatewayError) as refused:
        await edge.admit(less, input_tokens_bound=100)
    assert refused.value.reason == Reason.ERROR_REASON_BUDGET_EXCEEDED
    assert refused.value.message == (
        f"Budget has been exceeded! Key=key ({key.key_name}) Current cost: 0, Max budget: 0.000131999"
    )


async def test_a_model_without_a_price_holds_nothing_but_its_cost_counts(keystore: Any) -> None:
    router = await keystore.router("r1")
    secret, _ = await keystore.create_key(1)
    edge = await keystore.edge()
    dispatch_id = edge.new_id()
    admitted = await edge.admit(secret, dispatch_id=dispatch_id, model="unpriced")
    assert admitted.hold.held_nano_usd == 0
    assert admitted.hold.epoch
    await router.settle(dispatch_id, 5)
    with pytest.raises(GatewayError, match=r"Current cost: 0.000000005, Max budget: 0.000000001"):
        await edge.admit(secret)


async def test_a_call_under_a_budget_waits_for_prices(keystore: Any) -> None:
    secret, _ = await keystore.create_key(1_000_000_000)
    edge = await keystore.edge()
    with pytest.raises(GatewayError) as refused:
        await edge.admit(secret)
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE


async def test_access_is_refused_in_litellm_s_words(keystore: Any) -> None:
    edge = await keystore.edge()
    with pytest.raises(GatewayError) as refused:
        await edge.admit("sk-nobody")
    assert refused.value.reason == Reason.ERROR_REASON_KEY_INVALID
    only, _ = await keystore.create_key(models=["unpriced"])
    with pytest.raises(GatewayError) as refused:
        await edge.admit(only)
    assert refused.value.reason == Reason.ERROR_REASON_MODEL_NOT_ALLOWED
    assert refused.value.message == (
        "The requested model 'priced' is not available for this API key, or the model name is invalid. "
        "Check the models available to you and try again."
    )
    short = await keystore.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(duration_seconds=1))
    await edge.admit(short.secret)
    await asyncio.sleep(1.01)
    with pytest.raises(GatewayError) as refused:
        await edge.admit(short.secret)
    assert refused.value.reason == Reason.ERROR_REASON_KEY_EXPIRED


async def test_a_change_holds_from_the_next_admission_on_another_keystore(start_keystore: Any) -> None:
    first, second = await start_keystore(), await start_keystore()
    edge = await second.edge()
    # Not known yet: asked for, and remembered as absent.
    with pytest.raises(GatewayError):
        await edge.admit("sk-custom")
    request = keystore_pb2.CreateKeyRequest(secret="sk-custom")
    await first.call(CREATE_KEY, request)
    await edge.admit("sk-custom")
    for blocked in (True, False, True, False):
        await first.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name="sk-custom", blocked=blocked))
        if blocked:
            with pytest.raises(GatewayError) as refused:
                await edge.admit("sk-custom")
            assert refused.value.reason == Reason.ERROR_REASON_KEY_BLOCKED
        else:
            await edge.admit("sk-custom")
    await first.call(DELETE_KEYS, keystore_pb2.DeleteKeysRequest(names=["sk-custom"]))
    with pytest.raises(GatewayError) as refused:
        await edge.admit("sk-custom")
    assert refused.value.reason == Reason.ERROR_REASON_KEY_INVALID


async def test_a_hold_of_a_key_that_was_blocked_meanwhile_is_given_back(start_keystore: Any, eventually: Any) -> None:
    """The second keystore learns of it only with its own answer, when the money is held already."""
    first, second = await start_keystore(max_budget="1"), await start_keystore(max_budget="1")
    await second.router("r1")
    secret, _ = await first.create_key(1_000_000_000)
    edge = await second.edge()
    admitted = await edge.admit(secret)
    await first.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name=secret, blocked=True))
    with pytest.raises(GatewayError):
        await edge.admit(secret)

    async def is_given_back() -> bool:
        answer = await first.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name=secret, blocked=True))
        return bool(answer.key.held_nano_usd == admitted.hold.held_nano_usd)

    await eventually(is_given_back)


async def test_a_repeated_admission_gets_the_hold_that_it_placed(keystore: Any) -> None:
    await keystore.router("r1")
    secret, _ = await keystore.create_key(3_000_000)
    edge, dispatch_id = await keystore.edge(), IdMint().new()
    first = await edge.admit(secret, dispatch_id=dispatch_id)
    assert await edge.admit(secret, dispatch_id=dispatch_id) == first


async def test_many_unknown_keys_are_refused_one_by_one(keystore: Any, gather: Any) -> None:
    edge = await keystore.edge()
    admitted, refused = await gather([edge.admit(f"sk-guess-{number}") for number in range(200)])
    assert not admitted
    assert {error.reason for error in refused} == {Reason.ERROR_REASON_KEY_INVALID}
