"""Fills the counters again when Redis has lost them.

The counters carry an epoch. When there is none, whichever keystore finds that begins one, in phase `rebuilding`, with
nothing in it. While it lasts, calls under a budget are refused, others go on, and settlements wait. Then:

1. Every keystore asks its routers (`Epoch`). A router waits until the ledger has every entry that it had finished, and
   reports the holds that it has open; they are put back.
2. When every router seen within the last lease has reported, or one lease has passed, any keystore sums the scopes of
   these holds in the ledger, leaving out their dispatches, and makes the epoch ready. Scopes without open holds are
   summed when they are first needed. With no router there is nothing to wait for.

So each dispatch counts once: it was finished before its router's report, and is in the ledger's sum; or it was open,
and is among the holds, and its settlement will find it there. This is why a settlement's own epoch decides nothing. One
that says an older epoch may be of a hold that was put back: the hold is there, it is settled. Or it is of a dispatch
that was finished before: there is no hold, nothing happens, the ledger's sum has it.

Not covered: a hold that was placed just before the loss and had not reached its router when that reported. Its cost is
in the ledger and not in the counters, until they are compared (`reconciler.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from typing import NoReturn

from gateway.v1 import keystore_pb2
from structlog.typing import FilteringBoundLogger

from keystore.counters import Counters, OpenHold
from keystore.keys import Keys
from keystore.peers import Peer, Peers, Reply
from keystore.policy.operations import Balance
from keystore.policy.standing import Standings
from keystore.spending import Spending
from keystore.store import Store
from services.errors import GatewayError
from services.ids import millis_of

# The counters are looked at so often, and at least eight times a lease: that keeps leases from pausing.
LOOK_SECONDS = 1.0
# While they are not ready, and nothing but another look will tell.
REBUILDING_LOOK_SECONDS = 0.1


class Rebuild:
    """One of them a keystore; several rebuild together. `new_epoch` makes a text that was never used before."""

    def __init__(
        self,
        *,
        counters: Counters,
        keys: Keys,
        store: Store,
        peers: Peers,
        spending: Spending,
        standings: Standings,
        lease_seconds: float,
        new_epoch: Callable[[], str],
        log: FilteringBoundLogger,
    ) -> None:
        self._counters = counters
        self._keys = keys
        self._store = store
        self._peers = peers
        self._spending = spending
        self._standings = standings
        self._lease_seconds = lease_seconds
        self._new_epoch = new_epoch
        self._log = log
        self._came = asyncio.Event()
        # What was logged last; it stays the same for as long as an outage lasts.
        self._problem = ""

    async def run(self) -> NoReturn:
        """Look at the counters again and again."""
        while True:
            self._counters.not_ready.clear()
            if await self.look():
                look_seconds = min(LOOK_SECONDS, self._lease_seconds / 8)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(look_seconds):
                        await self._counters.not_ready.wait()
            else:
                await asyncio.sleep(REBUILDING_LOOK_SECONDS)

    async def see_routers(self) -> NoReturn:
        """Tell the store which routers are here: when one comes, and four times a lease."""
        problem = ""
        while True:
            self._came.clear()
            try:
                await self._store.see_routers([peer.router_id for peer in self._peers.routers])
                problem = ""
            except GatewayError as error:
                if error.message != problem:
                    self._log.warning("routers_not_noted", error=error.message)
                problem = error.message
            except Exception:
                # The rim of one telling: whatever it was, there will be another.
                self._log.exception("routers_not_noted")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease_seconds / 4):
                    await self._came.wait()

    def hello(self, peer: Peer, router_id: str) -> None:
        """A router has come."""
        peer.router_id = router_id
        self._came.set()

    async def look(self) -> bool:
        """Do what is to be done next; whether the counters are ready."""
        try:
            state = (await self._counters.decide([])).state
            if not state.epoch:
                await self._keys.read_feed()
                state = await self._counters.begin(self._new_epoch(), self._keys.version)
                self._log.warning("counters_begun", epoch=state.epoch)
            if not state.ready:
                self._ask_routers(state.epoch)
                if not await self._is_complete() or not await self._finish(state.epoch):
                    return False
            self._problem = ""
            return True
        except GatewayError as error:
            if error.message != self._problem:
                self._log.warning("counters_not_ready", error=error.message, cause=str(error.__cause__ or ""))
            self._problem = error.message
        except Exception:
            # The rim of one look: whatever it was, there will be another.
            self._log.exception("counters_not_ready")
        return False

    async def report(self, report: keystore_pb2.Report) -> None:
        """A router tells what it has open, or a part of it. UNAVAILABLE: it must tell again, on a new link."""
        # A hold's scopes are those of its key, so every key must be known.
        await self._keys.read_feed()
        holds = []
        for hold in report.holds:
            principal = hold.principal
            key = self._keys.directory.key_by_id(principal.key_id) if principal.key_id else None
            applied = self._standings.applied(
                key, hold.model, principal.end_user_id, principal.tags, millis_of(hold.dispatch_id)
            )
            scopes = tuple(budget.scope for budget in applied.budgets)
            limited = tuple(limit.scope for limit in applied.limits)
            if scopes or limited:
                holds.append(OpenHold(hold.dispatch_id, hold.held_nano_usd if scopes else 0, scopes, limited))
        await self._counters.reinstate(report.epoch, holds, "" if report.more else report.router_id)

    def _ask_routers(self, epoch: str) -> None:
        for peer in self._peers.routers:
            if peer.asked_epoch != epoch:
                peer.asked_epoch = epoch
                peer.send(Reply(epoch=keystore_pb2.Epoch(epoch=epoch)))

    async def _is_complete(self) -> bool:
        progress = await self._counters.progress()
        if progress.running_ms >= self._lease_seconds * 1000:
            return True
        here = frozenset(peer.router_id for peer in self._peers.routers)
        return not (here | await self._store.routers(self._lease_seconds)) - progress.reported

    async def _finish(self, epoch: str) -> bool:
        holds = await self._counters.open_holds()
        by_scope: dict[str, list[OpenHold]] = defaultdict(list)
        for hold in holds:
            for scope in hold.scopes:
                by_scope[scope].append(hold)
        balances = {}
        for scope, held in by_scope.items():
            spent = await self._spending.sum(scope, [hold.dispatch_id for hold in held])
            balances[scope] = Balance(spent, sum(hold.amount_nano_usd for hold in held))
        ready = await self._counters.finish(epoch, len(holds), balances)
        if ready:
            self._log.warning("counters_ready", epoch=epoch, holds=len(holds), scopes=len(balances))
        return ready
