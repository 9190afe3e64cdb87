"""Which budgets are looked at, for how long, and what is told of them; the counters are a table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import structlog
from gateway.v1 import keystore_pb2
from gateway.v1.ledger_pb2 import Alert

from keystore.budget_watch import LINGER_SECONDS, MAX_READS, BudgetWatch
from keystore.counters import Decision, State
from keystore.policy.holds import Prices, size
from keystore.policy.operations import Admit, Balance, Budget, Exceeded, Read, Unknown
from keystore.policy.scopes import Whose
from keystore.policy.standing import Account, Applied
from keystore.question import Question
from services.errors import GatewayError, unavailable

SCOPE = "team:t"


class Counters:
    """Balances by scope."""

    def __init__(self) -> None:
        self.balances: dict[str, Balance] = {}
        self.asked: list[int] = []
        self.ready = True

    async def decide(self, operations: Sequence[Read]) -> Decision:
        if not self.ready:
            raise unavailable("away")
        self.asked.append(len(operations))
        results = [self.balances.get(each.scope, Unknown(each.scope)) for each in operations]
        return Decision(State("e", True, 0), results)


class Scene:
    def __init__(self) -> None:
        self.counters = Counters()
        self.sums: dict[str, int] = {}
        self.told: list[Alert] = []
        self.now = 0.0
        self.watch = BudgetWatch(
            counters=self.counters,
            sum_spent=self.sum,
            tell=self.told.append,
            clock=lambda: self.now,
            log=structlog.get_logger(),
        )

    async def sum(self, scope: str) -> int:
        return self.sums[scope]

    async def look(self, spent: int, held: int = 0) -> list[str]:
        """What is told by one look."""
        self.counters.balances[SCOPE] = Balance(spent, held)
        self.told.clear()
        await self.watch.look()
        return [alert.title.partition(": ")[2] for alert in self.told]


def applied(scope: str = SCOPE, cap: int = 1_000, **members) -> Applied:
    budget = Budget(scope, cap)
    return Applied(accounts=(Account(Whose.TEAM, "t", budget, cap, **members),), budgets=(budget,))


def question(smallest: int) -> Question:
    what = applied()
    admit = Admit(b"d" * 16, smallest, smallest, tuple(account.budget for account in what.accounts))
    bound = size(
        Prices(), input_tokens_bound=0, output_tokens_limit=0, choices=1, stream=False, generates=True, requests_bound=0
    )
    return Question(keystore_pb2.Admit(), None, None, bound, what, admit)


async def test_each_part_is_told_once_and_the_highest_of_several() -> None:
    scene = Scene()
    scene.watch.touch(applied())
    assert await scene.look(849) == []
    assert await scene.look(850) == ["85 % of the budget is spent"]
    assert await scene.look(900) == []
    assert await scene.look(1_000) == ["the budget is used up"]
    assert await scene.look(1_000) == []


async def test_what_was_spent_before_the_counter_began_counts() -> None:
    scene = Scene()
    scene.watch.touch(applied(before_nano_usd=800))
    assert await scene.look(60) == ["85 % of the budget is spent"]


async def test_a_budget_is_looked_at_while_something_is_held_in_it() -> None:
    scene = Scene()
    scene.watch.touch(applied())
    assert await scene.look(0, held=900) == []
    scene.now = LINGER_SECONDS * 10
    assert await scene.look(0, held=900) == []
    assert await scene.look(900) == ["85 % of the budget is spent"]
    asked = len(scene.counters.asked)
    assert await scene.look(1_000) == []
    assert len(scene.counters.asked) == asked


async def test_what_is_touched_while_the_counters_are_away_is_looked_at_later() -> None:
    scene = Scene()
    scene.watch.touch(applied())
    scene.counters.ready = False
    with pytest.raises(GatewayError):
        await scene.watch.look()
    scene.counters.ready = True
    assert await scene.look(950) == ["95 % of the budget is spent"]


async def test_a_refusal_counts_where_what_is_spent_is_the_reason() -> None:
    scene = Scene()
    scene.watch.touch(applied())
    scene.watch.refused(question(300), Exceeded(Budget(SCOPE, 1_000), 600, 200))
    assert await scene.look(600) == []
    scene.watch.touch(applied())
    scene.watch.refused(question(300), Exceeded(Budget(SCOPE, 1_000), 701, 0))
    assert await scene.look(701) == ["the budget is used up"]


async def test_soft_budgets_with_a_budget_and_without_one() -> None:
    scene = Scene()
    scene.watch.touch(applied(soft_nano_usd=500))
    assert await scene.look(500) == ["the soft budget is crossed"]
    alone = Account(Whose.TAG, "x", Budget("tag:x", 9_000), 9_000, soft_nano_usd=700, counts=False)
    scene.watch.touch(Applied(soft=(alone,)))
    scene.sums["tag:x"] = 699
    assert await scene.look(500) == []
    scene.sums["tag:x"] = 700
    assert await scene.look(500) == ["the soft budget is crossed"]


async def test_many_budgets_are_read_a_few_at_a_time() -> None:
    scene = Scene()
    kept = [applied(f"team:{number}") for number in range(MAX_READS * 2 + 1)]
    for each in kept:
        scene.watch.touch(each)
    await scene.watch.look()
    assert scene.counters.asked == [MAX_READS, MAX_READS, 1]
