"""Who holds a secret, and as what; what a key has spent begins anew."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.v1 import keystore_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from services.errors import GatewayError
from services.methods import (
    CREATE_KEY,
    CREATE_OWNER,
    DELETE_KEYS,
    GET_KEY,
    IDENTIFY,
    LIST_KEYS,
    RESET_SPEND,
    SET_KEY_BLOCKED,
    UPDATE_OWNER,
)

USER, TEAM = keystore_pb2.OWNER_KIND_USER, keystore_pb2.OWNER_KIND_TEAM
MEMBER, ORGANIZATION = keystore_pb2.OWNER_KIND_TEAM_MEMBER, keystore_pb2.OWNER_KIND_ORGANIZATION
ORGANIZATION_MEMBER = keystore_pb2.OWNER_KIND_ORGANIZATION_MEMBER


async def _create(keystore: Any, **members: Any) -> None:
    owner = keystore_pb2.Owner(**members)
    await keystore.call(CREATE_OWNER, keystore_pb2.CreateOwnerRequest(owner=owner))


async def _identify(keystore: Any, secret: str) -> keystore_pb2.IdentifyResponse:
    digest = bytes.fromhex(keystore.digest(secret))
    answer: keystore_pb2.IdentifyResponse = await keystore.call(IDENTIFY, keystore_pb2.IdentifyRequest(digest=digest))
    return answer


async def _refused(asking: Any) -> int:
    with pytest.raises(GatewayError) as refused:
        await asking
    return refused.value.reason


async def test_a_holder_has_the_role_and_the_places_of_the_key_s_user(start_keystore: Any) -> None:
    first, second = await start_keystore(), await start_keystore()
    secret, key = await first.create_key(user_id="u", key_alias="mine")
    found = await _identify(second, secret)
    assert (found.key.key_id, found.key.key_alias, found.role, list(found.team_ids)) == (key.key_id, "mine", "", [])
    user = keystore_pb2.Owner(kind=USER, id="u", role="internal_user")
    await first.call(UPDATE_OWNER, keystore_pb2.UpdateOwnerRequest(owner=user, members=["role"]))
    await _create(first, kind=ORGANIZATION, id="o")
    for team_id, role in (("t1", "admin"), ("t2", "user")):
        await _create(first, kind=TEAM, id=team_id)
        await _create(first, kind=MEMBER, team_id=team_id, user_id="u", role=role)
    await _create(first, kind=MEMBER, team_id="t2", user_id="other", role="admin")
    await _create(first, kind=ORGANIZATION_MEMBER, organization_id="o", user_id="u", role="admin")
    for keystore in (first, second):
        found = await _identify(keystore, secret)
        assert found.role == "internal_user"
        assert (sorted(found.team_ids), list(found.admin_team_ids)) == (["t1", "t2"], ["t1"])
        assert (list(found.organization_ids), list(found.admin_organization_ids)) == (["o"], ["o"])
    blocked = keystore_pb2.Owner(kind=USER, id="u", blocked=True)
    await first.call(UPDATE_OWNER, keystore_pb2.UpdateOwnerRequest(owner=blocked, members=["blocked"]))
    assert await _refused(_identify(second, secret)) == Reason.ERROR_REASON_KEY_BLOCKED
    # A key of nobody's is nobody.
    other, _ = await first.create_key()
    assert (await _identify(second, other)).role == ""


async def test_who_is_not_admitted_is_not_identified(start_keystore: Any) -> None:
    first, second = await start_keystore(), await start_keystore()
    assert await _refused(_identify(second, "sk-nobody")) == Reason.ERROR_REASON_KEY_INVALID
    secret, _ = await first.create_key()
    await _identify(second, secret)
    await first.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name=secret, blocked=True))
    assert await _refused(_identify(second, secret)) == Reason.ERROR_REASON_KEY_BLOCKED
    await first.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name=secret, blocked=False))
    await _identify(second, secret)
    await first.call(DELETE_KEYS, keystore_pb2.DeleteKeysRequest(names=[secret]))
    assert await _refused(_identify(second, secret)) == Reason.ERROR_REASON_KEY_INVALID


async def test_every_member_of_a_key_reads_back(keystore: Any) -> None:
    key = keystore.key(
        models=["m"],
        organization_id="o",
        tags=["b", "a", "b"],
        aliases={"fast": "m"},
        allowed_routes=["/v1/*"],
        attributes_json='{"a": 1}',
        rotation_interval="2d",
        drop_params=False,
        budget_duration="1mo",
        max_budget_nano_usd=7,
        soft_budget_nano_usd=5,
        shadow=True,
    )
    made = await keystore.call(CREATE_KEY, keystore_pb2.CreateKeyRequest(key=key, changed_by="ann"))
    read = (await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=made.secret))).key
    assert read == made.key
    assert (list(read.tags), dict(read.aliases), list(read.allowed_routes)) == (["b", "a"], {"fast": "m"}, ["/v1/*"])
    assert (read.created_by, read.updated_by, read.organization_id) == ("ann", "ann", "o")
    assert (read.HasField("drop_params"), read.drop_params, read.terms.shadow) == (True, False, True)
    assert read.budget_reset_ms > read.created_ms


async def test_keys_are_listed_in_the_order_that_is_asked_for(keystore: Any) -> None:
    for alias, members in {
        "b": {"user_id": "u"},
        "c": {"team_id": "t1"},
        "a": {"team_id": "t2", "organization_id": "o"},
        "d": {"user_id": "v", "team_id": "t1"},
    }.items():
        await keystore.create_key(key_alias=alias, **members)

    async def listed(**wanted: Any) -> str:
        answer = await keystore.call(LIST_KEYS, keystore_pb2.ListKeysRequest(page=1, size=10, **wanted))
        assert answer.total_count == len(answer.keys)
        return "".join(key.key_alias for key in answer.keys)

    assert await listed(sort_by="key_alias", ascending=True) == "abcd"
    assert await listed(sort_by="key_alias") == "dcba"
    assert await listed(sort_by="created_ms", ascending=True) == "bcad"
    by_alias = {"sort_by": "key_alias", "ascending": True}
    assert await listed(organization_id="o", **by_alias) == "a"
    assert await listed(user_id="u", **by_alias) == "b"
    assert await listed(user_id="u", team_ids=["t1"], **by_alias) == "bcd"
    assert await listed(team_ids=["t1", "t2"], **by_alias) == "acd"
    assert await listed(team_id="t1", user_id="v", **by_alias) == "d"
    assert await _refused(listed(sort_by="token")) == Reason.ERROR_REASON_INVALID_REQUEST


async def test_what_a_key_has_spent_may_be_set_to_no_more_than_it_is(keystore: Any, ledger: Any) -> None:
    secret, key = await keystore.create_key()
    ledger.entries = [(b"1" * 16, key.key_id, 5)]
    for wrong in (-1, 6):
        request = keystore_pb2.ResetSpendRequest(name=secret, spent_nano_usd=wrong)
        assert await _refused(keystore.call(RESET_SPEND, request)) == Reason.ERROR_REASON_INVALID_REQUEST
    await keystore.call(RESET_SPEND, keystore_pb2.ResetSpendRequest(name=secret, spent_nano_usd=2))
    await keystore.role._keys.read_feed()
    stored = keystore.role._keys.directory.key_by_id(key.key_id)
    assert stored.spent_since_ms >= key.created_ms
    assert stored.spent_before_nano_usd == 2
