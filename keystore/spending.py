"""What was spent in a scope, by the ledger; and how the counters come to know it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.v1 import ledger_pb2

from keystore.counters import Counters
from keystore.policy.access import key_id_of
from keystore.policy.operations import Balance, Seed
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
