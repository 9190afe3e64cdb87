"""Another secret for a key: with a grace, by itself, and told to whoever holds the one before."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import pytest
from gateway.v1 import keystore_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from keystore.rotation import MAX_KEYS
from services.errors import GatewayError
from services.methods import CREATE_KEY, GET_KEY, NEXT_SECRET, REGENERATE_KEY, SET_KEY_BLOCKED, UPDATE_KEY

INVALID_KEY = Reason.ERROR_REASON_KEY_INVALID


async def _regenerate(keystore: Any, name: str, grace_seconds: int = 0, **members: Any) -> tuple[str, keystore_pb2.Key]:
    change = keystore_pb2.UpdateKeyRequest(name=name, members=list(members), key=keystore.key(**members))
    request = keystore_pb2.RegenerateKeyRequest(change=change, grace_seconds=grace_seconds)
    made = await keystore.call(REGENERATE_KEY, request)
    return made.secret, made.key


async def _refused(asking: Any) -> int:
    with pytest.raises(GatewayError) as refused:
        await asking
    return refused.value.reason


def _shown(keystore: Any, secret: str) -> bytes:
    return bytes.fromhex(keystore.digest(secret))


async def _next(keystore: Any, secret: str) -> str:
    answer = await keystore.call(NEXT_SECRET, keystore_pb2.NextSecretRequest(digest=_shown(keystore, secret)))
    return str(answer.secret)


async def _make_due(database_url: str, *key_ids: str) -> None:
    """Let the time come at which keys are to be rotated."""
    connection = await asyncpg.connect(database_url)
    statement = "UPDATE keystore.keys SET rotation_at = now() - interval '1 second' WHERE key_id = ANY($1)"
    await connection.execute(statement, key_ids)
    await connection.close()


async def test_old_and_new_are_good_for_the_grace_on_every_keystore(start_keystore: Any, eventually: Any) -> None:
    first, second = await start_keystore(), await start_keystore()
    old, key = await first.create_key()
    edges = [await first.edge(), await second.edge()]
    new, changed = await _regenerate(first, old, grace_seconds=2, key_alias="renewed")
    assert (changed.key_id, changed.key_alias, changed.rotation_count) == (key.key_id, "renewed", 1)
    for edge in edges:
        for secret in (old, new):
            assert (await edge.admit(secret)).principal.key_id == key.key_id
    for named in ({"name": old}, {"digest": _shown(first, old)}, {"name": new}):
        assert (await first.call(GET_KEY, keystore_pb2.GetKeyRequest(**named))).key.key_id == key.key_id

    async def is_over() -> bool:
        return all([(await edge.ask(old)).HasField("refused") for edge in edges])

    await eventually(is_over)
    for edge in edges:
        assert await _refused(edge.admit(old)) == INVALID_KEY
        await edge.admit(new)
    shown = first.call(GET_KEY, keystore_pb2.GetKeyRequest(digest=_shown(first, old)))
    assert await _refused(shown) == Reason.ERROR_REASON_NOT_FOUND
    # It is not asked for again at every call.
    assert second.role._keys.is_absent(second.role._admission._tokens.token_of(_shown(second, old)))


async def test_a_secret_in_its_grace_is_found_by_a_keystore_that_starts(start_keystore: Any) -> None:
    first = await start_keystore()
    old, key = await first.create_key()
    await _regenerate(first, old, grace_seconds=60)
    edge = await (await start_keystore()).edge()
    assert (await edge.admit(old)).principal.key_id == key.key_id


async def test_there_is_at_most_one_secret_before(keystore: Any) -> None:
    edge = await keystore.edge()
    oldest, _ = await keystore.create_key()
    older, _ = await _regenerate(keystore, oldest, grace_seconds=60)
    newest, _ = await _regenerate(keystore, older, grace_seconds=60)
    assert await _refused(edge.admit(oldest)) == INVALID_KEY
    await edge.admit(older)
    last, _ = await _regenerate(keystore, newest)
    for secret in (oldest, older, newest):
        assert await _refused(edge.admit(secret)) == INVALID_KEY
        again = keystore.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(secret=secret))
        assert await _refused(again) == Reason.ERROR_REASON_CONFLICT
    await edge.admit(last)
    assert await _refused(_regenerate(keystore, last, grace_seconds=-1)) == Reason.ERROR_REASON_INVALID_REQUEST


async def test_blocking_a_key_in_its_grace_refuses_both_secrets(keystore: Any) -> None:
    edge = await keystore.edge()
    old, _ = await keystore.create_key()
    new, _ = await _regenerate(keystore, old, grace_seconds=60)
    await keystore.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name=old, blocked=True))
    for secret in (old, new):
        assert await _refused(edge.admit(secret)) == Reason.ERROR_REASON_KEY_BLOCKED


async def test_a_key_is_rotated_when_it_is_due_and_tells_its_holder_the_next_secret(
    start_keystore: Any, database_url: str
) -> None:
    first, second = await start_keystore(), await start_keystore()
    edges = [await first.edge(), await second.edge()]
    old, key = await first.create_key(rotation_interval="30d")
    assert key.rotation_ms == key.created_ms + 30 * 86_400_000
    assert await first.role._rotation.rotate() == 0
    for count in (1, 2):
        await _make_due(database_url, key.key_id)
        # Both look at once: it is rotated once.
        rotated = await asyncio.gather(first.role._rotation.rotate(), second.role._rotation.rotate())
        assert sum(rotated) == 1
        new = await _next(second, old)
        assert new.startswith("sk-")
        assert len(new) == 46
        for edge in edges:
            await edge.admit(old)
            assert (await edge.admit(new)).principal.key_id == key.key_id
        changed = (await first.call(GET_KEY, keystore_pb2.GetKeyRequest(name=new))).key
        assert (changed.rotation_count, changed.key_name) == (count, f"sk-...{new[-4:]}")
        assert changed.rotation_ms > time.time_ns() // 1_000_000
        assert await _refused(_next(first, new)) == Reason.ERROR_REASON_NOT_FOUND
        old = new


async def test_the_next_secret_is_told_to_nobody_else(keystore: Any, database_url: str) -> None:
    old, key = await keystore.create_key(rotation_interval="1d")
    # Made by an administrator: random, and told to him alone.
    new, _ = await _regenerate(keystore, old, grace_seconds=60)
    for secret in (old, new):
        assert await _refused(_next(keystore, secret)) == Reason.ERROR_REASON_NOT_FOUND
    assert await _refused(_next(keystore, "sk-nobody")) == INVALID_KEY
    await _make_due(database_url, key.key_id)
    assert await keystore.role._rotation.rotate() == 1
    derived = await _next(keystore, new)
    assert await _refused(_next(keystore, old)) == INVALID_KEY
    # An administrator's regeneration in the meantime ends it.
    await _regenerate(keystore, derived)
    assert await _refused(_next(keystore, new)) == INVALID_KEY


async def test_what_cannot_be_used_is_left_alone_until_it_can(keystore: Any, database_url: str) -> None:
    blocked, other = [await keystore.create_key(rotation_interval="1d") for _ in range(2)]
    await keystore.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name=blocked[0], blocked=True))
    # Taken away: it is rotated no more.
    changed = await keystore.call(
        UPDATE_KEY, keystore_pb2.UpdateKeyRequest(name=other[0], members=["rotation_interval"])
    )
    assert changed.key.rotation_ms == 0
    await _make_due(database_url, blocked[1].key_id)
    assert await keystore.role._rotation.rotate() == 0
    await keystore.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name=blocked[0], blocked=False))
    assert await keystore.role._rotation.rotate() == 1


async def test_many_keys_that_are_due_are_rotated_in_turns(keystore: Any, database_url: str) -> None:
    made = [await keystore.create_key(rotation_interval="1d") for _ in range(MAX_KEYS + 1)]
    await _make_due(database_url, *(key.key_id for _, key in made))
    assert [await keystore.role._rotation.rotate() for _ in range(3)] == [MAX_KEYS, 1, 0]


@pytest.mark.parametrize("interval", ["soon", "0d", "-1d", "1y"])
async def test_an_interval_that_is_none_is_refused(keystore: Any, interval: str) -> None:
    assert await _refused(keystore.create_key(rotation_interval=interval)) == Reason.ERROR_REASON_INVALID_REQUEST
