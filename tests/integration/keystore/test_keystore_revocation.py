"""A key that is taken away is refused from the moment at which that is answered, by every keystore, and stays so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway.v1 import keystore_pb2

from services.errors import GatewayError, Reason
from services.methods import DELETE_KEYS, SET_KEY_BLOCKED

REFUSALS = {Reason.ERROR_REASON_KEY_INVALID, Reason.ERROR_REASON_KEY_BLOCKED}


async def is_refused(peer: Any, secret: str) -> bool:
    """Whether a call with it is."""
    try:
        await peer.admit(secret)
    except GatewayError as error:
        assert error.reason in REFUSALS, error
        return True
    return False


async def test_a_hundred_keys_are_refused_by_both_keystores_once_their_deletion_is_answered(
    start_keystore: Any,
) -> None:
    first, second = await start_keystore(), await start_keystore()
    await first.router("r1")
    await second.router("r2")
    edges = [await first.edge(), await second.edge()]
    for number in range(100):
        secret, key = await first.create_key(10**12)
        assert [await is_refused(edge, secret) for edge in edges] == [False, False]
        revoker = (first, second)[number % 2]
        await revoker.call(DELETE_KEYS, keystore_pb2.DeleteKeysRequest(names=[key.key_id]))
        assert await asyncio.gather(*(is_refused(edge, secret) for edge in edges)) == [True, True]


@pytest.mark.parametrize("races", [300, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_what_is_read_while_a_key_is_taken_away_never_brings_it_back(start_keystore: Any, races: int) -> None:
    """Calls with the key are under way on both keystores whenever it is blocked, and whenever it is free again."""
    first, second = await start_keystore(), await start_keystore()
    await first.router("r1")
    await second.router("r2")
    edges = [await first.edge(), await second.edge()]
    secret, key = await first.create_key()
    for number in range(races):
        reading = [asyncio.create_task(is_refused(edge, secret)) for edge in edges for _ in range(2)]
        request = keystore_pb2.SetKeyBlockedRequest(name=key.key_id, blocked=True)
        await (first, second)[number % 2].call(SET_KEY_BLOCKED, request)
        # Those that come after the answer, and after whatever was being read before it.
        assert await asyncio.gather(*(is_refused(edge, secret) for edge in edges)) == [True, True]
        await asyncio.gather(*reading)
        assert await asyncio.gather(*(is_refused(edge, secret) for edge in edges)) == [True, True]
        request.blocked = False
        await (second, first)[number % 2].call(SET_KEY_BLOCKED, request)
        assert await asyncio.gather(*(is_refused(edge, secret) for edge in edges)) == [False, False]
