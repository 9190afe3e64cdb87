"""Making, reading, changing and deleting users, teams, members, customers, organisations, budgets, tags and groups."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from gateway.v1 import keystore_pb2, ledger_pb2
from gateway.v1.errors_pb2 import ErrorReason as Reason

from keystore.policy.owners import Kind
from services.errors import GatewayError
from services.ids import IdMint
from services.methods import (
    CREATE_OWNER,
    DELETE_KEYS,
    DELETE_OWNERS,
    GET_KEY,
    GET_OWNERS,
    LIST_KEYS,
    LIST_OWNERS,
    SET_KEY_BLOCKED,
    UPDATE_KEY,
    UPDATE_OWNER,
)

Terms, ModelTerms = keystore_pb2.Terms, keystore_pb2.ModelTerms


def _kind(name: str) -> Any:
    return keystore_pb2.OwnerKind.Value(f"OWNER_KIND_{name.upper()}")


async def _create(keystore: Any, kind: str, owner_id: str = "", by: str = "", **members: Any) -> keystore_pb2.Owner:
    owner = keystore_pb2.Owner(kind=_kind(kind), id=owner_id, **members)
    return (await keystore.call(CREATE_OWNER, keystore_pb2.CreateOwnerRequest(owner=owner, changed_by=by))).owner


async def _get(keystore: Any, kind: str, *ids: str) -> list[keystore_pb2.Owner]:
    request = keystore_pb2.GetOwnersRequest(kind=_kind(kind), ids=ids, with_spend=len(ids) < 100)
    return list((await keystore.call(GET_OWNERS, request)).owners)


async def _update(keystore: Any, kind: str, owner_id: str, *names: str, **members: Any) -> keystore_pb2.Owner:
    request = keystore_pb2.UpdateOwnerRequest(
        owner=keystore_pb2.Owner(kind=_kind(kind), id=owner_id, **members), members=names or list(members)
    )
    return (await keystore.call(UPDATE_OWNER, request)).owner


async def _delete(keystore: Any, kind: str, *ids: str) -> list[str]:
    return list((await keystore.call(DELETE_OWNERS, keystore_pb2.DeleteOwnersRequest(kind=_kind(kind), ids=ids))).ids)


async def _list(keystore: Any, kind: str, **wanted: Any) -> tuple[list[str], int]:
    request = keystore_pb2.ListOwnersRequest(**{"kind": _kind(kind), "page": 1, "size": 10, **wanted})
    answer = await keystore.call(LIST_OWNERS, request)
    return [owner.id for owner in answer.owners], answer.total_count


async def _refused(asking: Any) -> tuple[int, str]:
    with pytest.raises(GatewayError) as refused:
        await asking
    return refused.value.reason, refused.value.param


INVALID, NOT_FOUND = Reason.ERROR_REASON_INVALID_REQUEST, Reason.ERROR_REASON_NOT_FOUND
CONFLICT = Reason.ERROR_REASON_CONFLICT


async def test_an_owner_of_each_kind_reads_back_as_it_was_made(keystore: Any) -> None:
    common: dict[str, Any] = {"alias": "A", "metadata_json": '{"a": 1}', "attributes_json": '{"b": 2}'}
    full = Terms(
        models=["m", "n"],
        max_budget_nano_usd=0,
        budget_duration="30d",
        soft_budget_nano_usd=5,
        budget_limits=[keystore_pb2.BudgetWindow(max_budget_nano_usd=7, budget_duration="1d")],
        shadow=True,
        budget_increase_nano_usd=3,
        budget_increase_until_ms=1_900_000_000_000,
        rpm_limit=0,
        tpm_limit=9,
        max_parallel_requests=1,
    )
    own = ModelTerms(model="m", max_budget_nano_usd=0, budget_duration="7d", rpm_limit=0, tpm_limit=4)
    with_models = Terms(model_terms=[own])
    with_models.MergeFrom(full)
    made = [
        await _create(keystore, "budget", terms=with_models, **common),
        await _create(keystore, "user", "u", terms=full, role="internal_user", email="U@x.org", **common),
        await _create(keystore, "organization", "o", terms=full, **common),
        await _create(
            keystore,
            "team",
            "t",
            terms=with_models,
            organization_id="o",
            aliases={"fast": "m"},
            member_terms=full,
            blocked=True,
            **common,
        ),
        await _create(keystore, "team_member", team_id="t", user_id="u", role="admin", terms=full, **common),
        await _create(keystore, "organization_member", organization_id="o", user_id="u", terms=full, **common),
        await _create(keystore, "customer", "c", terms=full, **common),
        await _create(keystore, "tag", "tagged", terms=full, **common),
        await _create(keystore, "access_group", "beta", terms=Terms(models=["m"]), **common),
    ]
    assert {owner.kind for owner in made} == {_kind(kind.value) for kind in Kind}
    assert len(made[0].id) == 36
    assert [made[4].id, made[5].id, made[5].role] == ["t/u", "o/u", "user"]
    for owner in made:
        name = keystore_pb2.OwnerKind.Name(owner.kind).removeprefix("OWNER_KIND_").lower()
        assert await _get(keystore, name, owner.id) == [owner]
        assert owner.created_ms == owner.updated_ms > 0
        assert owner.alias == "A"
    assert (made[3].terms, made[3].member_terms) == (with_models, full)
    # All but the group of models have a budget for a month.
    assert len({owner.budget_reset_ms for owner in made[:-1]}) == 1
    assert made[1].budget_reset_ms > made[1].created_ms
    assert made[-1].budget_reset_ms == 0


@pytest.mark.parametrize(
    ("kind", "members", "param"),
    [
        ("unspecified", {"owner_id": "x"}, "kind"),
        ("user", {"role": "king"}, "role"),
        ("customer", {"role": "admin"}, "role"),
        ("user", {"aliases": {"a": "b"}}, "aliases"),
        ("customer", {"email": "a@b"}, "email"),
        ("budget", {"blocked": True}, "blocked"),
        ("user", {"member_terms": Terms()}, "member_terms"),
        ("team", {"user_id": "u"}, "user_id"),
        ("user", {"owner_id": "a\0"}, "id"),
        ("user", {"owner_id": "a" * 513}, "id"),
        ("team_member", {"team_id": "t" * 512, "user_id": "€" * 300}, "id"),
        ("team_member", {"team_id": "t"}, "user_id"),
        ("customer", {}, "id"),
        ("tag", {}, "id"),
        ("user", {"terms": Terms(model_terms=[ModelTerms(model="m")])}, "model_terms"),
        ("team", {"member_terms": Terms(model_terms=[ModelTerms(model="m")])}, "model_terms"),
        ("budget", {"terms": Terms(budget_id="b")}, "budget_id"),
        ("access_group", {"owner_id": "g", "terms": Terms(rpm_limit=0)}, "rpm_limit"),
        ("user", {"metadata_json": "[]"}, "metadata"),
        ("user", {"attributes_json": "{"}, "attributes"),
        ("user", {"terms": Terms(max_budget_nano_usd=-1)}, "max_budget"),
        ("user", {"terms": Terms(budget_duration="2 days")}, "budget_duration"),
        ("user", {"terms": Terms(rpm_limit=-1)}, "rpm_limit"),
        ("user", {"terms": Terms(budget_increase_nano_usd=-1)}, "temp_budget_increase"),
        ("user", {"terms": Terms(budget_increase_until_ms=1 << 60)}, "temp_budget_expiry"),
        ("user", {"terms": Terms(budget_limits=[keystore_pb2.BudgetWindow()] * 21)}, "budget_limits"),
        ("team", {"terms": Terms(model_terms=[ModelTerms(model=f"m{n}") for n in range(101)])}, "model_max_budget"),
        ("team", {"terms": Terms(model_terms=[ModelTerms(model="m")] * 2)}, "model_max_budget"),
        ("team", {"terms": Terms(model_terms=[ModelTerms(model="m", rpm_limit=-1)])}, "model_rpm_limit"),
    ],
)
async def test_what_no_owner_can_have_is_refused_by_name(
    keystore: Any, kind: str, members: dict[str, Any], param: str
) -> None:
    assert await _refused(_create(keystore, kind, **members)) == (INVALID, param)


async def test_what_an_owner_refers_to_must_be_there(keystore: Any) -> None:
    assert await _refused(_create(keystore, "user", terms=Terms(budget_id="b"))) == (NOT_FOUND, "budget_id")
    assert await _refused(_create(keystore, "team", member_terms=Terms(budget_id="b"))) == (NOT_FOUND, "budget_id")
    assert await _refused(_create(keystore, "team", organization_id="o")) == (NOT_FOUND, "organization_id")
    assert await _refused(_create(keystore, "team_member", team_id="t", user_id="u")) == (NOT_FOUND, "team_id")
    # What was refused has made nobody a user.
    assert await _get(keystore, "user", "u") == []
    assert await _refused(_update(keystore, "user", "u", alias="x")) == (NOT_FOUND, "id")
    assert await _refused(_delete(keystore, "user", "u")) == (NOT_FOUND, "ids")
    assert await _refused(keystore.create_key(budget_id="b")) == (NOT_FOUND, "budget_id")


async def test_whoever_comes_into_a_team_or_gets_a_key_is_a_user(keystore: Any) -> None:
    await _create(keystore, "team", "t")
    await _create(keystore, "team_member", team_id="t", user_id="a/b")
    assert (await _list(keystore, "team_member", user_id="a/b"))[0] == ["t/a%2Fb"]
    await keystore.create_key(user_id="v")
    assert [owner.id for owner in await _get(keystore, "user", "v", "nobody", "a/b")] == ["v", "a/b"]


async def test_ids_and_addresses_are_unique_and_free_again_after_a_deletion(keystore: Any) -> None:
    await _create(keystore, "user", "u", email="Some@x.org")
    assert await _refused(_create(keystore, "user", "u")) == (CONFLICT, "id")
    assert await _refused(_create(keystore, "user", "v", email="some@X.org")) == (CONFLICT, "user_email")
    await _create(keystore, "user", "v")
    assert await _refused(_update(keystore, "user", "v", email="SOME@x.org")) == (CONFLICT, "user_email")
    await _delete(keystore, "user", "u")
    assert await _get(keystore, "user", "u") == []
    again = await _create(keystore, "user", "u", email="some@x.org")
    assert [(again.alias, again.email)] == [(owner.alias, owner.email) for owner in await _get(keystore, "user", "u")]


async def test_what_is_named_changes_and_nothing_else(keystore: Any) -> None:
    await _create(keystore, "team", "t", alias="T", terms=Terms(rpm_limit=1, models=["m"]), aliases={"a": "m"})
    changed = await _update(keystore, "team", "t", "rpm_limit", terms=Terms(rpm_limit=7, tpm_limit=9, models=["x"]))
    assert (changed.terms, changed.alias) == (Terms(rpm_limit=7, models=["m"]), "T")
    changed = await _update(keystore, "team", "t", "rpm_limit", "aliases", "blocked", blocked=True)
    assert (changed.terms, dict(changed.aliases), changed.blocked) == (Terms(models=["m"]), {}, True)
    changed = await _update(keystore, "team", "t", "terms", terms=Terms(tpm_limit=3))
    assert changed.terms == Terms(tpm_limit=3)
    assert await _get(keystore, "team", "t") == [changed]
    assert await _refused(_update(keystore, "team", "t", "email")) == (INVALID, "email")
    assert await _refused(_update(keystore, "team", "t", "id")) == (INVALID, "id")
    assert await _refused(_update(keystore, "team", "t", "rpm_limit", terms=Terms(rpm_limit=-1))) == (
        INVALID,
        "rpm_limit",
    )


async def test_changes_of_different_members_at_once_are_all_kept(keystore: Any) -> None:
    await _create(keystore, "team", "t")
    await asyncio.gather(
        _update(keystore, "team", "t", alias="T"),
        _update(keystore, "team", "t", blocked=True),
        _update(keystore, "team", "t", "rpm_limit", terms=Terms(rpm_limit=1)),
        _update(keystore, "team", "t", "tpm_limit", terms=Terms(tpm_limit=2)),
        _update(keystore, "team", "t", metadata_json='{"a": 1}'),
    )
    (team,) = await _get(keystore, "team", "t")
    assert (team.alias, team.blocked, team.terms) == ("T", True, Terms(rpm_limit=1, tpm_limit=2))
    assert team.metadata_json == '{"a": 1}'


async def test_a_change_is_in_the_directory_of_every_keystore_with_the_next_decision(start_keystore: Any) -> None:
    first, second = await start_keystore(), await start_keystore()
    await _create(first, "team", "t")
    secret, _ = await first.create_key(team_id="t")
    edge = await second.edge()
    for blocked in (True, False):
        await _update(first, "team", "t", blocked=blocked)
        if blocked:
            assert (await _refused(edge.admit(secret)))[0] == Reason.ERROR_REASON_KEY_BLOCKED
        else:
            await edge.admit(secret)
        team = second.role._keys.directory.owner(Kind.TEAM, "t")
        assert team is not None
        assert team.blocked is blocked
    await _delete(first, "team", "t")
    assert (await _refused(edge.admit(secret)))[0] == Reason.ERROR_REASON_KEY_INVALID
    assert second.role._keys.directory.owner(Kind.TEAM, "t") is None


async def _key_is_there(keystore: Any, secret: str) -> bool:
    try:
        await keystore.call(GET_KEY, keystore_pb2.GetKeyRequest(name=secret))
    except GatewayError as error:
        assert error.reason == NOT_FOUND
        return False
    return True


@pytest.mark.parametrize(
    ("gone", "keys", "owners"),
    [
        (("team", "t"), {"u", "o", "u-o"}, {"user/u", "user/v", "organization/o", "organization_member/o/u"}),
        (("user", "u"), {"t", "o"}, {"user/v", "team/t", "organization/o", "team_member/t/v"}),
        (
            ("team_member", "t/u"),
            {"u", "u-o", "t", "o"},
            {"user/u", "user/v", "team/t", "organization/o", "team_member/t/v", "organization_member/o/u"},
        ),
        (("organization", "o"), {"u"}, {"user/u", "user/v"}),
        (
            ("organization_member", "o/u"),
            {"u", "u-t", "t", "o", "u-o"},
            {"user/u", "user/v", "team/t", "organization/o", "team_member/t/u", "team_member/t/v"},
        ),
    ],
)
async def test_whoever_cannot_be_without_another_goes_with_it(
    keystore: Any, gone: tuple[str, str], keys: set[str], owners: set[str]
) -> None:
    """Of a team in an organisation, with two members; keys of the user, the team, both, and the organisation."""
    await _create(keystore, "organization", "o")
    await _create(keystore, "team", "t", organization_id="o")
    await _create(keystore, "team_member", team_id="t", user_id="u")
    await _create(keystore, "team_member", team_id="t", user_id="v")
    await _create(keystore, "organization_member", organization_id="o", user_id="u")
    secrets = {
        "u": (await keystore.create_key(user_id="u"))[0],
        "t": (await keystore.create_key(team_id="t"))[0],
        "u-t": (await keystore.create_key(user_id="u", team_id="t"))[0],
        "o": (await keystore.create_key(organization_id="o"))[0],
        "u-o": (await keystore.create_key(user_id="u", organization_id="o"))[0],
    }
    await _delete(keystore, *gone)
    assert {name for name, secret in secrets.items() if await _key_is_there(keystore, secret)} == keys
    left = set()
    for kind in ("user", "team", "team_member", "organization", "organization_member"):
        left |= {f"{kind}/{owner_id}" for owner_id in (await _list(keystore, kind))[0]}
    assert left == owners


async def test_a_budget_goes_when_nobody_refers_to_it(keystore: Any) -> None:
    await _create(keystore, "budget", "b", terms=Terms(max_budget_nano_usd=5, budget_duration="1d"))
    await _create(keystore, "user", "u", terms=Terms(budget_id="b"))
    await _create(keystore, "team", "t", member_terms=Terms(budget_id="b"))
    secret, key = await keystore.create_key(budget_id="b")
    assert key.budget_reset_ms > key.created_ms
    assert await _list(keystore, "user", budget_id="b") == (["u"], 1)
    for taking_away in (
        _update(keystore, "user", "u", "budget_id"),
        _update(keystore, "team", "t", "member_terms"),
        keystore.call(UPDATE_KEY, keystore_pb2.UpdateKeyRequest(name=secret, members=["budget_id"])),
    ):
        assert await _refused(_delete(keystore, "budget", "b")) == (CONFLICT, "id")
        await taking_away
    assert await _delete(keystore, "budget", "b") == ["b"]


async def test_owners_are_listed_by_pages_the_newest_first(keystore: Any) -> None:
    for number in range(5):
        await _create(
            keystore, "user", f"u{number}", email=f"u{number}@X.org", role="" if number % 2 else "proxy_admin"
        )
        await asyncio.sleep(0.002)
    ids = [f"u{number}" for number in reversed(range(5))]
    assert [await _list(keystore, "user", page=page, size=2) for page in (1, 2, 3, 4)] == [
        (ids[:2], 5),
        (ids[2:4], 5),
        (ids[4:], 5),
        ([], 5),
    ]
    assert await _list(keystore, "user", role="proxy_admin") == (["u4", "u2", "u0"], 3)
    assert await _list(keystore, "user", email="3@x.") == (["u3"], 1)
    assert await _list(keystore, "user", email="%") == ([], 0)
    assert await _list(keystore, "team") == ([], 0)
    for wrong in ({"size": 0}, {"size": 1_001}, {"page": 0}, {"size": 101, "with_spend": True}):
        assert (await _refused(_list(keystore, "user", **wrong)))[0] == INVALID
    ids = [f"u{number}" for number in range(1_001)]
    assert (await _refused(_get(keystore, "user", *ids)))[0] == INVALID


async def test_what_owners_have_spent_is_told_where_it_is_asked_for_and_known(keystore: Any, ledger: Any) -> None:
    ids = IdMint()
    team, end_user = ledger_pb2.SPEND_DIMENSION_TEAM, ledger_pb2.SPEND_DIMENSION_END_USER
    for cost, said in ((5, {team: "t"}), (7, {team: "t", end_user: "c"}), (11, {team: "other"})):
        dispatch_id = ids.new()
        ledger.entries.append((dispatch_id, "k", cost))
        ledger.others[dispatch_id] = said
    # A budget that comes later knows what was spent before it; of an owner without one the ledger is asked.
    budget = Terms(max_budget_nano_usd=100, budget_duration="1mo")
    await _create(keystore, "team", "t")
    assert (await _update(keystore, "team", "t", "terms", terms=budget)).spent_nano_usd == 12
    assert (await _create(keystore, "customer", "c")).spent_nano_usd == 7
    await _create(keystore, "budget", "b", terms=budget)
    wanted = {"kind": _kind("team"), "page": 1, "size": 9}
    (listed,) = (await keystore.call(LIST_OWNERS, keystore_pb2.ListOwnersRequest(**wanted, with_spend=True))).owners
    assert (listed.spent_nano_usd, listed.held_nano_usd) == (12, 0)
    (listed,) = (await keystore.call(LIST_OWNERS, keystore_pb2.ListOwnersRequest(**wanted))).owners
    assert not listed.HasField("spent_nano_usd")
    ledger.away = True
    request = keystore_pb2.GetOwnersRequest(kind=_kind("customer"), ids=["c"], with_spend=True)
    (unknown,) = (await keystore.call(GET_OWNERS, request)).owners
    assert not unknown.HasField("spent_nano_usd")
    # It gets no budget whose beginning nobody knows, and stays as it was.
    asked = _update(keystore, "customer", "c", "terms", "alias", terms=budget, alias="poor")
    assert (await _refused(asked))[0] == Reason.ERROR_REASON_UNAVAILABLE
    assert (await _get(keystore, "customer", "c"))[0].alias == ""


async def test_more_than_fits_into_an_answer_is_refused_and_not_sent(keystore: Any) -> None:
    large = '{"a": "' + "x" * 60_000 + '"}'
    for number in range(20):
        await _create(keystore, "customer", f"c{number}", metadata_json=large)
    assert await _refused(_list(keystore, "customer", size=20)) == (INVALID, "size")
    assert (await _list(keystore, "customer", size=10))[1] == 20


async def test_no_key_comes_into_a_team_that_goes(start_keystore: Any) -> None:
    """Keys are made at one keystore while the team is deleted at another: those that were in time go with it."""
    first, second = await start_keystore(), await start_keystore()
    for attempt in range(10):
        team = f"t{attempt}"
        await _create(first, "team", team)
        loose, _ = await first.create_key()
        move = keystore_pb2.UpdateKeyRequest(name=loose, members=["team_id"], key=keystore_pb2.Key(team_id=team))
        outcomes = await asyncio.gather(
            *(second.create_key(team_id=team) for _ in range(5)),
            _delete(first, "team", team),
            second.call(UPDATE_KEY, move),
            *(second.create_key(team_id=team) for _ in range(5)),
            return_exceptions=True,
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert {(error.reason, error.param) for error in refused if isinstance(error, GatewayError)} <= {
            (NOT_FOUND, "team_id"),
            (NOT_FOUND, "key"),
        }
        assert outcomes[5] == [team]
        request = keystore_pb2.ListKeysRequest(page=1, size=100, team_id=team)
        assert (await first.call(LIST_KEYS, request)).total_count == 0
        assert await _refused(first.create_key(team_id=team)) == (NOT_FOUND, "team_id")
        await _create(first, "team", team)
        await first.create_key(team_id=team)


async def test_directories_are_what_is_stored_whatever_was_changed_at_once(start_keystore: Any) -> None:
    first, second = await start_keystore(), await start_keystore()
    chance = random.Random(1)
    ids = [f"o{number}" for number in range(6)]
    secrets = [(await first.create_key())[0] for _ in range(6)]

    def change(keystore: Any) -> Any:
        owner_id, blocked, secret = chance.choice(ids), chance.random() < 0.5, chance.choice(secrets)
        return chance.choice(
            [
                lambda: _create(keystore, "team", owner_id),
                lambda: _create(keystore, "team_member", team_id=owner_id, user_id=chance.choice("uvw")),
                lambda: _update(keystore, "team", owner_id, blocked=blocked),
                lambda: _delete(keystore, "team", owner_id),
                lambda: _delete(keystore, "user", chance.choice("uvw")),
                lambda: keystore.create_key(team_id=owner_id, user_id=chance.choice("uvw")),
                lambda: keystore.call(SET_KEY_BLOCKED, keystore_pb2.SetKeyBlockedRequest(name=secret, blocked=blocked)),
                lambda: keystore.call(DELETE_KEYS, keystore_pb2.DeleteKeysRequest(names=[secret])),
            ]
        )()

    for _ in range(12):
        changes = [change(chance.choice([first, second])) for _ in range(20)]
        for outcome in await asyncio.gather(*changes, return_exceptions=True):
            assert not isinstance(outcome, BaseException) or isinstance(outcome, GatewayError), outcome
    for keystore in (first, second):
        keys, directory = keystore.role._keys, keystore.role._keys.directory
        await keys.read_feed()
        rows = await keystore.role._store.keys.changes((0, ""), keys.version)
        for row in rows:
            known = directory.key_by_id(row.key.key_id)
            assert (known is None) is row.deleted
            assert known is None or (known.blocked, known.team_id) == (row.key.blocked, row.key.team_id)
        owners = await keystore.role._store.owners.changes((0, "", ""), keys.version)
        for row in owners:
            known = directory.owner(row.owner.kind, row.owner.id)
            assert (known is None) is row.deleted
            assert known is None or (known.blocked, known.user_id) == (row.owner.blocked, row.owner.user_id)
        assert min(len([row for row in each if not row.deleted]) for each in (rows, owners)) > 0
