"""Extensions of holds: what routers ask for while answers grow, many in one round trip.

While one round is under way the next gathers. An answer waits for it, but not its caller yet: routers ask before what
is held is used up. While the counters are away or being rebuilt, nothing is extended; the router asks again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NoReturn

import msgspec
from gateway.v1 import keystore_pb2
from structlog.typing import FilteringBoundLogger

from keystore.counters import MAX_OPERATIONS, Counters
from keystore.keys import Keys
from keystore.metrics import KeystoreMetrics
from keystore.peers import Peer, Reply
from keystore.policy.operations import Budget, Exceeded, Extend, Held, Result
from keystore.policy.refusals import budget_refusal
from keystore.policy.standing import NOTHING, Applied, Standings
from keystore.question import DISPATCH_ID_BYTES
from services.errors import GatewayError, Reason, internal, unavailable
from services.ids import millis_of
from services.money import MAX_BUDGET_NANO_USD

# More than one router has streams: its own limit is 4,096 open calls.
MAX_WAITING = 10_000

_MOST = MAX_BUDGET_NANO_USD + 1
_GONE = GatewayError(Reason.ERROR_REASON_BUDGET_EXCEEDED, "Nothing is held for this call any more.")


class _Asked(msgspec.Struct, frozen=True, gc=False, eq=False):
    peer: Peer
    sequence: int
    extend: keystore_pb2.Extend


class Extensions:
    """Of one keystore; `run` answers what `extend` was given, until it is cancelled."""

    def __init__(
        self,
        keys: Keys,
        counters: Counters,
        standings: Standings,
        metrics: KeystoreMetrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._keys = keys
        self._counters = counters
        self._standings = standings
        self._metrics = metrics
        self._log = log
        self._asked: deque[_Asked] = deque()
        self._work = asyncio.Event()

    def extend(self, peer: Peer, sequence: int, extend: keystore_pb2.Extend) -> None:
        """Ask for more of one hold; the answer goes to the peer."""
        asked = _Asked(peer, sequence, extend)
        if len(extend.dispatch_id) != DISPATCH_ID_BYTES or min(extend.smallest_nano_usd, extend.wanted_nano_usd) < 0:
            _refuse(asked, internal())
        elif len(self._asked) >= MAX_WAITING:
            _refuse(asked, unavailable("Too many calls wait for an extension; try again."))
        else:
            self._asked.append(asked)
            self._work.set()

    async def run(self) -> NoReturn:
        """Round after round, while there is work."""
        while True:
            await self._work.wait()
            # What is ready in this turn of the event loop travels together.
            await asyncio.sleep(0)
            asked = [self._asked.popleft() for _ in range(min(len(self._asked), MAX_OPERATIONS))]
            if not self._asked:
                self._work.clear()
            for each, result in zip(asked, await self._decide(asked), strict=True):
                self._answer(each, result)

    async def _decide(self, asked: Sequence[_Asked]) -> Sequence[Result | None]:
        """One round trip; None for what could not be decided."""
        try:
            if any(each.extend.key_id and self._keys.directory.key_by_id(each.extend.key_id) is None for each in asked):
                # It was made at another keystore just now; or it was deleted.
                await self._keys.read_feed()
            decision = await self._counters.decide([self._operation(each.extend) for each in asked])
        except GatewayError:
            return [None] * len(asked)
        except Exception:
            # The rim of a round; the next one goes on, and those who wait are answered.
            self._log.exception("extensions_failed")
            return [None] * len(asked)
        return decision.results if decision.results is not None else [None] * len(asked)

    def _applied(self, extend: keystore_pb2.Extend) -> tuple[Applied, list[Budget]]:
        """What applies to the call, of the moment when it was admitted; and the budgets that it may have had then."""
        key = self._keys.directory.key_by_id(extend.key_id) if extend.key_id else None
        if extend.key_id and key is None:
            return NOTHING, []  # of a deleted key there is no budget: its hold does not grow any more
        call = (key, extend.model, extend.principal.end_user_id, extend.principal.tags)
        return self._standings.applied(*call, millis_of(extend.dispatch_id)), self._standings.scopes_of_all_time(*call)

    def _operation(self, extend: keystore_pb2.Extend) -> Extend:
        applied, former = self._applied(extend)
        # No budget has more than this, and the script's numbers are exact up to it.
        wanted, smallest = (min(each, _MOST) for each in (extend.wanted_nano_usd, extend.smallest_nano_usd))
        return Extend(extend.dispatch_id, wanted, smallest, (*applied.budgets, *former))

    def _answer(self, asked: _Asked, result: Result | None) -> None:
        match result:
            case Held(nano_usd):
                extended = keystore_pb2.Extended(held_nano_usd=nano_usd)
                self._metrics.extensions["granted"].inc()
                asked.peer.send(Reply(sequence=asked.sequence, extended=extended))
            case Exceeded():
                self._metrics.extensions["refused"].inc()
                _refuse(asked, self._refusal(asked.extend, result))
            case None:
                self._metrics.extensions["unavailable"].inc()
                _refuse(asked, unavailable("Budgets cannot be checked now; try again."))
            case _:
                self._metrics.extensions["refused"].inc()
                _refuse(asked, _GONE)

    def _refusal(self, extend: keystore_pb2.Extend, exceeded: Exceeded) -> GatewayError:
        for account in self._applied(extend)[0].accounts:
            if account.budget.scope == exceeded.budget.scope:
                return budget_refusal(exceeded, account)
        return _GONE  # it has changed since it was asked for


def _refuse(asked: _Asked, error: GatewayError) -> None:
    asked.peer.send(Reply(sequence=asked.sequence, refused=error.to_proto()))
