"""Changing, regenerating and listing keys; a change holds from the next admission on every keystore."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway.v1 import keystore_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from services.errors import GatewayError
from services.methods import CREATE_KEY, DELETE_KEYS, GET_KEY, LIST_KEYS, REGENERATE_KEY, UPDATE_KEY

# What a call of `Peer.admit` holds: 1,000 tokens of output.
BOUND = 2_000_000


async def _update(keystore: Any, name: str, *members: str, duration_seconds: int = 0, **key: Any) -> keystore_pb2.Key:
    request = keystore_pb2.UpdateKeyRequest(
        name=name, members=members or list(key), key=keystore.key(**key), duration_seconds=duration_seconds
    )
    return (await keystore.call(UPDATE_KEY, request)).key


async def _regenerate(keystore: Any, name: str, secret: str = "") -> tuple[str, keystore_pb2.Key]:
    change = keystore_pb2.UpdateKeyRequest(name=name)
    made = await keystore.call(REGENERATE_KEY, keystore_pb2.RegenerateKeyRequest(change=change, secret=secret))
    return made.secret, made.key


async def _get(keystore: Any, name: str) -> keystore_pb2.Key:
    return (await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=name))).key


async def _refused(asking: Any) -> tuple[int, str]:
    with pytest.raises(GatewayError) as refused:
        await asking
    return refused.value.reason, refused.value.param


async def test_what_is_named_changes_and_nothing_else(keystore: Any) -> None:
    secret, key = await keystore.create_key(5, key_alias="a", models=["m"], user_id="u", rpm_limit=3, tpm_limit=4)
    others = {"tpm_limit": 99, "user_id": "x"}
    changed = await _update(keystore, secret, "rpm_limit", "models", rpm_limit=7, models=["n"], **others)
    assert changed.updated_ms >= key.updated_ms
    key.terms.rpm_limit, key.terms.models[:], key.updated_ms = 7, ["n"], changed.updated_ms
    assert changed == key == await _get(keystore, secret)
    # What is named and not given is taken away.
    changed = await _update(keystore, secret, "rpm_limit", "max_budget_nano_usd", "key_alias", "models")
    terms = changed.terms
    assert (terms.HasField("rpm_limit"), terms.HasField("max_budget_nano_usd")) == (False, False)
    assert (terms.tpm_limit, changed.key_alias, list(terms.models)) == (4, "", [])


async def test_a_lifetime_begins_with_the_change_that_sets_it(keystore: Any) -> None:
    secret, _ = await keystore.create_key()
    changed = await _update(keystore, secret, "expires_ms", duration_seconds=60)
    assert changed.expires_ms == changed.updated_ms + 60_000
    assert (await _update(keystore, secret, "expires_ms")).expires_ms == 0


async def test_changes_of_different_members_at_once_are_all_kept(keystore: Any) -> None:
    secret, _ = await keystore.create_key()
    await asyncio.gather(
        _update(keystore, secret, user_id="u"),
        _update(keystore, secret, team_id="t"),
        _update(keystore, secret, rpm_limit=9),
        _update(keystore, secret, metadata_json='{"a": 1}'),
    )
    key = await _get(keystore, secret)
    assert (key.user_id, key.team_id, key.terms.rpm_limit, key.metadata_json) == ("u", "t", 9, '{"a": 1}')


async def test_what_no_key_can_have_is_refused_by_name_and_changes_nothing(keystore: Any) -> None:
    secret, key = await keystore.create_key(key_alias="mine")
    await keystore.create_key(key_alias="taken")
    invalid = Reason.ERROR_REASON_INVALID_REQUEST
    assert await _refused(_update(keystore, secret, rpm_limit=-1)) == (invalid, "rpm_limit")
    assert await _refused(_update(keystore, secret, "token", token="t")) == (invalid, "token")
    assert await _refused(_update(keystore, secret, metadata_json="[]")) == (invalid, "metadata")
    assert await _refused(_update(keystore, secret, key_alias="taken")) == (Reason.ERROR_REASON_CONFLICT, "key_alias")
    assert (await _refused(_update(keystore, "sk-nobody", rpm_limit=1)))[0] == Reason.ERROR_REASON_NOT_FOUND
    assert await _get(keystore, secret) == key


async def test_a_changed_limit_or_budget_decides_the_next_admission_on_another_keystore(start_keystore: Any) -> None:
    first, second = await start_keystore(), await start_keystore()
    await second.router("r1")
    secret, _ = await first.create_key(max_parallel_requests=0)
    edge = await second.edge()
    for limit in (0, 1000, 0, 1000):
        await _update(first, secret, max_parallel_requests=limit)
        if limit:
            await edge.admit(secret)
        else:
            assert (await _refused(edge.admit(secret)))[0] == Reason.ERROR_REASON_RATE_LIMITED
    await _update(first, secret, max_budget_nano_usd=1)
    assert (await _refused(edge.admit(secret)))[0] == Reason.ERROR_REASON_BUDGET_EXCEEDED
    await _update(first, secret, max_budget_nano_usd=10 * BOUND)
    assert (await edge.admit(secret)).hold.held_nano_usd == BOUND
    await _update(first, secret, "max_budget_nano_usd")
    assert (await edge.admit(secret)).hold.epoch == ""


async def test_what_was_held_by_the_old_budget_is_given_back_before_it_is_asked_again(
    start_keystore: Any, eventually: Any
) -> None:
    """The second keystore learns of the new budget with the answer that goes by the old one."""
    first, second = await start_keystore(), await start_keystore()
    await second.router("r1")
    secret, _ = await first.create_key(10 * BOUND)
    edge = await second.edge()
    await edge.admit(secret)
    for number in range(2, 6):
        await _update(first, secret, max_budget_nano_usd=(10 + number) * BOUND)
        await edge.admit(secret)
        assert (await _get(first, secret)).held_nano_usd == number * BOUND


async def test_a_stream_goes_on_when_its_key_is_freed_of_its_budget(keystore: Any) -> None:
    await keystore.router("r1")
    edge = await keystore.edge()
    secret, key = await keystore.create_key(BOUND)
    dispatch_id = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    asked = (dispatch_id, key.key_id, 3 * BOUND, 2 * BOUND)
    assert (await _refused(edge.extend(*asked)))[0] == Reason.ERROR_REASON_BUDGET_EXCEEDED
    await _update(keystore, secret, "max_budget_nano_usd")
    assert await edge.extend(*asked) == 3 * BOUND


async def test_a_budget_that_comes_back_knows_what_was_spent_meanwhile(keystore: Any, ledger: Any) -> None:
    router, edge = await keystore.router("r1"), await keystore.edge()
    secret, key = await keystore.create_key(10 * BOUND)
    dispatch_id = edge.new_id()
    await edge.admit(secret, dispatch_id=dispatch_id)
    await router.settle(dispatch_id, 5)
    await _update(keystore, secret, "max_budget_nano_usd")
    ledger.entries = [(dispatch_id, key.key_id, 5), (edge.new_id(), key.key_id, 70)]
    assert (await _update(keystore, secret, max_budget_nano_usd=10 * BOUND)).spent_nano_usd == 75
    ledger.away = True
    freed = await _update(keystore, secret, "max_budget_nano_usd", "key_alias", key_alias="free")
    # It is done, though what was spent is not known now.
    assert not freed.HasField("spent_nano_usd")
    asked = _update(keystore, secret, "max_budget_nano_usd", "key_alias", max_budget_nano_usd=5, key_alias="poor")
    assert (await _refused(asked))[0] == Reason.ERROR_REASON_UNAVAILABLE
    ledger.away = False
    assert (await _get(keystore, secret)).key_alias == "free"


async def test_another_secret_is_the_same_key_and_the_old_one_is_refused_at_once(
    start_keystore: Any, database_url: str
) -> None:
    first, second = await start_keystore(), await start_keystore()
    old, key = await first.create_key(user_id="u")
    edges = [await first.edge(), await second.edge()]
    for edge in edges:
        await edge.admit(old)
    for wish in ("", "sk-of-my-own", ""):
        new, changed = await _regenerate(first, key.key_id, wish)
        assert wish in ("", new)
        assert changed.key_name == f"sk-...{new[-4:]}"
        assert changed.token != key.token
        for edge in edges:
            assert (await _refused(edge.admit(old)))[0] == Reason.ERROR_REASON_KEY_INVALID
            principal = (await edge.admit(new)).principal
            assert (principal.key_id, principal.user_id) == (key.key_id, "u")
        assert (await _get(second, new)).key_id == key.key_id
        old = new


async def test_a_secret_that_a_key_had_before_authenticates_nobody_and_is_never_one_again(keystore: Any) -> None:
    oldest, key = await keystore.create_key()
    older, _ = await _regenerate(keystore, oldest)
    newest, _ = await _regenerate(keystore, older)
    for secret, holds in ((oldest, False), (older, False), (newest, True)):
        shown = keystore_pb2.GetKeyRequest(digest=bytes.fromhex(keystore.digest(secret)))
        if holds:
            assert (await keystore.call(GET_KEY, shown)).key.key_id == key.key_id
        else:
            assert (await _refused(keystore.call(GET_KEY, shown)))[0] == Reason.ERROR_REASON_NOT_FOUND
        again = keystore.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(secret=secret))
        assert await _refused(again) == (Reason.ERROR_REASON_CONFLICT, "key")
        assert (await _refused(_regenerate(keystore, key.key_id, secret)))[0] == Reason.ERROR_REASON_CONFLICT
    other, _ = await keystore.create_key()
    assert (await _refused(_regenerate(keystore, newest, other)))[0] == Reason.ERROR_REASON_CONFLICT
    await keystore.call(DELETE_KEYS, keystore_pb2.DeleteKeysRequest(names=[newest]))
    again = keystore.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(secret=older))
    assert (await _refused(again))[0] == Reason.ERROR_REASON_CONFLICT


async def test_keys_are_listed_by_pages_the_newest_first(keystore: Any, ledger: Any) -> None:
    made = [(await keystore.create_key(user_id="u" if n % 2 else "v", key_alias=f"k{n}"))[1] for n in range(5)]
    tokens = [key.token for key in sorted(made, key=lambda key: (-key.created_ms, key.key_id))]
    ledger.entries = [(b"1" * 16, made[3].key_id, 9)]

    async def listed(**wanted: Any) -> tuple[list[str], int]:
        answer = await keystore.call(LIST_KEYS, keystore_pb2.ListKeysRequest(**{"page": 1, "size": 2, **wanted}))
        return [key.token for key in answer.keys], answer.total_count

    assert [await listed(page=page) for page in (1, 2, 3, 4)] == [
        (tokens[:2], 5),
        (tokens[2:4], 5),
        (tokens[4:], 5),
        ([], 5),
    ]
    assert (await listed(user_id="u"))[1] == 2
    assert await listed(team_id="nobody's") == ([], 0)
    assert await listed(key_alias="k3") == await listed(name=made[3].token) == ([made[3].token], 1)
    assert await listed(name="no name") == ([], 0)
    for wrong in ({"size": 0}, {"size": 101}, {"page": 0}):
        assert (await _refused(listed(**wrong)))[0] == Reason.ERROR_REASON_INVALID_REQUEST
    request = keystore_pb2.ListKeysRequest(page=1, size=1, key_alias="k3", with_spend=True)
    assert (await keystore.call(LIST_KEYS, request)).keys[0].spent_nano_usd == 9
    await keystore.call(DELETE_KEYS, keystore_pb2.DeleteKeysRequest(aliases=["k3"]))
    assert (await listed())[1] == 4


async def test_a_new_secret_is_told_also_while_redis_and_the_ledger_are_away(
    start_keystore: Any, own_valkey: Any, ledger: Any, eventually: Any
) -> None:
    first, second = [await start_keystore(counters=own_valkey.redis_url) for _ in range(2)]
    old, key = await first.create_key()
    edge = await second.edge()
    await edge.admit(old)
    await asyncio.to_thread(own_valkey.stop)
    ledger.away = True
    new, changed = await _regenerate(first, old)
    assert (changed.key_id, changed.HasField("spent_nano_usd")) == (key.key_id, False)
    await edge.admit(new)

    async def is_refused() -> bool:
        return bool((await edge.ask(old)).HasField("refused"))

    await eventually(is_refused)
