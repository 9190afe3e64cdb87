"""One admission: what is asked of the counters for it, and how each outcome is answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gateway.v1 import common_pb2, keystore_pb2
from hypothesis import given
from hypothesis import strategies as st

from keystore.policy.defaults import Defaults
from keystore.policy.holds import DEFAULT_INPUT_TOKENS, SLICE_OUTPUT_TOKENS, Prices
from keystore.policy.operations import Admit, Budget, Exceeded, Held, Limit, Limited, Rate, Use
from keystore.policy.owners import Directory, Key, Kind, Owner
from keystore.policy.standing import Standings
from keystore.policy.terms import BudgetWindow, Terms
from keystore.question import DIGEST_BYTES, DISPATCH_ID_BYTES, Question, ask, is_well_formed, tags_of
from services.errors import Reason
from services.ids import lowest_at

NOW_MS = 1_795_332_900_000
DAY_MS = 86_400_000
TODAY = NOW_MS // DAY_MS * DAY_MS
CHAT = common_pb2.OPERATION_CHAT_COMPLETIONS
# $1 a million tokens in, $2 out: 1,000 and 2,000 nano-USD a token.
PRICED = Prices(1_000_000_000, 2_000_000_000)
PRICES = {
    "m": PRICED,
    "dear": Prices(9_000_000_000, 9_000_000_000),
    "shown": Prices(0, 2_000_000_000, max_output_tokens=100_000, shows_all_output=True),
    "read": Prices(1_000_000_000, 0, max_input_tokens=1_000_000),
}


class Scene:
    """A directory, and what is asked in it."""

    def __init__(self, *owners: Owner, defaults: Defaults | None = None) -> None:
        self.directory = Directory()
        for owner in owners:
            self.directory.put_owner(owner)
        self.standings = Standings(self.directory, defaults or Defaults())
        self.prices: dict[str, Prices] | None = PRICES

    def ask(self, key: Key | None, *, master: bool = False, at_ms: int = NOW_MS, **members: Any) -> Question:
        members = {"model": "m", "operation": CHAT, "choices": 1, "output_tokens_limit": 100, **members}
        admit = keystore_pb2.Admit(
            dispatch_id=lowest_at(at_ms), key_digest=b"" if master else bytes(DIGEST_BYTES), **members
        )
        return ask(admit, key, self.directory, self.standings, self.prices, NOW_MS)

    def asked(self, key: Key | None, **members: Any) -> Admit:
        operation = self.ask(key, **members).operation
        assert operation is not None
        return operation

    def reason(self, key: Key | None, **members: Any) -> Any:
        refused = self.ask(key, **members).refused
        return refused.reason if refused is not None else None


def key_with(**members: Any) -> Key:
    return Key("k", "token", "sk-...abcd", **members)


BUDGET = Terms(max_budget_nano_usd=10**9)
LIMITED = Terms(rpm_limit=5, tpm_limit=10_000)


class TestWhatIsAsked:
    """Of the counters."""

    def test_without_budgets_and_limits_they_are_not_asked(self) -> None:
        question = Scene().ask(key_with())
        assert question.operation is None
        assert question.refused is None

    def test_a_budget_holds_the_call_s_bound_and_at_least_its_input_and_a_few_tokens(self) -> None:
        operation = Scene().asked(key_with(terms=BUDGET), input_tokens_bound=50)
        assert operation.budgets == (Budget("key:k", 10**9),)
        assert operation.full_nano_usd == 50 * 1_000 + 100 * 2_000
        assert operation.smallest_nano_usd == 50 * 1_000 + 16 * 2_000
        assert (operation.limits, operation.tokens) == ((), 0)

    def test_limits_alone_hold_no_money_and_count_an_estimate_of_tokens(self) -> None:
        operation = Scene().asked(key_with(terms=LIMITED), input_tokens_bound=400)
        assert operation == Admit(lowest_at(NOW_MS), 0, 0, (), (Limit("key:k", 5, 10_000),), 200)

    def test_a_stream_whose_tokens_are_all_seen_holds_a_slice_at_first(self) -> None:
        key = key_with(terms=BUDGET)
        unary = Scene().asked(key, model="shown", output_tokens_limit=50_000)
        stream = Scene().asked(key, model="shown", output_tokens_limit=50_000, stream=True)
        assert (unary.full_nano_usd, stream.full_nano_usd) == (100_000_000, SLICE_OUTPUT_TOKENS * 2_000)

    def test_a_call_is_of_the_period_of_its_dispatch_id_and_not_of_now(self) -> None:
        key = key_with(terms=Terms(max_budget_nano_usd=5, budget_duration="1d"))
        for at_ms in (TODAY - 1, TODAY, TODAY + DAY_MS):
            (budget,) = Scene().asked(key, at_ms=at_ms).budgets
            start = at_ms // DAY_MS * DAY_MS
            assert budget.scope == f"key:k@{start}-{start + DAY_MS}"

    def test_no_dispatch_id_makes_it_fail(self) -> None:
        key = key_with(
            terms=Terms(budget_limits=(BudgetWindow(5, "1d"), BudgetWindow(5, "1mo"), BudgetWindow(5, "7h")))
        )
        assert len(Scene().asked(key, at_ms=(1 << 48) - 1).budgets) == 3
        assert Scene().asked(key, at_ms=0).budgets

    def test_the_master_key_s_calls_are_bound_by_the_gateway_s_terms_alone(self) -> None:
        scene = Scene(defaults=Defaults(gateway=BUDGET, key=LIMITED))
        question = scene.ask(None, master=True)
        assert question.refused is None
        assert question.operation is not None
        assert [budget.scope for budget in question.operation.budgets] == ["gateway"]

    def test_a_model_that_nobody_prices_holds_nothing_and_is_counted(self) -> None:
        operation = Scene().asked(key_with(terms=BUDGET), model="unheard-of")
        assert (operation.full_nano_usd, operation.smallest_nano_usd) == (0, 0)
        assert operation.budgets


class TestOpenEnds:
    """Calls that nothing in them bounds."""

    def test_as_much_is_held_as_the_model_can_read(self) -> None:
        key = key_with(terms=BUDGET)
        known = Scene().asked(key, model="read", input_tokens_bound=10, open_ended=True)
        unknown = Scene().asked(key, model="m", input_tokens_bound=10, open_ended=True)
        assert known.full_nano_usd == 1_000_000 * 1_000
        assert unknown.full_nano_usd == DEFAULT_INPUT_TOKENS * 1_000 + 100 * 2_000

    def test_they_are_held_whole_though_they_are_streamed(self) -> None:
        asked = {"model": "shown", "output_tokens_limit": 50_000, "stream": True}
        assert Scene().asked(key_with(terms=BUDGET), open_ended=True, **asked).full_nano_usd == 100_000_000

    @pytest.mark.parametrize(
        ("terms", "open_ended", "strict", "refused"),
        [
            (BUDGET, True, True, True),
            (BUDGET, True, False, False),
            (BUDGET, False, True, False),
            (LIMITED, True, True, False),
            (Terms(), True, True, False),
            # What only watches refuses nothing.
            (Terms(max_budget_nano_usd=5, shadow=True), True, True, False),
        ],
    )
    def test_strict_budgets_refuse_them_where_one_applies(
        self, terms: Terms, open_ended: bool, strict: bool, refused: bool
    ) -> None:
        scene = Scene(defaults=Defaults(strict=strict))
        reason = scene.reason(key_with(terms=terms), open_ended=open_ended)
        assert (reason == Reason.ERROR_REASON_INVALID_REQUEST) == refused == (reason is not None)


class TestPrices:
    """Until a router has told any."""

    @pytest.mark.parametrize(
        ("terms", "waits"),
        [
            (BUDGET, True),
            (LIMITED, False),
            (Terms(), False),
            (Terms(max_budget_nano_usd=5, shadow=True), False),
        ],
    )
    def test_calls_under_a_budget_that_refuses_wait(self, terms: Terms, waits: bool) -> None:
        scene = Scene()
        scene.prices = None
        question = scene.ask(key_with(terms=terms))
        assert (question.refused is not None) == waits
        if question.refused is not None:
            assert question.refused.reason == Reason.ERROR_REASON_UNAVAILABLE
            assert question.operation is None


class TestAliases:
    """A name of a key or its team stands for a model group, once."""

    def test_what_it_stands_for_is_allowed_priced_and_called(self) -> None:
        key = key_with(aliases={"my-alias": "dear"}, terms=Terms(("dear",), 10**9))
        scene = Scene()
        question = scene.ask(key, model="my-alias", input_tokens_bound=1, output_tokens_limit=1)
        assert question.refused is None
        assert question.operation is not None
        assert question.operation.full_nano_usd == 18_000
        assert question.admitted(1, Held(18_000), "e").admitted.model == "dear"
        assert scene.ask(key, model="dear").admitted_unheld(1).admitted.model == ""

    def test_it_gives_nobody_a_model_that_he_may_not_call(self) -> None:
        key = key_with(aliases={"m": "dear", "dear": "m"}, terms=Terms(("m",)))
        assert Scene().reason(key, model="m") == Reason.ERROR_REASON_MODEL_NOT_ALLOWED
        assert Scene().reason(key, model="dear") is None

    def test_an_alias_of_an_alias_is_a_model_s_name(self) -> None:
        key = key_with(aliases={"a": "b", "b": "m"}, terms=Terms(("b", "m")))
        assert Scene().ask(key, model="a").model == "b"

    def test_an_alias_for_nothing_is_none(self) -> None:
        assert Scene().ask(key_with(aliases={"m": ""}), model="m").model == ""

    def test_a_team_s_are_its_keys(self) -> None:
        team = Owner(Kind.TEAM, "t", Terms(("m",)), aliases={"fast": "m"})
        assert Scene(team).reason(key_with(team_id="t"), model="fast") is None
        assert Scene(team).reason(key_with(), model="fast") is None
        assert Scene(team).ask(key_with(), model="fast").model == ""


class TestRefusals:
    """Before the counters are asked."""

    def test_no_key_no_call(self) -> None:
        question = Scene().ask(None)
        assert question.refused is not None
        assert question.refused.reason == Reason.ERROR_REASON_KEY_INVALID
        assert question.operation is None

    @pytest.mark.parametrize(
        ("key", "reason"),
        [
            (key_with(blocked=True, terms=BUDGET), Reason.ERROR_REASON_KEY_BLOCKED),
            (key_with(expires_ms=NOW_MS, terms=BUDGET), Reason.ERROR_REASON_KEY_EXPIRED),
            (key_with(terms=Terms(("other",), 5)), Reason.ERROR_REASON_MODEL_NOT_ALLOWED),
            (key_with(allowed_routes=("/v1/embeddings",), terms=BUDGET), Reason.ERROR_REASON_ROUTE_NOT_ALLOWED),
            (key_with(team_id="blocked", terms=BUDGET), Reason.ERROR_REASON_KEY_BLOCKED),
        ],
    )
    def test_who_may_not_call_holds_and_counts_nothing(self, key: Key, reason: int) -> None:
        question = Scene(Owner(Kind.TEAM, "blocked", blocked=True)).ask(key)
        assert question.refused is not None
        assert question.refused.reason == reason
        assert question.operation is None
        assert question.applied.budgets == ()

    def test_a_blocked_customer_s_calls_are_refused_with_any_key_but_the_master_s(self) -> None:
        scene = Scene(Owner(Kind.CUSTOMER, "c", blocked=True))
        assert scene.reason(key_with(), end_user_id="c") == Reason.ERROR_REASON_KEY_BLOCKED
        assert scene.reason(None, master=True, end_user_id="c") is None
        assert scene.reason(key_with(), end_user_id="another") is None

    def test_a_customer_s_list_is_of_what_an_alias_stands_for(self) -> None:
        customer = Owner(Kind.CUSTOMER, "c", Terms(("dear",)))
        aliased = key_with(aliases={"m": "dear"})
        assert Scene(customer).reason(key_with(), end_user_id="c") == Reason.ERROR_REASON_CUSTOMER_MODEL_NOT_ALLOWED
        assert Scene(customer).reason(aliased, end_user_id="c") is None


class TestAnswers:
    """To each outcome."""

    def test_a_hold_is_told_with_the_limit_that_it_buys(self) -> None:
        question = Scene().ask(key_with(terms=BUDGET), input_tokens_bound=50)
        reply = question.admitted(7, Held(50_000 + 40 * 2_000, None, 123), "epoch")
        hold = reply.admitted.hold
        assert (reply.sequence, hold.held_nano_usd, hold.output_tokens_limit, hold.epoch) == (7, 130_000, 40, "epoch")
        assert (hold.output_tokens_bound, hold.choices, hold.extendable, hold.limited) == (100, 1, False, False)
        assert reply.admitted.key_spent_nano_usd == 123
        assert not reply.HasField("rate_limits")

    def test_a_slice_may_grow(self) -> None:
        question = Scene().ask(key_with(terms=BUDGET), model="shown", output_tokens_limit=50_000, stream=True)
        hold = question.admitted(1, Held(SLICE_OUTPUT_TOKENS * 2_000, None, 0), "e").admitted.hold
        assert (hold.extendable, hold.output_tokens_limit) == (True, 0)

    def test_what_was_spent_before_a_reset_is_told_with_the_rest(self) -> None:
        key = key_with(terms=BUDGET, spent_since_ms=NOW_MS - 5, spent_before_nano_usd=1_000)
        reply = Scene().ask(key).admitted(1, Held(5, None, 23), "e")
        assert reply.admitted.key_spent_nano_usd == 1_023

    def test_what_a_team_has_spent_is_not_what_its_key_has(self) -> None:
        team = Owner(Kind.TEAM, "t", BUDGET)
        reply = Scene(team).ask(key_with(team_id="t")).admitted(1, Held(5, None, 23), "e")
        assert not reply.admitted.HasField("key_spent_nano_usd")

    def test_how_it_stands_with_limits_is_told_of_the_first_whom_it_counts_to(self) -> None:
        scene = Scene(Owner(Kind.TEAM, "t", Terms(rpm_limit=100)))
        question = scene.ask(key_with(team_id="t", terms=LIMITED))
        reply = question.admitted(1, Held(0, Use(2, 300, 1, 9_000)), "e")
        limits = reply.rate_limits
        assert (limits.scope, limits.requests_limit, limits.requests_remaining) == ("api_key", 5, 3)
        assert (limits.tokens_remaining, limits.reset_ms, limits.exceeded) == (9_700, 9_000, "")
        assert reply.admitted.hold.limited
        # Decided without the counters: nothing is held, and nobody waits for its end.
        assert not question.admitted(1, Held(0, Use(2, 300, 1, 9_000)), "").admitted.hold.limited

    def test_a_budget_that_refuses_is_the_one_that_is_told(self) -> None:
        scene = Scene(Owner(Kind.TEAM, "t", Terms((), 2 * 10**9, "1d")), Owner(Kind.TAG, "x", BUDGET))
        question = scene.ask(key_with(terms=BUDGET, team_id="t"), tags=["x"])
        texts = []
        for budget in question.applied.budgets:
            reply = question.refused_by(Exceeded(budget, 10**9, 0), 3, NOW_MS)
            assert (reply.sequence, reply.refused.reason) == (3, Reason.ERROR_REASON_BUDGET_EXCEEDED)
            assert (reply.principal.key_id, reply.principal.team_id, list(reply.principal.tags)) == ("k", "t", ["x"])
            texts.append(reply.refused.message)
        assert texts == [
            "Budget has been exceeded! Key=key (sk-...abcd) Current cost: 1, Max budget: 1",
            "Budget has been exceeded! Team=t Current cost: 1, Max budget: 2",
            "Budget has been exceeded! Tag=x Current cost: 1, Max budget: 1",
        ]

    def test_a_limit_that_refuses_is_the_one_that_is_told(self) -> None:
        scene = Scene(Owner(Kind.TEAM, "t", Terms(tpm_limit=100)))
        question = scene.ask(key_with(terms=LIMITED, team_id="t"), input_tokens_bound=400)
        limit = question.applied.limits[1]
        reply = question.refused_by(Limited(limit, Rate.TOKENS, Use(1, 40, 1, 20_000)), 3, NOW_MS)
        assert reply.refused.message.startswith("Rate limit exceeded for team: t. Limit type: tokens.")
        assert reply.refused.message.endswith("This call is estimated at 200 tokens.")
        limits = reply.rate_limits
        assert (limits.scope, limits.exceeded, limits.tokens_limit, limits.tokens_remaining) == (
            "team",
            "tokens",
            100,
            60,
        )
        assert reply.principal.key_id == "k"

    def test_whose_call_it_is(self) -> None:
        scene = Scene(Owner(Kind.TEAM, "t", organization_id="o"))
        key = key_with(user_id="u", team_id="t", tags=("of-key", "both"), drop_params=False)
        admitted = scene.ask(key, end_user_id="c", tags=["both", "of-call"]).admitted_unheld(1).admitted
        principal = admitted.principal
        assert (principal.key_id, principal.user_id, principal.team_id, principal.organization_id) == (
            "k",
            "u",
            "t",
            "o",
        )
        assert (principal.end_user_id, list(principal.tags)) == ("c", ["both", "of-call", "of-key"])
        assert (principal.master, admitted.HasField("drop_params"), admitted.drop_params) == (False, True, False)
        master = scene.ask(None, master=True, tags=["x"]).admitted_unheld(1).admitted
        assert (master.principal.master, master.principal.key_id, list(master.principal.tags)) == (True, "", ["x"])
        assert not master.HasField("drop_params")

    def test_of_a_key_that_there_is_not_nobody_is_told(self) -> None:
        principal = common_pb2.Principal()
        Scene().ask(None).name(principal)
        assert principal == common_pb2.Principal()


class TestChanges:
    """While the counters were asked."""

    @pytest.mark.parametrize(
        "changed",
        [
            key_with(terms=BUDGET, blocked=True),
            key_with(terms=Terms(max_budget_nano_usd=5)),
            key_with(terms=Terms((), 10**9, "1d")),
            key_with(terms=msgspec.structs.replace(BUDGET, rpm_limit=1)),
            key_with(terms=msgspec.structs.replace(BUDGET, shadow=True)),
            key_with(terms=BUDGET, aliases={"m": "dear"}),
            key_with(terms=BUDGET, team_id="t"),
        ],
    )
    def test_whatever_decides_makes_another_question(self, changed: Key) -> None:
        scene = Scene(Owner(Kind.TEAM, "t", BUDGET))
        before = scene.ask(key_with(terms=BUDGET))
        scene.directory.put_key(changed)
        assert not scene.ask(changed).is_as(before)

    def test_what_decides_nothing_does_not(self) -> None:
        scene = Scene()
        before = scene.ask(key_with(terms=BUDGET))
        changed = key_with(terms=BUDGET, allowed_routes=("llm_api_routes",), tags=("x",))
        scene.directory.put_key(changed)
        assert scene.ask(changed).is_as(before)


@pytest.mark.parametrize(
    ("tags", "given", "all_tags"),
    [
        ((), [], []),
        ((), ["a", "a", "b"], ["a", "b"]),
        (("k",), [], ["k"]),
        (("k", "a"), ["a", "b"], ["a", "b", "k"]),
    ],
)
def test_tags_are_the_call_s_and_the_key_s_each_once(
    tags: tuple[str, ...], given: list[str], all_tags: list[str]
) -> None:
    assert list(tags_of(key_with(tags=tags), given)) == all_tags
    if not tags:
        assert list(tags_of(None, given)) == all_tags


@given(
    dispatch_id=st.one_of(st.binary(max_size=20), st.binary(min_size=16, max_size=16)),
    digest=st.one_of(st.just(b""), st.binary(max_size=40), st.binary(min_size=32, max_size=32)),
    bound=st.integers(-(1 << 63), (1 << 63) - 1),
    limit=st.integers(-(1 << 63), (1 << 63) - 1),
    requests=st.integers(-(1 << 31), (1 << 31) - 1),
    choices=st.integers(-(1 << 31), (1 << 31) - 1),
)
def test_whatever_is_well_formed_can_be_asked(
    dispatch_id: bytes, digest: bytes, bound: int, limit: int, requests: int, choices: int
) -> None:
    admit = keystore_pb2.Admit(
        dispatch_id=dispatch_id,
        key_digest=digest,
        model="m",
        operation=CHAT,
        input_tokens_bound=bound,
        output_tokens_limit=limit,
        requests_bound=requests,
        choices=choices,
        end_user_id="c",
        tags=["t"],
    )
    sizes_fit = len(dispatch_id) == DISPATCH_ID_BYTES and len(digest) in (0, DIGEST_BYTES)
    assert is_well_formed(admit) == (sizes_fit and bound >= 0 and limit >= 0 and requests >= 0)
    if not is_well_formed(admit):
        return
    terms = Terms((), 10**9, "1mo", rpm_limit=1, tpm_limit=1)
    scene = Scene(Owner(Kind.TAG, "t", terms), defaults=Defaults(customer=terms))
    question = ask(admit, key_with(terms=terms), scene.directory, scene.standings, PRICES, NOW_MS)
    operation = question.operation
    assert operation is not None
    # The script's numbers are doubles.
    assert 0 <= operation.smallest_nano_usd <= operation.full_nano_usd < 1 << 53
    assert 0 <= operation.tokens < 1 << 53
    scopes = [budget.scope for budget in operation.budgets]
    assert len(scopes) == len(set(scopes))
