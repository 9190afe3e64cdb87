"""What was spent in a scope, by the ledger; and how the counters come to know it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

from gateway.v1 import ledger_pb2

from keystore.counters import Counters
from keystore.policy.operations import Balance, Raise, Seed
from keystore.policy.owners import Key, Owner
from keystore.policy.scopes import Whose, in_period, parse
from keystore.policy.standing import Account, Line, Standings, applied, model_lines
from services.errors import GatewayError
from services.ids import lowest_at
from services.methods import SUM_SPEND
from services.transport import Channel

# A sum reads every entry of its scope.
SUM_TIMEOUT_SECONDS = 10.0

_KEY = ledger_pb2.SPEND_DIMENSION_KEY
_USER = ledger_pb2.SPEND_DIMENSION_USER
_TEAM = ledger_pb2.SPEND_DIMENSION_TEAM
_MODEL = ledger_pb2.SPEND_DIMENSION_MODEL_GROUP
# What of an entry says that it is counted in a scope, in the order of the scope's ids.
_DIMENSIONS: Mapping[Whose, tuple[ledger_pb2.SpendDimension, ...]] = {
    Whose.KEY: (_KEY,),
    Whose.KEY_MODEL: (_KEY, _MODEL),
    Whose.USER: (_USER,),
    # And of no team.
    Whose.PERSONAL: (_USER, _TEAM),
    Whose.TEAM: (_TEAM,),
    Whose.TEAM_MODEL: (_TEAM, _MODEL),
    Whose.MEMBER: (_TEAM, _USER),
    Whose.CUSTOMER: (ledger_pb2.SPEND_DIMENSION_END_USER,),
    Whose.ORGANIZATION: (ledger_pb2.SPEND_DIMENSION_ORGANIZATION,),
    Whose.TAG: (ledger_pb2.SPEND_DIMENSION_TAG,),
    Whose.GATEWAY: (),
}


class Spending:
    """Asks the ledger. UNAVAILABLE or DEADLINE_EXCEEDED when it does not answer."""

    def __init__(self, ledger: Channel, counters: Counters, standings: Standings, now_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self._counters = counters
        self._standings = standings
        self._now_ms = now_ms

    async def sum(self, scope: str, excluded_ids: Sequence[bytes] = ()) -> int:
        """What was spent in a scope, in nano-USD, without these dispatches."""
        request = sum_request(scope)
        request.excluded_ids.extend(excluded_ids)
        answer = await self._ledger.call(SUM_SPEND, request, timeout_seconds=SUM_TIMEOUT_SECONDS)
        return answer.cost_nano_usd

    async def seed(self, scope: str) -> None:
        """Make the counters know a scope of which they know nothing.

        Nothing is held in it, for nothing is held in a scope that is not known; so the ledger's sum is the whole truth.
        It is one of this epoch: nothing happens when another has begun meanwhile.
        """
        epoch = self._counters.epoch
        await self._counters.decide([Seed(scope, await self.sum(scope))], epoch=epoch)

    async def balance(self, scope: str, *, counted: bool) -> Balance:
        """Spent and held; `counted`: a budget applies, so the counters are asked first."""
        known = await self._counters.balance(scope) if counted else None
        return known or Balance(await self.sum(scope), 0)

    async def of_key(self, key: Key) -> Balance:
        """What a key has spent and holds, in the present period of its budget."""
        return await self._of(self._standings.line_of_key(key))

    async def of_owner(self, owner: Owner) -> Balance:
        """What is spent and held by an owner, in the present period of its budget; nothing by one that has no calls."""
        line = self._standings.line_of(owner)
        return await self._of(line) if line is not None else Balance(0, 0)

    async def of_gateway(self) -> tuple[int | None, Balance]:
        """The budget of all calls together, if there is one; and what is spent and held in its present period."""
        line = self._standings.of(None).lines[0]
        return line.terms.max_budget_nano_usd, await self._of(line)

    async def begin_new_key(self, key: Key) -> None:
        """A new key has spent nothing. Without the counters they learn it from the ledger."""
        accounts = self._accounts(_with_models(self._standings.line_of_key(key)))
        seeds = [Seed(account.budget.scope, 0) for account in accounts]
        if seeds:
            with contextlib.suppress(GatewayError):
                await self._counters.decide(seeds)

    async def begin_budgets_of_key(self, before: Key, after: Key) -> None:
        """Before a key gets other terms: see `_begin`."""
        await self._begin(self._standings.line_of_key(before), self._standings.line_of_key(after))

    async def begin_budgets_of_owner(self, before: Owner | None, after: Owner) -> None:
        """Before an owner gets other terms: see `_begin`."""
        had = self._standings.line_of(before) if before is not None else None
        await self._begin(had, self._standings.line_of(after))

    async def _of(self, line: Line) -> Balance:
        accounts = self._accounts([line])
        if not accounts:
            balance = await self.balance(in_period(line.scope, line.since_ms), counted=False)
            return Balance(balance.spent_nano_usd + line.before_nano_usd, balance.held_nano_usd)
        account = accounts[0]
        balance = await self.balance(account.budget.scope, counted=True)
        return Balance(balance.spent_nano_usd + account.before_nano_usd, balance.held_nano_usd)

    async def _begin(self, before: Line | None, after: Line | None) -> None:
        """A counter that an earlier budget has left stood still: tell it what the ledger knows."""
        had = {account.budget.scope for account in self._accounts(_with_models(before))}
        for account in self._accounts(_with_models(after)):
            scope = account.budget.scope
            if scope not in had:
                await self._counters.decide([Raise(scope, await self.sum(scope))])

    def _accounts(self, lines: Sequence[Line]) -> tuple[Account, ...]:
        return applied(lines, self._now_ms(), self._standings.defaults).accounts


def _with_models(line: Line | None) -> list[Line]:
    return [line, *(its for _, its in model_lines(line))] if line is not None else []


def sum_request(scope: str) -> ledger_pb2.SumSpendRequest:
    """The question to the ledger that a scope comes to."""
    parts = parse(scope)
    values = (*parts.ids, "") if parts.whose is Whose.PERSONAL else parts.ids
    request = ledger_pb2.SumSpendRequest(since_id=lowest_at(parts.since_ms) if parts.since_ms else b"")
    for dimension, value in zip(_DIMENSIONS[parts.whose], values, strict=True):
        request.filters.add(dimension=dimension, values=[value])
    return request
