"""Making, reading, blocking and deleting keys."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from gateway.v1 import keystore_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from services.errors import GatewayError
from services.methods import CREATE_KEY, DELETE_KEYS, GET_GATEWAY_BUDGET, GET_KEY, SET_KEY_BLOCKED
from services.money import MAX_BUDGET_NANO_USD


async def _refused(keystore: Any, method: Any, request: Any) -> tuple[int, str, str]:
    with pytest.raises(GatewayError) as refused:
        await keystore.call(method, request)
    return refused.value.reason, refused.value.message, refused.value.param


async def test_a_key_reads_back_as_it_was_made_by_each_of_its_names(keystore: Any) -> None:
    key = keystore.key(
        key_alias="alias",
        models=["b", "a"],
        max_budget_nano_usd=0,
        user_id="u",
        team_id="t",
        metadata_json='{"a": [1, 2.5]}',
    )
    made = await keystore.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(key=key, duration_seconds=60))
    assert made.secret.startswith("sk-")
    assert len(made.secret) == 25
    assert made.key.key_name == f"sk-...{made.secret[-4:]}"
    assert made.key.expires_ms == made.key.created_ms + 60_000
    for name in (made.secret, made.key.token, made.key.key_id, keystore.digest(made.secret)):
        read = (await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=name))).key
        assert read == made.key
    terms = read.terms
    assert (list(terms.models), terms.max_budget_nano_usd, terms.HasField("max_budget_nano_usd")) == (
        ["b", "a"],
        0,
        True,
    )


async def test_neither_the_secret_nor_its_digest_is_stored(keystore: Any, database_url: str) -> None:
    secret, _ = await keystore.create_key()
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT k::text AS row FROM keystore.keys k")
    await connection.close()
    assert len(rows) == 1
    assert secret not in rows[0]["row"]
    assert keystore.digest(secret) not in rows[0]["row"]


async def test_a_key_s_spend_is_the_ledger_s_without_a_budget(keystore: Any, ledger: Any) -> None:
    secret, key = await keystore.create_key()
    ledger.entries = [(b"1" * 16, key.key_id, 5), (b"2" * 16, "other", 7)]
    read = (await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=secret))).key
    assert (read.spent_nano_usd, read.held_nano_usd) == (5, 0)
    budget = await keystore.call(GET_GATEWAY_BUDGET, keystore_pb2.GetGatewayBudgetRequest())
    assert (budget.HasField("max_budget_nano_usd"), budget.spent_nano_usd) == (False, 12)


async def test_alias_and_secret_are_unique(keystore: Any) -> None:
    request = keystore_pb2.CreateKeyRequest(key=keystore_pb2.Key(key_alias="one"), secret="sk-mine")
    await keystore.call(CREATE_KEY, request)
    assert await _refused(
        keystore, CREATE_KEY, keystore_pb2.CreateKeyRequest(key=keystore_pb2.Key(key_alias="one"))
    ) == (
        Reason.ERROR_REASON_CONFLICT,
        "Key with alias 'one' already exists. Unique key aliases across all keys are required.",
        "key_alias",
    )
    again = keystore_pb2.CreateKeyRequest(secret="sk-mine")
    assert (await _refused(keystore, CREATE_KEY, again))[::2] == (Reason.ERROR_REASON_CONFLICT, "key")
    await keystore.call(DELETE_KEYS, keystore_pb2.DeleteKeysRequest(aliases=["one"]))
    # An alias is free again; a secret that was deleted never comes back to life.
    assert (await _refused(keystore, CREATE_KEY, again))[::2] == (Reason.ERROR_REASON_CONFLICT, "key")
    await keystore.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(key=keystore_pb2.Key(key_alias="one")))


@pytest.mark.parametrize(
    ("request_members", "key_members", "param"),
    [
        ({"secret": "pk-mine"}, {}, "key"),
        ({"secret": "sk-"}, {}, "key"),
        ({"duration_seconds": -1}, {}, "duration"),
        ({"duration_seconds": 1 << 60}, {}, "duration"),
        ({}, {"max_budget_nano_usd": -1}, "max_budget"),
        ({}, {"max_budget_nano_usd": MAX_BUDGET_NANO_USD + 1}, "max_budget"),
        ({}, {"key_alias": "a\0"}, "key_alias"),
        ({}, {"models": ["m" * 1_000]}, "models"),
        ({}, {"metadata_json": "[]"}, "metadata"),
        ({}, {"metadata_json": '{"a": NaN}'}, "metadata"),
        ({}, {"metadata_json": '{"a": "\\u0000"}'}, "metadata"),
        ({}, {"metadata_json": "[" * 60_000}, "metadata"),
        ({}, {"metadata_json": '{"a": ' + "[" * 500 + "]" * 500 + "}"}, ""),
    ],
)
async def test_what_no_key_can_have_is_refused_by_name(
    keystore: Any, request_members: dict[str, Any], key_members: dict[str, Any], param: str
) -> None:
    request = keystore_pb2.CreateKeyRequest(key=keystore.key(**key_members), **request_members)
    if not param:
        await keystore.call(CREATE_KEY, request)
        return
    reason, _, named = await _refused(keystore, CREATE_KEY, request)
    assert (reason, named) == (Reason.ERROR_REASON_INVALID_REQUEST, param)


async def test_keys_are_deleted_all_or_none(keystore: Any) -> None:
    secret, _ = await keystore.create_key(key_alias="here")
    request = keystore_pb2.DeleteKeysRequest(names=[secret, "sk-nobody"])
    assert (await _refused(keystore, DELETE_KEYS, request))[0] == Reason.ERROR_REASON_NOT_FOUND
    request = keystore_pb2.DeleteKeysRequest(names=[secret], aliases=["nobody"])
    assert (await _refused(keystore, DELETE_KEYS, request))[0] == Reason.ERROR_REASON_NOT_FOUND
    await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=secret))
    # By two of its names: still one key.
    request = keystore_pb2.DeleteKeysRequest(names=[secret], aliases=["here"])
    assert list((await keystore.call(DELETE_KEYS, request)).deleted) == [secret, "here"]
    not_found = (Reason.ERROR_REASON_NOT_FOUND, "Key not found in database", "key")
    assert await _refused(keystore, GET_KEY, keystore_pb2.GetKeyRequest(name=secret)) == not_found
    blocking = keystore_pb2.SetKeyBlockedRequest(name=secret, blocked=True)
    assert await _refused(keystore, SET_KEY_BLOCKED, blocking) == not_found
