"""What was spent in a scope, by the ledger; and how the counters come to know it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from gateway.v1 import ledger_pb2

from keystore.counters import Counters
from keystore.policy.access import key_id_of, key_scope
from keystore.policy.operations import Balance, Raise, Seed
from keystore.policy.owners import Key, Owner
from services.errors import GatewayError, unavailable
from services.methods import SUM_SPEND
from services.transport import Channel

# A sum reads every entry of its scope.
SUM_TIMEOUT_SECONDS = 10.0


class Spending:
    """Asks the ledger. UNAVAILABLE or DEADLINE_EXCEEDED when it does not answer."""

    def __init__(self, ledger: Channel, counters: Counters) -> None:
        self._ledger = ledger
        self._counters = counters

    async def sum(self, scope: str, excluded_ids: Sequence[bytes] = ()) -> int:
        """What was spent in a scope, in nano-USD, without these dispatches."""
        request = ledger_pb2.SumSpendRequest(key_id=key_id_of(scope), excluded_ids=excluded_ids)
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
        """Of the present period."""
        return await self.balance(key_scope(key.key_id), counted=key.terms.max_budget_nano_usd is not None)

    async def of_owner(self, owner: Owner) -> Balance:
        """Of the present period."""
        raise unavailable("What owners have spent is not counted yet.")

    async def begin_new_key(self, key: Key) -> None:
        """A new key has spent nothing. Without the counters they learn it from the ledger."""
        if key.terms.max_budget_nano_usd is not None:
            with contextlib.suppress(GatewayError):
                await self._counters.decide([Seed(key_scope(key.key_id), 0)])

    async def begin_budgets_of_key(self, before: Key, after: Key) -> None:
        """A counter that an earlier budget of the key has left stood still: tell it what the ledger knows."""
        if before.terms.max_budget_nano_usd is None and after.terms.max_budget_nano_usd is not None:
            scope = key_scope(after.key_id)
            await self._counters.decide([Raise(scope, await self.sum(scope))])

    async def begin_budgets_of_owner(self, before: Owner | None, after: Owner) -> None:
        """The same of an owner."""
