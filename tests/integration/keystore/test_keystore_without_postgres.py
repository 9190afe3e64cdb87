"""While PostgreSQL is away: known keys go on, budgets too; what needs the store is refused for now."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway.v1 import keystore_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from services.embedded.postgres import EmbeddedPostgres
from services.errors import GatewayError
from services.methods import CREATE_KEY


async def test_known_keys_go_on_and_all_else_waits(
    start_keystore: Any, postgres: EmbeddedPostgres, eventually: Any
) -> None:
    keystore = await start_keystore(database=postgres.database_url)
    router = await keystore.router("r1")
    secret, _ = await keystore.create_key(1_000_000_000)
    edge = await keystore.edge()
    await edge.admit(secret)
    await asyncio.to_thread(postgres.stop)
    dispatch_id = edge.new_id()
    assert (await edge.admit(secret, dispatch_id=dispatch_id)).hold.epoch
    await router.settle(dispatch_id, 5)
    with pytest.raises(GatewayError) as refused:
        await edge.admit("sk-unknown")
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    with pytest.raises(GatewayError) as refused:
        await keystore.call(CREATE_KEY, keystore_pb2.CreateKeyRequest())
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    await asyncio.to_thread(postgres.start)

    async def can_create() -> bool:
        try:
            created, _ = await keystore.create_key()
        except GatewayError:
            return False
        return bool((await edge.admit(created)).principal.key_id)

    await eventually(can_create)


async def test_a_keystore_that_starts_without_it_serves_the_master_and_then_all(
    start_keystore: Any, postgres: EmbeddedPostgres, eventually: Any
) -> None:
    secret, _ = await (await start_keystore(database=postgres.database_url)).create_key()
    await asyncio.to_thread(postgres.stop)
    keystore = await start_keystore(database=postgres.database_url)
    edge = await keystore.edge()
    assert (await edge.admit("")).principal.master
    with pytest.raises(GatewayError) as refused:
        await edge.admit(secret)
    assert refused.value.reason == Reason.ERROR_REASON_UNAVAILABLE
    await asyncio.to_thread(postgres.start)

    async def is_served() -> bool:
        try:
            await edge.admit(secret)
        except GatewayError:
            return False
        return True

    await eventually(is_served)
