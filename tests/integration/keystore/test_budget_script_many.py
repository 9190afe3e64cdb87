"""Many budgets at once, on a real server: shadows, periods, scopes that are dropped, and books kept of all of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystore.policy.operations import (
    Admit,
    Balance,
    Budget,
    Exceeded,
    Extend,
    Held,
    Limit,
    Operation,
    Raise,
    Read,
    Renew,
    Seed,
    Settle,
    Settled,
    Unknown,
    Use,
)
from keystore.policy.oracle import Oracle
from keystore.policy.scopes import in_period
from services.embedded.valkey import EmbeddedValkey
from tests.budget_script import CAPS, IDS, LEASE_MS, SCOPES, START_MS, Server, expired, served


@pytest.fixture(scope="module")
def server(embedded_valkey: EmbeddedValkey) -> Iterator[Server]:
    yield from served(embedded_valkey)


def test_a_shadow_budget_counts_and_refuses_nothing(server: Server) -> None:
    server.clear()
    shadow, hard = Budget("gateway", 0, shadow=True), Budget("key:a", 100)
    server.decide([Seed("gateway", 7), Seed("key:a", 0)], START_MS)
    asked = [Admit(each, 60, 10, (shadow, hard)) for each in IDS[:3]]
    assert server.decide(asked, START_MS) == [
        Held(60, None, 7, would_refuse=shadow),
        Held(40, None, 7, would_refuse=shadow),
        # The first that refuses is told, not the one that would.
        Exceeded(hard, 0, 100),
    ]
    assert server.balances(START_MS) == {"gateway": Balance(7, 100), "key:a": Balance(0, 100)}
    assert server.decide([Settle(IDS[0], 60)], START_MS) == [Settled.HELD]
    assert server.balances(START_MS) == {"gateway": Balance(67, 40), "key:a": Balance(60, 40)}


def test_a_shadow_budget_lets_a_hold_grow(server: Server) -> None:
    server.clear()
    shadow = Budget("gateway", 50, shadow=True)
    server.decide([Seed("gateway", 0), Admit(IDS[0], 50, 1, (shadow,))], START_MS)
    assert server.decide([Extend(IDS[0], 5_000, 4_000, (shadow,))], START_MS) == [Held(5_000)]
    assert server.balances(START_MS) == {"gateway": Balance(0, 5_000)}


def test_a_shadow_budget_with_enough_left_would_not_refuse_and_the_first_that_would_is_told(server: Server) -> None:
    server.clear()
    rich, poor, poorer = (
        Budget("gateway", 100, shadow=True),
        Budget("key:a", 9, shadow=True),
        Budget("key:b", 0, shadow=True),
    )
    server.decide([Seed(scope, 0) for scope in SCOPES], START_MS)
    assert server.decide([Admit(IDS[0], 20, 10, (rich,))], START_MS) == [Held(20, None, 0)]
    asked = Admit(IDS[1], 20, 10, (rich, poor, poorer), (Limit("key:a", 5),), 1)
    assert server.decide([asked], START_MS) == [Held(20, Use(1, 1, 1, 60_000), 0, would_refuse=poor)]
    # Asked again, it is answered as what is held already: it is reported once.
    assert server.decide([asked], START_MS) == [Held(20, Use(1, 1, 1, 60_000), 0)]


def test_however_much_is_held_in_a_shadow_the_script_does_its_work_and_other_budgets_hold(server: Server) -> None:
    """A thousand calls of as much as can be held at all: beyond 64 bits a sum would end the script in the middle."""
    server.clear()
    oracle, now_ms = Oracle(LEASE_MS), START_MS
    shadow, hard = Budget("gateway", 5, shadow=True), Budget("key:a", 1_000)
    ids = [number.to_bytes(16, "big") for number in range(1_100)]
    asked: list[Operation] = [Seed("gateway", 0), Seed("key:a", 0)]
    asked += [Admit(each, CAPS[-1] + 1, 1, (shadow,)) for each in ids]
    asked += [Admit(each, 700, 100, (shadow, hard)) for each in (b"a" * 16, b"b" * 16, b"c" * 16)]
    asked += [Settle(each, 2) for each in ids]
    asked += [Read("gateway"), Read("key:a")]
    for at in range(0, len(asked), 128):
        part = asked[at : at + 128]
        assert server.decide(part, now_ms) == oracle.decide(part, now_ms)
    assert server.balances(now_ms)["key:a"] == Balance(0, 1_000)
    for pause_ms in (25_000, 50_000, 75_000):
        server.decide([], now_ms + pause_ms)
    assert server.balances(now_ms + 75_000)["key:a"] == Balance(0, 0)
    assert server.balances(now_ms + 75_000)["gateway"].held_nano_usd == 0


@pytest.mark.parametrize("cap", CAPS)
def test_the_cap_of_a_shadow_budget_is_the_cap(server: Server, cap: int) -> None:
    server.clear()
    shadow = Budget("gateway", cap, shadow=True)
    fits = [Seed("gateway", 0), Admit(IDS[0], cap, cap, (shadow,)), Settle(IDS[0], 0)]
    assert server.decide(fits, START_MS) == [True, Held(cap, None, 0), Settled.HELD]
    beyond = Admit(IDS[1], cap + 1, cap + 1, (shadow,))
    assert server.decide([beyond], START_MS) == [Held(cap + 1, None, 0, would_refuse=shadow)]


def test_a_scope_in_which_something_is_held_is_not_dropped(server: Server) -> None:
    server.clear()
    server.decide([Seed("gateway", 5), Seed("key:a", 5), Admit(IDS[0], 10, 1, (Budget("gateway", 100),))], START_MS)
    assert server.forget(["gateway", "key:a", "key:b"]) == 1
    assert server.balances(START_MS) == {"gateway": Balance(5, 10)}
    assert server.decide([Settle(IDS[0], 10), Read("gateway")], START_MS) == [Settled.HELD, Balance(15, 0)]
    assert server.forget(["gateway"], epoch="another") == 0
    assert server.forget(["gateway"]) == 1
    assert server.balances(START_MS) == {}


def test_what_comes_late_into_a_dropped_scope_does_not_make_it_known(server: Server) -> None:
    """A hold that has expired, and one of nothing: one cost is not what was spent; what is not known is summed."""
    dispatch_id, now_ms = expired(server)
    budget = Budget("gateway", 100)
    server.decide([Admit(IDS[1], 0, 0, (budget,))], now_ms)
    assert server.forget(["gateway"]) == 1
    assert server.decide([Extend(IDS[1], 20, 11, (budget,))], now_ms) == [False]
    late: list[Operation] = [Settle(dispatch_id, 7), Settle(IDS[1], 5)]
    assert server.decide(late, now_ms) == [Settled.EXPIRED, Settled.HELD]
    again = Admit(IDS[2], 10, 1, (budget,))
    assert server.decide([Read("gateway"), again], now_ms) == [Unknown("gateway"), Unknown("gateway")]
    assert server.decide([Seed("gateway", 12), again], now_ms) == [True, Held(10, None, 12)]


def test_a_hold_of_nothing_in_a_dropped_scope_expires_like_any(server: Server) -> None:
    server.clear()
    server.decide([Seed("gateway", 0), Admit(IDS[0], 0, 0, (Budget("gateway", 100),))], START_MS)
    server.forget(["gateway"])
    for pause_ms in (25_000, 50_000, 75_000):
        server.decide([], START_MS + pause_ms)
    assert server.live_ids() == set()
    assert server.balances(START_MS + 75_000) == {}


# Of everybody whom a call may be counted to: his cap, the length of his period in ms (0: all time), whether he watches.
OWNERS = {
    "key:k": (900, 0, False),
    "user:u": (400, 40_000, False),
    "team:t": (2_000, 150_000, False),
    "organization:o": (700, 0, False),
    "tag:x": (60, 40_000, True),
    "gateway": (3_000, 150_000, False),
}
ANY_IDS = tuple(number.to_bytes(16, "big") for number in range(10))


def _budget(owner: str, at_ms: int) -> Budget:
    """As a call that begins at this moment is counted to him."""
    cap, length_ms, shadow = OWNERS[owner]
    start_ms = at_ms // length_ms * length_ms if length_ms else 0
    return Budget(in_period(owner, start_ms, start_ms + length_ms), cap, shadow)


@st.composite
def moves(draw: st.DrawFn) -> Callable[[int], Operation]:
    """Anything that may be asked of a call, of any time: in any order, and again."""
    dispatch_id = draw(st.sampled_from(ANY_IDS))
    kind = draw(st.sampled_from(["admit", "admit", "admit", "extend", "settle", "settle", "renew"]))
    if kind == "settle":
        settle = Settle(dispatch_id, draw(st.integers(0, 150)))
        return lambda _: settle
    if kind == "renew":
        return lambda _: Renew(dispatch_id)
    # A dispatch id may be of a period before that of now, and of one to come: clocks differ.
    lag_ms = draw(st.sampled_from([0, 0, 0, 0, 500, 41_000, 160_000, -500]))
    owners = draw(st.lists(st.sampled_from(sorted(OWNERS)), min_size=1, unique=True))
    full = draw(st.one_of(st.just(0), st.integers(1, 300), st.integers(300, 2_000)))
    smallest = draw(st.integers(0, min(full, 400)))

    def made(now_ms: int) -> Operation:
        if kind == "admit":
            return Admit(dispatch_id, full, smallest, tuple(_budget(owner, now_ms - lag_ms) for owner in owners))
        return Extend(dispatch_id, full, smallest, tuple(_budget(owner, now_ms - lag_ms) for owner in OWNERS))

    return made


class Books:
    """What is true, kept beside the counters: by scope, the costs of all that was settled, and what of them nothing was
    held for any more."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.oracle = Oracle(LEASE_MS)
        self.costs: dict[str, int] = defaultdict(int)
        self.overrun: dict[str, int] = defaultdict(int)
        self.caps: dict[str, int] = {}
        self.scopes: set[str] = set()

    def do(self, asked: Sequence[Operation], now_ms: int) -> None:
        """All in one call of the script; the model does them one by one, and the books go by the model."""
        results = self.server.decide(list(asked), now_ms)
        assert results is not None
        for operation, result in zip(asked, results, strict=True):
            dispatch_id = getattr(operation, "dispatch_id", b"")
            scopes = self.oracle._scopes.get(dispatch_id, ())
            held = self.oracle._amounts.get(dispatch_id, 0)
            assert self.oracle.decide([operation], now_ms) == [result]
            if isinstance(operation, Admit | Extend):
                self.caps |= {each.scope: each.cap_nano_usd for each in operation.budgets if not each.shadow}
                self.scopes.update(budget.scope for budget in operation.budgets)
            if isinstance(operation, Settle) and result is not Settled.DUPLICATE:
                for scope in scopes:
                    self.costs[scope] += operation.cost_nano_usd
                    self.overrun[scope] += max(0, operation.cost_nano_usd - held)

    def learn(self, scopes: Sequence[str], now_ms: int) -> None:
        """What the ledger knows, for scopes of which nothing is known; and for those that are known, nothing new."""
        known = self.server.balances(now_ms, scopes)
        self.do([Raise(scope, self.costs[scope]) for scope in scopes], now_ms)
        assert {scope: known.get(scope) for scope in scopes} == {
            scope: self.server.balances(now_ms, scopes).get(scope) for scope in scopes
        }
        self.do([Seed(scope, self.costs[scope]) for scope in scopes], now_ms)

    def forget(self, scopes: Sequence[str]) -> None:
        assert self.server.forget(scopes) == self.oracle.forget(scopes)

    def check(self, now_ms: int) -> None:
        live = self.server.live()
        for scope, balance in self.server.balances(now_ms, sorted(self.scopes)).items():
            assert balance.held_nano_usd == live[scope] >= 0
            assert balance.spent_nano_usd == self.costs[scope]
            if scope in self.caps:
                within = balance.spent_nano_usd + balance.held_nano_usd - self.overrun[scope]
                assert within <= self.caps[scope]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    rounds=st.lists(
        st.tuples(
            st.sampled_from([0, 0, 10, 7_000, 29_000, 31_000, 61_000]),
            st.lists(moves(), min_size=1, max_size=8),
            st.booleans(),
            st.lists(st.integers(0, 50), max_size=4),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_over_any_budgets_and_periods_no_cap_is_passed_and_in_the_end_what_was_settled_was_spent(
    server: Server, rounds: list[tuple[int, list[Callable[[int], Operation]], bool, list[int]]]
) -> None:
    """Any interleaving: admissions, extensions, settlements and renewals, of any calls, again and in any order; leases
    that end or pause; periods that begin and end; scopes that are seeded, raised and dropped."""
    server.clear()
    books, now_ms = Books(server), START_MS
    for pause_ms, asked, seeds_first, forgotten in rounds:
        now_ms += pause_ms
        operations = [make(now_ms) for make in asked]
        if seeds_first:
            wanted = {budget.scope for each in operations for budget in getattr(each, "budgets", ())}
            books.learn(sorted(wanted), now_ms)
        books.do(operations, now_ms)
        books.check(now_ms)
        known = sorted(books.scopes)
        books.forget(sorted({known[number % len(known)] for number in forgotten} if known else ()))
        books.check(now_ms)
    books.do([Settle(dispatch_id, 3) for dispatch_id in ANY_IDS], now_ms)
    books.learn(sorted(books.scopes), now_ms)
    books.check(now_ms)
    assert server.live_ids() == set()
    assert server.balances(now_ms, sorted(books.scopes)) == {
        scope: Balance(books.costs[scope], 0) for scope in books.scopes
    }
