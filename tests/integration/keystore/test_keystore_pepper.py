"""Keystores of one database have one pepper: with another, a keystore does not start, or serves no virtual key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway.v1 import keystore_pb2

from services.embedded.postgres import EmbeddedPostgres
from services.errors import GatewayError
from services.methods import CREATE_KEY
from services.process import StartError


async def test_a_second_keystore_with_another_pepper_does_not_start(start_keystore: Any) -> None:
    first = await start_keystore(pepper="one")
    with pytest.raises(StartError, match="TOLLHOUSE_PEPPER"):
        await start_keystore(pepper="two")
    second = await start_keystore(pepper="one")
    secret, _ = await first.create_key()
    assert (await (await second.edge()).admit(secret)).principal.key_id


async def test_it_is_the_first_of_them_that_decides_also_when_it_has_ended(start_keystore: Any) -> None:
    await (await start_keystore(pepper="one")).stop()
    with pytest.raises(StartError):
        await start_keystore(pepper="two")


async def test_two_that_start_at_once_on_an_empty_database_agree_on_one(start_keystore: Any) -> None:
    outcomes = await asyncio.gather(*(start_keystore(pepper=each) for each in ("one", "two")), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(StartError) == 1


async def test_one_that_starts_while_postgres_is_away_makes_and_admits_no_key_afterwards(
    start_keystore: Any, postgres: EmbeddedPostgres, eventually: Any
) -> None:
    await start_keystore(pepper="one", database=postgres.database_url)
    await asyncio.to_thread(postgres.stop)
    other = await start_keystore(pepper="two", database=postgres.database_url)
    await asyncio.to_thread(postgres.start)

    async def is_refused_for_its_pepper() -> bool:
        try:
            await other.call(CREATE_KEY, keystore_pb2.CreateKeyRequest())
        except GatewayError as error:
            return "TOLLHOUSE_PEPPER" in error.message
        raise AssertionError("it has made a key")

    await eventually(is_refused_for_its_pepper)
    with pytest.raises(GatewayError):
        await (await other.edge()).admit("sk-any")
