"""Comparisons of the counters with the ledger, over any order of events: what is put right is never too much."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from keystore.policy.drift import Look, confirmed, drift
from keystore.policy.operations import Admit, Budget, Held, Read, Seed, Settle
from keystore.policy.oracle import Oracle

LEASE_MS = 60_000
SCOPE = "gateway"
BUDGET = Budget(SCOPE, 100_000)

amounts = st.integers(-100, 100)


@given(amounts, amounts)
def test_what_two_comparisons_agree_on_is_the_smaller_of_both(one: int, other: int) -> None:
    both = confirmed(one, other)
    assert both == confirmed(other, one)
    assert abs(both) <= min(abs(one), abs(other))
    assert (both != 0) == (one * other > 0)
    assert both * one >= 0


def test_what_came_and_expired_between_the_looks_tells_nothing() -> None:
    assert drift(Look(5, {}), 7, Look(5, {b"1": None})) is None
    assert drift(Look(5, {b"1": None}), 7, Look(5, {b"1": None})) == -2


def test_what_came_and_is_held_may_be_in_the_ledger_already() -> None:
    assert drift(Look(5, {}), 7, Look(5, {b"1": 2})) == 0


class Comparisons(RuleBasedStateMachine):
    """Dispatches that are held, lost, finished, recorded, settled and expire, and comparisons in the middle of it.

    The truth: every cost that has come about and that no settlement will bring any more.
    """

    @initialize()
    def begin(self) -> None:
        self.oracle, self.now_ms, self.number = Oracle(LEASE_MS), 0, 0
        self.oracle.decide([Seed(SCOPE, 0)], self.now_ms)
        self.held: dict[bytes, int] = {}
        self.costs: dict[bytes, int] = {}
        self.recorded: set[bytes] = set()
        self.unsettled: set[bytes] = set()
        self.last = 0
        self.before: Look | None = None
        self.ledger: int | None = None

    def _new_id(self) -> bytes:
        self.number += 1
        return self.number.to_bytes(16, "big")

    @rule(full=st.integers(1, 100))
    def admit(self, full: int) -> None:
        dispatch_id = self._new_id()
        (held,) = self.oracle.decide([Admit(dispatch_id, full, 1, (BUDGET,))], self.now_ms)
        assert isinstance(held, Held)
        self.held[dispatch_id] = held.nano_usd

    @rule(data=st.data())
    @precondition(lambda self: self.held)
    def finish(self, data: st.DataObject) -> None:
        dispatch_id = data.draw(st.sampled_from(sorted(self.held)))
        self.costs[dispatch_id] = data.draw(st.integers(0, self.held.pop(dispatch_id)))
        self.unsettled.add(dispatch_id)

    @rule(cost=st.integers(1, 100))
    def finish_one_that_was_not_held(self, cost: int) -> None:
        self.costs[self._new_id()] = cost

    @rule(data=st.data())
    @precondition(lambda self: self.costs.keys() - self.recorded)
    def record(self, data: st.DataObject) -> None:
        self.recorded.add(data.draw(st.sampled_from(sorted(self.costs.keys() - self.recorded))))

    @rule(data=st.data())
    @precondition(lambda self: self.unsettled)
    def settle(self, data: st.DataObject) -> None:
        dispatch_id = data.draw(st.sampled_from(sorted(self.unsettled)))
        self.unsettled.remove(dispatch_id)
        self.oracle.decide([Settle(dispatch_id, self.costs[dispatch_id])], self.now_ms)

    @rule(data=st.data())
    @precondition(lambda self: self.held or self.unsettled)
    def forget_a_hold(self, data: st.DataObject) -> None:
        """As a failover does that lost the last second: the settlement will find nothing."""
        dispatch_id = data.draw(st.sampled_from(sorted(self.held.keys() | self.unsettled)))
        for kept in (self.oracle._amounts, self.oracle._scopes, self.oracle._leases, self.oracle._tombs):
            kept.pop(dispatch_id, None)  # type: ignore[attr-defined]

    @rule(pause_ms=st.sampled_from([1_000, LEASE_MS // 3]))
    def wait(self, pause_ms: int) -> None:
        self.now_ms += pause_ms
        self.oracle.decide([], self.now_ms)

    @rule()
    def look(self) -> None:
        self.before, self.ledger = self.oracle.look(SCOPE), None

    @rule()
    @precondition(lambda self: self.before is not None)
    def sum(self) -> None:
        assert self.before is not None
        self.ledger = sum(self.costs[each] for each in self.recorded - self.before.unsettled.keys())

    @rule()
    @precondition(lambda self: self.ledger is not None)
    def judge(self) -> None:
        assert self.before is not None
        assert self.ledger is not None
        found = drift(self.before, self.ledger, self.oracle.look(SCOPE))
        self.before = self.ledger = None
        if found is None:
            return
        sure = confirmed(self.last, found)
        if sure < 0:
            self.oracle.correct(SCOPE, -sure)
            found -= sure
        self.last = found
        look = self.oracle.look(SCOPE)
        truth = sum(cost for dispatch_id, cost in self.costs.items() if dispatch_id not in look.unsettled)
        assert look.spent_nano_usd <= truth

    @rule(early=st.booleans(), costs=st.lists(st.integers(1, 100), max_size=2))
    def compare(self, early: bool, costs: list[int]) -> None:
        """At one go; with calls in the middle of it that are recorded before they are settled."""
        self.look()
        for cost in costs:
            self.admit(cost)
            dispatch_id, _ = self.held.popitem()
            self.costs[dispatch_id] = cost
            self.unsettled.add(dispatch_id)
            if early:
                self.recorded.add(dispatch_id)
        self.sum()
        self.judge()

    def teardown(self) -> None:
        """Once everything is recorded and settled, two comparisons make both the same."""
        if not hasattr(self, "oracle"):
            return
        for dispatch_id in sorted(self.held):
            self.costs[dispatch_id] = 0
        self.unsettled.update(self.held)
        self.oracle.decide([Settle(each, self.costs[each]) for each in sorted(self.unsettled)], self.now_ms)
        self.recorded.update(self.costs)
        for _ in range(2):
            self.look()
            self.sum()
            self.judge()
        (balance,) = self.oracle.decide([Read(SCOPE)], self.now_ms)
        assert balance.spent_nano_usd == sum(self.costs.values())
        assert balance.held_nano_usd >= 0


TestComparisons = Comparisons.TestCase
TestComparisons.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
