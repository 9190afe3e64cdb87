"""To whom a call is counted, under which budgets and limits, and in which period."""

from __future__ import annotations

import pytest

from keystore.policy.defaults import Defaults
from keystore.policy.operations import Budget, Limit
from keystore.policy.owners import Key, Kind, Owner, member_id
from keystore.policy.scopes import Whose, parse
from keystore.policy.standing import MAX_KEPT, Applied
from keystore.policy.terms import ModelTerms, Terms
from services.money import MAX_BUDGET_NANO_USD
from tests.standing_scene import DAY, EVERYBODY, MONTH, NOW_MS, Scene, member, money, team, user


class TestWhom:
    """Whoever a call leads to, and nobody else."""

    def test_a_key_that_is_in_nothing_is_counted_to_itself(self) -> None:
        scene = Scene(*EVERYBODY)
        assert scene.budgets(scene.key(terms=money(1))) == {"key:k": 1}

    def test_a_personal_key_is_its_user_s_to_pay_for(self) -> None:
        scene = Scene(*EVERYBODY)
        assert scene.budgets(scene.key(user_id="u")) == {"personal:u": 2}

    def test_a_team_s_key_is_the_team_s_and_the_member_s_and_the_organisation_s_and_not_the_user_s(self) -> None:
        scene = Scene(*EVERYBODY)
        key = scene.key(terms=money(1), user_id="u", team_id="t")
        expected = {"key:k": 1, "team:t": 3, "member:t/u": 4, "organization:o": 5}
        assert scene.budgets(key) == expected
        assert scene.limits(key) == list(expected)

    def test_a_user_may_be_made_to_pay_for_team_keys_too(self) -> None:
        """And then all that he spends is one sum, whatever key it is with."""
        scene = Scene(*EVERYBODY, defaults=Defaults(user_pays_for_team_keys=True))
        assert list(scene.budgets(scene.key(user_id="u", team_id="t"))) == [
            *("user:u", "team:t", "member:t/u", "organization:o")
        ]
        assert scene.budgets(Key("k2", "t2", "n", user_id="u")) == {"user:u": 2}

    def test_a_key_s_own_organisation_comes_before_its_team_s(self) -> None:
        scene = Scene(*EVERYBODY, Owner(Kind.ORGANIZATION, "o2", money(11)))
        key = scene.key(team_id="t", organization_id="o2")
        assert scene.budgets(key) == {"team:t": 3, "organization:o2": 11}
        assert scene.standings.of(key).organization_id == "o2"
        assert scene.standings.of(Key("k2", "t2", "n", team_id="t")).organization_id == "o"

    def test_customers_and_tags_are_added_call_by_call(self) -> None:
        scene = Scene(*EVERYBODY)
        key = scene.key(terms=money(1))
        assert scene.budgets(key, end_user_id="c", tags=["y", "x"]) == {
            "key:k": 1,
            "customer:c": 6,
            "tag:y": 8,
            "tag:x": 7,
        }
        assert scene.budgets(key) == {"key:k": 1}

    def test_customers_and_tags_that_nobody_has_made_count_to_nobody(self) -> None:
        scene = Scene(*EVERYBODY)
        assert scene.applied(scene.key(), end_user_id="nobody", tags=["none", ""]) == Applied()

    def test_the_master_key_s_calls_are_counted_to_customers_tags_and_the_gateway(self) -> None:
        scene = Scene(*EVERYBODY, defaults=Defaults(gateway=money(20), key=money(21), team=money(22)))
        assert scene.budgets(None, end_user_id="c", tags=["x"]) == {"gateway": 20, "customer:c": 6, "tag:x": 7}

    def test_a_member_s_budget_holds_though_of_the_user_only_the_name_is_known(self) -> None:
        scene = Scene(team(), member(max_budget_nano_usd=4))
        assert scene.budgets(scene.key(user_id="u", team_id="t")) == {"member:t/u": 4}
        scene = Scene(member(max_budget_nano_usd=4))
        assert scene.budgets(scene.key(user_id="u", team_id="t")) == {"member:t/u": 4}

    def test_a_tag_that_is_given_twice_counts_once(self) -> None:
        scene = Scene(*EVERYBODY)
        applied = scene.applied(scene.key(), tags=["x", "x"])
        assert applied.budgets == (Budget("tag:x", 7),)
        assert applied.limits == (Limit("tag:x", 7),)

    @pytest.mark.parametrize("name", ["a/b", "a\nb", "gateway", "t@5-6", "Zoë 🦉", "k:x", "%2F"])
    def test_whatever_somebody_is_called_he_is_counted_alone(self, name: str) -> None:
        owners = [Owner(kind, name, money(5)) for kind in (Kind.TEAM, Kind.CUSTOMER, Kind.TAG, Kind.ORGANIZATION)]
        scene = Scene(*owners, Owner(Kind.TEAM_MEMBER, member_id(name, name), money(6), user_id=name, team_id=name))
        key = scene.key(team_id=name, user_id=name, organization_id=name)
        scopes = [parse(scope) for scope in scene.budgets(key, end_user_id=name, tags=[name])]
        assert [(scope.whose, set(scope.ids)) for scope in scopes] == [
            (whose, {name}) for whose in (Whose.TEAM, Whose.MEMBER, Whose.ORGANIZATION, Whose.CUSTOMER, Whose.TAG)
        ]

    def test_nobody_can_name_himself_into_another_s_budget(self) -> None:
        scene = Scene(
            Owner(Kind.TEAM_MEMBER, member_id("a/b", "c"), money(1), user_id="c", team_id="a/b"),
            Owner(Kind.TEAM_MEMBER, member_id("a", "b/c"), money(2), user_id="b/c", team_id="a"),
        )
        one = scene.budgets(Key("k1", "t1", "n", team_id="a/b", user_id="c"))
        other = scene.budgets(Key("k2", "t2", "n", team_id="a", user_id="b/c"))
        assert (list(one.values()), list(other.values())) == ([1], [2])
        assert not one.keys() & other.keys()

    def test_the_order_is_that_in_which_refusals_are_told(self) -> None:
        scene = Scene(*EVERYBODY, defaults=Defaults(gateway=money(20)))
        terms = Terms(max_budget_nano_usd=1, rpm_limit=1, model_terms=(ModelTerms("m", 1, rpm_limit=1),))
        applied = scene.applied(scene.key(terms=terms, team_id="t"), end_user_id="c", tags=["x"])
        order = [Whose.KEY, Whose.TEAM, Whose.ORGANIZATION, Whose.GATEWAY, Whose.KEY_MODEL, Whose.CUSTOMER, Whose.TAG]
        assert [account.whose for account in applied.accounts] == order
        assert [bound.whose for bound in applied.bounds] == order
        assert [account.budget for account in applied.accounts] == list(applied.budgets)
        assert [bound.limit for bound in applied.bounds] == list(applied.limits)

    def test_no_hash_is_in_what_anybody_is_called(self) -> None:
        scene = Scene(*EVERYBODY)
        key = scene.key(terms=Terms(rpm_limit=1, model_terms=(ModelTerms("m", 1, rpm_limit=1),)))
        applied = scene.applied(key)
        assert [bound.name for bound in applied.bounds] == ["sk-...abcd", "sk-...abcd:m"]


class TestDefaults:
    """What those get who have no terms."""

    def test_they_are_for_each_of_a_kind_and_what_is_set_stays(self) -> None:
        defaults = Defaults(
            key=Terms(max_parallel_requests=3), team=Terms((), 10, "30d", rpm_limit=5), customer=money(7)
        )
        scene = Scene(team(rpm_limit=9), defaults=defaults)
        applied = scene.applied(scene.key(team_id="t"), end_user_id="anybody")
        assert [bound.limit for bound in applied.bounds] == [
            Limit("key:k", parallel=3),
            Limit("team:t", requests=9),
            Limit("customer:anybody", requests=7),
        ]
        assert [account.budget for account in applied.accounts] == [
            Budget(f"team:t@{MONTH[0]}-{MONTH[1]}", 10),
            Budget("customer:anybody", 7),
        ]

    def test_a_team_or_user_of_whom_only_the_name_is_known_has_them_too(self) -> None:
        scene = Scene(defaults=Defaults(team=money(3), user=money(2)))
        assert scene.budgets(scene.key(team_id="t")) == {"team:t": 3}
        assert scene.budgets(Key("k2", "t2", "n", user_id="u")) == {"personal:u": 2}

    def test_nobody_has_no_defaults(self) -> None:
        scene = Scene(defaults=Defaults(team=money(3), user=money(2), customer=money(4)))
        assert scene.budgets(scene.key()) == {}

    def test_a_budget_that_defaults_refer_to_applies(self) -> None:
        budget = Owner(Kind.BUDGET, "b", Terms((), 9, "1d", rpm_limit=2))
        scene = Scene(budget, defaults=Defaults(customer=Terms(budget_id="b")))
        key = scene.key()
        assert scene.budgets(key, end_user_id="anybody") == {f"customer:anybody@{DAY[0]}-{DAY[1]}": 9}
        assert scene.limits(key, end_user_id="anybody") == ["customer:anybody"]
        # What the default itself says comes first.
        scene = Scene(budget, defaults=Defaults(customer=Terms(max_budget_nano_usd=5, budget_id="b")))
        assert scene.budgets(key, end_user_id="anybody") == {"customer:anybody": 5}

    def test_members_without_terms_have_their_team_s_for_members(self) -> None:
        budget = Owner(Kind.BUDGET, "b", Terms(rpm_limit=6))
        its = Owner(Kind.TEAM, "t", member_terms=Terms(max_budget_nano_usd=5, budget_id="b"))
        scene = Scene(its, budget, member())
        key = scene.key(team_id="t", user_id="u")
        assert scene.budgets(key) == {"member:t/u": 5}
        assert scene.limits(key) == ["member:t/u"]
        scene.directory.put_owner(member(max_budget_nano_usd=1))
        assert scene.budgets(key) == {"member:t/u": 1}


class TestSharedBudgets:
    """Who refers to a budget is counted by himself."""

    def test_each_who_refers_to_one_has_a_counter_of_his_own(self) -> None:
        scene = Scene(
            Owner(Kind.BUDGET, "b", Terms((), 9, "1d", rpm_limit=3)), team(budget_id="b"), user(budget_id="b")
        )
        of_team = scene.budgets(scene.key(team_id="t"))
        of_user = scene.budgets(Key("k2", "t2", "n", user_id="u"))
        assert of_team == {f"team:t@{DAY[0]}-{DAY[1]}": 9}
        assert of_user == {f"personal:u@{DAY[0]}-{DAY[1]}": 9}

    def test_what_is_set_beside_it_stays(self) -> None:
        scene = Scene(Owner(Kind.BUDGET, "b", Terms((), 9, "1d", rpm_limit=3)))
        applied = scene.applied(scene.key(terms=Terms(max_budget_nano_usd=4, budget_id="b")))
        assert applied.budgets == (Budget("key:k", 4),)
        assert applied.limits == (Limit("key:k", 3),)

    def test_one_that_changes_or_goes_does_so_for_the_next_call(self) -> None:
        scene = Scene(Owner(Kind.BUDGET, "b", Terms(max_budget_nano_usd=9)))
        key = scene.key(terms=Terms(budget_id="b"))
        assert scene.budgets(key) == {"key:k": 9}
        scene.directory.put_owner(Owner(Kind.BUDGET, "b", Terms(max_budget_nano_usd=2)))
        assert scene.budgets(key) == {"key:k": 2}
        scene.directory.remove_owner(Kind.BUDGET, "b")
        assert scene.budgets(key) == {}

    def test_one_that_is_not_there_is_no_budget(self) -> None:
        scene = Scene()
        assert scene.budgets(scene.key(terms=Terms(budget_id="gone"))) == {}

    def test_a_budget_of_a_budget_is_not_followed(self) -> None:
        scene = Scene(
            Owner(Kind.BUDGET, "a", Terms(budget_id="b", rpm_limit=1)),
            Owner(Kind.BUDGET, "b", Terms(max_budget_nano_usd=2)),
        )
        assert scene.budgets(scene.key(terms=Terms(budget_id="a"))) == {}


class TestChanges:
    """What is kept between calls is as good as new."""

    def test_a_change_of_any_owner_or_key_holds_for_the_next_call(self) -> None:
        scene = Scene(team(max_budget_nano_usd=5))
        key = scene.key(team_id="t")
        assert scene.budgets(key, end_user_id="c", tags=["x"]) == {"team:t": 5}
        for owner in (Owner(Kind.CUSTOMER, "c", money(6)), Owner(Kind.TAG, "x", money(7))):
            scene.directory.put_owner(owner)
        assert scene.budgets(key, end_user_id="c", tags=["x"]) == {"team:t": 5, "customer:c": 6, "tag:x": 7}
        scene.directory.remove_owner(Kind.TEAM, "t")
        scene.directory.remove_owner(Kind.TAG, "x")
        assert scene.budgets(key, end_user_id="c", tags=["x"]) == {"customer:c": 6}
        changed = scene.key(terms=Terms(max_budget_nano_usd=1))
        assert scene.budgets(changed) == {"key:k": 1}

    def test_a_customer_s_list_of_models_changes_too(self) -> None:
        scene = Scene(Owner(Kind.CUSTOMER, "c", Terms(("g",))))
        rule = scene.standings.rule_of_customer("c")
        assert rule is not None
        assert not rule.allowed.allows("m")
        scene.directory.put_owner(Owner(Kind.ACCESS_GROUP, "g", Terms(("m",))))
        rule = scene.standings.rule_of_customer("c")
        assert rule is not None
        assert rule.allowed.allows("m")
        scene.directory.put_owner(Owner(Kind.CUSTOMER, "c"))
        assert scene.standings.rule_of_customer("c") is None
        assert scene.standings.rule_of_customer("") is None

    def test_groups_that_routers_name_hold_from_the_next_call_on(self) -> None:
        scene = Scene()
        key = scene.key(terms=Terms(("g",)))
        assert not scene.standings.of(key).rules[0].allowed.allows("m")
        scene.standings.set_groups({"g": frozenset({"m"})})
        assert scene.standings.of(key).rules[0].allowed.allows("m")

    def test_of_customers_and_tags_only_so_many_are_kept(self) -> None:
        scene = Scene(Owner(Kind.CUSTOMER, "c", money(6)))
        key = scene.key()
        for number in range(MAX_KEPT + 10):
            scene.applied(key, end_user_id=str(number))
        assert len(scene.standings._kept) <= MAX_KEPT
        assert scene.budgets(key, end_user_id="c") == {"customer:c": 6}


class TestAliases:
    """Names that stand for model groups."""

    def test_a_key_s_come_before_its_team_s(self) -> None:
        scene = Scene(Owner(Kind.TEAM, "t", aliases={"a": "of-team", "b": "of-team"}))
        key = scene.key(team_id="t", aliases={"a": "of-key"})
        assert scene.standings.of(key).aliases == {"a": "of-key", "b": "of-team"}
        assert scene.standings.of(None).aliases == {}


class TestExtensions:
    """Budgets that a call may have had when it began."""

    def test_whoever_has_no_budget_now_is_no_bound(self) -> None:
        scene = Scene(team(max_budget_nano_usd=5), Owner(Kind.CUSTOMER, "c"), Owner(Kind.TAG, "x", money(1)))
        key = scene.key(team_id="t")
        former = scene.standings.scopes_of_all_time(key, "m", "c", ["x", "none"])
        assert former == [Budget(scope, MAX_BUDGET_NANO_USD) for scope in ("key:k", "gateway", "customer:c")]

    def test_no_scope_is_there_twice(self) -> None:
        scene = Scene(*EVERYBODY, defaults=Defaults(gateway=money(1)))
        key = scene.key(team_id="t", user_id="u", terms=Terms(model_terms=(ModelTerms("m", rpm_limit=1),)))
        asked = (key, "m", "c", ["x", "y"])
        scopes = [budget.scope for budget in scene.standings.applied(*asked, NOW_MS).budgets]
        scopes += [budget.scope for budget in scene.standings.scopes_of_all_time(*asked)]
        assert len(scopes) == len(set(scopes))


def test_to_groups_of_models_and_memberships_of_organisations_no_call_is_counted() -> None:
    standings = Scene().standings
    for kind in (Kind.BUDGET, Kind.ACCESS_GROUP, Kind.ORGANIZATION_MEMBER):
        assert standings.line_of(Owner(kind, "x", money(1))) is None
    for kind in set(Kind) - {Kind.BUDGET, Kind.ACCESS_GROUP, Kind.ORGANIZATION_MEMBER}:
        assert standings.line_of(Owner(kind, "x", money(1))) is not None
