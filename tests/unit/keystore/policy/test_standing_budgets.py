"""Budgets as they apply to a call: in its period, raised, begun anew, of one model, or only watching."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystore.policy.defaults import Defaults
from keystore.policy.operations import Budget, Limit
from keystore.policy.owners import Kind, Owner
from keystore.policy.scopes import parse
from keystore.policy.standing import Applied, model_lines
from keystore.policy.terms import BudgetWindow, ModelTerms, Terms
from services.durations import parse as duration
from services.durations import period_at
from services.money import MAX_BUDGET_NANO_USD
from tests.standing_scene import DAY, HOUR_MS, MONTH, NOW_MS, Scene, team, user


class TestPeriods:
    """A budget with a period is counted in a scope of that period."""

    def test_a_call_is_of_the_period_that_its_dispatch_id_lies_in_whatever_the_time_is(self) -> None:
        scene = Scene()
        key = scene.key(terms=Terms(max_budget_nano_usd=5, budget_duration="1h"))
        begins = NOW_MS // HOUR_MS * HOUR_MS
        for at_ms in (begins, begins + 1, begins + HOUR_MS, begins - 1, begins + 5 * HOUR_MS, begins - HOUR_MS, begins):
            (scope,) = scene.budgets(key, at_ms=at_ms)
            start = at_ms // HOUR_MS * HOUR_MS
            assert scope == f"key:k@{start}-{start + HOUR_MS}"

    def test_they_are_in_the_gateway_s_zone(self) -> None:
        zone = ZoneInfo("Asia/Kolkata")
        scene = Scene(defaults=Defaults(zone=zone))
        period = period_at(duration("1d"), NOW_MS, zone)
        key = scene.key(terms=Terms(max_budget_nano_usd=5, budget_duration="1d"))
        assert list(scene.budgets(key)) == [f"key:k@{period.start_ms}-{period.end_ms}"]

    def test_windows_are_counted_beside_one_another(self) -> None:
        scene = Scene()
        windows = (BudgetWindow(3, "1d"), BudgetWindow(9, "1mo"), BudgetWindow(100))
        key = scene.key(terms=Terms(budget_limits=windows))
        assert scene.budgets(key) == {
            f"key:k@{DAY[0]}-{DAY[1]}": 3,
            f"key:k@{MONTH[0]}-{MONTH[1]}": 9,
            "key:k": 100,
        }

    @pytest.mark.parametrize("caps", [(3, 9, 5), (9, 3, 5), (5, 9, 3)])
    def test_of_windows_with_the_same_period_the_smallest_counts(self, caps: tuple[int, int, int]) -> None:
        """`30d` and `1mo` are the same."""
        scene = Scene()
        windows = (BudgetWindow(caps[1], "1mo"), BudgetWindow(caps[2], "30d"))
        key = scene.key(terms=Terms((), caps[0], "30d", budget_limits=windows))
        applied = scene.applied(key)
        assert applied.budgets == (Budget(f"key:k@{MONTH[0]}-{MONTH[1]}", 3),)
        assert len(applied.accounts) == 1

    def test_a_budget_of_all_time_beside_one_of_a_day_is_another(self) -> None:
        scene = Scene()
        key = scene.key(terms=Terms(max_budget_nano_usd=50, budget_limits=(BudgetWindow(5, "1d"),)))
        assert scene.budgets(key) == {"key:k": 50, f"key:k@{DAY[0]}-{DAY[1]}": 5}

    @given(
        texts=st.lists(
            st.sampled_from(["30s", "7h", "1h", "24h", "1d", "7d", "30d", "1mo", ""]), min_size=1, max_size=4
        ),
        moments=st.lists(st.integers(NOW_MS - 50 * HOUR_MS, NOW_MS + 50 * HOUR_MS), min_size=1, max_size=12),
        until_ms=st.integers(NOW_MS - 50 * HOUR_MS, NOW_MS + 50 * HOUR_MS),
        since_ms=st.integers(NOW_MS - 50 * HOUR_MS, NOW_MS + 50 * HOUR_MS),
    )
    def test_what_is_kept_between_calls_is_what_would_be_reckoned_anew(
        self, texts: list[str], moments: list[int], until_ms: int, since_ms: int
    ) -> None:
        terms = Terms(
            (),
            7,
            texts[0],
            budget_limits=tuple(BudgetWindow(5, text) for text in texts[1:]),
            budget_increase_nano_usd=4,
            budget_increase_until_ms=until_ms,
        )
        zone = ZoneInfo("America/New_York")
        scene = Scene(team(max_budget_nano_usd=9, budget_duration="1d"), defaults=Defaults(zone=zone))
        members: dict[str, Any] = {"terms": terms, "team_id": "t", "spent_since_ms": since_ms}
        key = scene.key(**members)
        for at_ms in moments:
            anew = Scene(team(max_budget_nano_usd=9, budget_duration="1d"), defaults=Defaults(zone=zone))
            assert scene.applied(key, at_ms=at_ms) == anew.applied(anew.key(**members), at_ms=at_ms)


class TestIncreases:
    """A budget that is raised until some moment."""

    def test_it_adds_to_the_budget_until_then(self) -> None:
        scene = Scene()
        key = scene.key(
            terms=Terms(
                max_budget_nano_usd=5,
                budget_increase_nano_usd=3,
                budget_increase_until_ms=NOW_MS,
                budget_limits=(BudgetWindow(1, "1d"),),
            )
        )
        caps = [scene.budgets(key, at_ms=at_ms)["key:k"] for at_ms in (NOW_MS - 1, NOW_MS, NOW_MS - 2, NOW_MS + 1)]
        assert caps == [8, 5, 8, 5]
        assert scene.budgets(key, at_ms=NOW_MS - 1)[f"key:k@{DAY[0]}-{DAY[1]}"] == 1

    def test_it_is_no_budget_by_itself(self) -> None:
        scene = Scene()
        terms = Terms(budget_increase_nano_usd=3, budget_increase_until_ms=NOW_MS + 1)
        assert scene.budgets(scene.key(terms=terms)) == {}

    def test_it_raises_what_a_shared_budget_gives(self) -> None:
        scene = Scene(Owner(Kind.BUDGET, "b", Terms(max_budget_nano_usd=5)))
        terms = Terms(budget_id="b", budget_increase_nano_usd=3, budget_increase_until_ms=NOW_MS + 1)
        assert scene.budgets(scene.key(terms=terms)) == {"key:k": 8}

    def test_no_budget_is_larger_than_can_be_counted(self) -> None:
        scene = Scene()
        terms = Terms(
            max_budget_nano_usd=MAX_BUDGET_NANO_USD,
            budget_increase_nano_usd=MAX_BUDGET_NANO_USD,
            budget_increase_until_ms=NOW_MS + 1,
        )
        assert scene.budgets(scene.key(terms=terms)) == {"key:k": MAX_BUDGET_NANO_USD}


class TestResets:
    """What a key has spent begins anew at an amount."""

    def test_of_all_time_it_counts_from_then_on_below_what_is_left(self) -> None:
        scene = Scene()
        key = scene.key(terms=Terms(max_budget_nano_usd=10), spent_since_ms=NOW_MS - 5, spent_before_nano_usd=4)
        (account,) = scene.applied(key).accounts
        assert account.budget == Budget(f"key:k@{NOW_MS - 5}", 6)
        assert (account.cap_nano_usd, account.before_nano_usd) == (10, 4)

    def test_in_the_period_it_counts_from_then_until_the_period_ends(self) -> None:
        scene = Scene()
        key = scene.key(terms=Terms((), 10, "1d"), spent_since_ms=NOW_MS - 5, spent_before_nano_usd=4)
        (account,) = scene.applied(key).accounts
        assert account.budget == Budget(f"key:k@{NOW_MS - 5}-{DAY[1]}", 6)
        assert account.end_ms == DAY[1]

    def test_in_an_earlier_period_it_is_forgotten(self) -> None:
        scene = Scene()
        key = scene.key(terms=Terms((), 10, "1d"), spent_since_ms=DAY[0] - 1, spent_before_nano_usd=4)
        (account,) = scene.applied(key).accounts
        assert account.budget == Budget(f"key:k@{DAY[0]}-{DAY[1]}", 10)
        assert account.before_nano_usd == 0
        # In the day in which it was, it counts.
        (account,) = scene.applied(key, at_ms=DAY[0] - 1).accounts
        assert (account.budget.cap_nano_usd, account.before_nano_usd) == (6, 4)

    def test_each_window_goes_by_its_own_period(self) -> None:
        scene = Scene()
        windows = (BudgetWindow(10, "1d"), BudgetWindow(20, "1mo"))
        since = DAY[0] - 1
        key = scene.key(terms=Terms(budget_limits=windows), spent_since_ms=since, spent_before_nano_usd=4)
        assert scene.budgets(key) == {f"key:k@{DAY[0]}-{DAY[1]}": 10, f"key:k@{since}-{MONTH[1]}": 16}

    def test_more_than_the_budget_leaves_nothing_and_not_less_than_nothing(self) -> None:
        scene = Scene()
        key = scene.key(terms=Terms(max_budget_nano_usd=10), spent_since_ms=5, spent_before_nano_usd=40)
        (account,) = scene.applied(key).accounts
        assert (account.budget.cap_nano_usd, account.cap_nano_usd) == (0, 10)

    def test_it_is_of_the_key_alone(self) -> None:
        scene = Scene(team(max_budget_nano_usd=5))
        key = scene.key(team_id="t", spent_since_ms=5, terms=Terms(model_terms=(ModelTerms("m", 3),)))
        assert scene.budgets(key) == {"team:t": 5, "key_model:k/m": 3}


class TestModels:
    """Terms of single models, of a key and of a team."""

    def test_they_are_for_calls_of_that_model(self) -> None:
        terms = Terms(model_terms=(ModelTerms("m", 3, "1d", 5, 7), ModelTerms("n", 4)))
        scene = Scene(team(model_terms=(ModelTerms("m", rpm_limit=9),)))
        key = scene.key(terms=terms, team_id="t")
        applied = scene.applied(key)
        assert applied.budgets == (Budget(f"key_model:k/m@{DAY[0]}-{DAY[1]}", 3),)
        assert applied.limits == (Limit("key_model:k/m", 5, 7), Limit("team_model:t/m", 9))
        assert scene.budgets(key, model="n") == {"key_model:k/n": 4}
        assert scene.applied(key, model="other") == Applied()

    @pytest.mark.parametrize("name", ["openai/gpt-4o", "a\nb", "m@5", "", "ünï"])
    def test_whatever_a_model_is_called(self, name: str) -> None:
        scene = Scene()
        key = scene.key(terms=Terms(model_terms=(ModelTerms(name, 3),)))
        (scope,) = scene.budgets(key, model=name)
        assert parse(scope).ids == ("k", name)

    def test_of_others_there_are_none(self) -> None:
        scene = Scene(user(model_terms=(ModelTerms("m", 1),)), defaults=Defaults())
        assert scene.budgets(scene.key(user_id="u")) == {}

    def test_a_shadow_s_are_shadows(self) -> None:
        scene = Scene()
        line = scene.standings.line_of_key(scene.key(terms=Terms(shadow=True, model_terms=(ModelTerms("m", 3),))))
        ((_, its),) = model_lines(line)
        assert its.terms.shadow
        (budget,) = scene.applied(scene.key(terms=Terms(shadow=True, model_terms=(ModelTerms("m", 3),)))).budgets
        assert budget == Budget("key_model:k/m", 3, shadow=True)


class TestShadows:
    """Budgets that refuse nothing."""

    def test_they_are_told_apart_from_others_of_the_same_call(self) -> None:
        scene = Scene(team(max_budget_nano_usd=5, shadow=True))
        applied = scene.applied(scene.key(team_id="t", terms=Terms(max_budget_nano_usd=3)))
        assert applied.budgets == (Budget("key:k", 3), Budget("team:t", 5, shadow=True))
        assert [account.shadow for account in applied.accounts] == [False, True]

    def test_a_key_s_own_cap_stays_hard_though_the_budget_that_it_refers_to_is_one(self) -> None:
        scene = Scene(Owner(Kind.BUDGET, "b", Terms(max_budget_nano_usd=9, shadow=True)))
        assert scene.applied(scene.key(terms=Terms(max_budget_nano_usd=3, budget_id="b"))).budgets == (
            Budget("key:k", 3),
        )


def test_a_soft_budget_is_told_with_the_first_budget_or_alone_and_never_refuses() -> None:
    both = Scene(team(max_budget_nano_usd=10, soft_budget_nano_usd=5, budget_duration="1d"))
    (account,) = both.applied(both.key(team_id="t")).accounts
    assert (account.soft_nano_usd, account.counts, both.applied(None).soft) == (5, True, ())
    alone = Scene(team(soft_budget_nano_usd=5, budget_duration="1d"))
    found = alone.applied(alone.key(team_id="t"))
    assert (found.accounts, found.budgets) == ((), ())
    (account,) = found.soft
    assert (account.budget.scope, account.soft_nano_usd, account.counts) == (f"team:t@{DAY[0]}-{DAY[1]}", 5, False)
    assert alone.applied(alone.key(team_id="t"), at_ms=DAY[1]).soft[0].budget.scope != account.budget.scope
