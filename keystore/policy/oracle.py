"""The counters as a plain program: what `lua/admission.lua` must do, statement by statement.

It runs in no process of the gateway. Property tests run random operations against it and against the script on a real
server: whoever changes one changes the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from keystore.policy.drift import Look
from keystore.policy.operations import (
    Admit,
    Balance,
    Budget,
    Exceeded,
    Extend,
    Held,
    Operation,
    Raise,
    Read,
    Renew,
    Result,
    Seed,
    Settle,
    Settled,
    Unknown,
)
from keystore.policy.rates import Rates

# As in the script.
SWEEP = 128
TOMBSTONE_MS = 7 * 24 * 3600 * 1000
MOST_HELD = 1 << 62


class Oracle:
    """Counters that are ready, in one epoch."""

    def __init__(self, lease_ms: int) -> None:
        self._lease_ms = lease_ms
        self._seen_ms: float | None = None
        self._paused_until_ms = 0
        self._spent: dict[str, int] = {}
        self._held: dict[str, int] = {}
        # By dispatch id: the amount held, while the hold lives; the scopes, also of a tombstone.
        self._amounts: dict[bytes, int] = {}
        self._scopes: dict[bytes, tuple[str, ...]] = {}
        # When the hold, or the tombstone, ends.
        self._leases: dict[bytes, int] = {}
        self._tombs: dict[bytes, int] = {}
        self._rates = Rates()

    def decide(self, operations: Sequence[Operation], now_ms: int) -> list[Result]:
        """Carry them out in order, all at one moment."""
        seen_ms, interval_ms = self._seen_ms, min(100, self._lease_ms / 16)
        if seen_ms is None or now_ms < seen_ms or now_ms - seen_ms >= interval_ms:
            self._pause(now_ms)
            left = self._sweep(now_ms)
            self._seen_ms = now_ms - interval_ms if left else now_ms
        return [self._one(operation, now_ms) for operation in operations]

    def look(self, scope: str) -> Look:
        """What `lua/look.lua` tells of a scope that is known."""
        unsettled = {
            dispatch_id: self._amounts.get(dispatch_id)
            for dispatch_id, scopes in self._scopes.items()
            if scope in scopes
        }
        return Look(self._spent[scope], unsettled)

    def forget(self, scopes: Sequence[str]) -> int:
        """`lua/forget.lua`: how many were dropped."""
        dropped = 0
        for scope in scopes:
            if not self._held.get(scope):
                dropped += self._spent.pop(scope, None) is not None
                self._held.pop(scope, None)
        return dropped

    def correct(self, scope: str, amount_nano_usd: int) -> None:
        """`lua/correct.lua`, where it does something."""
        self._spent[scope] += amount_nano_usd

    def _one(self, operation: Operation, now_ms: int) -> Result:
        match operation:
            case Admit():
                return self._admit(operation, now_ms)
            case Extend():
                return self._extend(operation)
            case Settle():
                return self._settle(operation, now_ms)
            case Renew(dispatch_id):
                if dispatch_id not in self._amounts:
                    return False
                self._leases[dispatch_id] = now_ms + self._lease_ms
                return True
            case Seed(scope, spent):
                if scope in self._spent:
                    return False
                self._spent[scope], self._held[scope] = spent, 0
                return True
            case Raise(scope, spent):
                if scope not in self._spent or self._spent[scope] >= spent:
                    return False
                self._spent[scope] = spent
                return True
            case Read(scope):
                return Balance(self._spent[scope], self._held[scope]) if scope in self._spent else Unknown(scope)

    def _admit(self, asked: Admit, now_ms: int) -> Result:
        if asked.dispatch_id in self._amounts:
            return self._held_for(asked, self._amounts[asked.dispatch_id], now_ms)
        granted = asked.full_nano_usd
        would_refuse = None
        for budget in asked.budgets:
            if budget.scope not in self._spent:
                return Unknown(budget.scope)
            left = max(0, self._left(budget))
            if budget.shadow:
                if left < asked.smallest_nano_usd:
                    would_refuse = would_refuse or budget
                continue
            if left < asked.smallest_nano_usd:
                return Exceeded(budget, self._spent[budget.scope], self._held[budget.scope])
            granted = min(granted, left)
        if asked.limits:
            limited = self._rates.check(asked.limits, asked.tokens, now_ms)
            if limited is not None:
                return limited
            self._rates.enter(asked.dispatch_id, asked.limits, asked.tokens, now_ms)
        self._amounts[asked.dispatch_id] = granted
        counted = [each.scope for each in asked.budgets if not each.shadow or self._held[each.scope] <= MOST_HELD]
        self._scopes[asked.dispatch_id] = tuple(counted)
        self._leases[asked.dispatch_id] = now_ms + self._lease_ms
        self._tombs.pop(asked.dispatch_id, None)
        for scope in counted:
            self._held[scope] += granted
        return self._held_for(asked, granted, now_ms, would_refuse)

    def _held_for(self, asked: Admit, amount: int, now_ms: int, would_refuse: Budget | None = None) -> Held:
        use = self._rates.use(asked.limits[0], now_ms) if asked.limits else None
        return Held(amount, use, self._spent.get(asked.budgets[0].scope) if asked.budgets else None, would_refuse)

    def _extend(self, asked: Extend) -> Result:
        amount = self._amounts.get(asked.dispatch_id)
        if amount is None:
            return False
        if amount >= asked.wanted_nano_usd:
            return Held(amount)
        budgets = {budget.scope: budget for budget in asked.budgets}
        more = asked.wanted_nano_usd - amount
        for scope in self._scopes[asked.dispatch_id]:
            if scope not in budgets or scope not in self._spent:
                return False
            if budgets[scope].shadow:
                continue
            left = self._left(budgets[scope])
            if left < max(1, asked.smallest_nano_usd - amount):
                return Exceeded(budgets[scope], self._spent[scope], self._held[scope])
            more = min(more, left)
        self._amounts[asked.dispatch_id] = amount + more
        for scope in self._scopes[asked.dispatch_id]:
            self._held[scope] += more
        return Held(amount + more)

    def _settle(self, asked: Settle, now_ms: int) -> Settled:
        if asked.dispatch_id not in self._scopes:
            return Settled.DUPLICATE
        self._rates.release(asked.dispatch_id, asked.tokens, now_ms)
        amount = self._amounts.pop(asked.dispatch_id, None)
        for scope in self._scopes.pop(asked.dispatch_id):
            if scope in self._spent:  # else it was dropped with its period: nothing is known of it any more
                self._spent[scope] += asked.cost_nano_usd
                self._held[scope] -= amount or 0
        self._leases.pop(asked.dispatch_id, None)
        self._tombs.pop(asked.dispatch_id, None)
        return Settled.EXPIRED if amount is None else Settled.HELD

    def _left(self, budget: Budget) -> int:
        return budget.cap_nano_usd - self._spent[budget.scope] - self._held[budget.scope]

    def _pause(self, now_ms: int) -> None:
        if self._seen_ms is not None and now_ms - self._seen_ms > self._lease_ms / 2:
            self._paused_until_ms = now_ms + self._lease_ms

    def _sweep(self, now_ms: int) -> bool:
        """Remove what has ended; whether there may be more."""
        left = False
        if now_ms >= self._paused_until_ms:
            ended = _ended(self._leases, now_ms)
            left = len(ended) == SWEEP
            for dispatch_id in ended:
                amount = self._amounts.pop(dispatch_id)
                for scope in self._scopes[dispatch_id] if amount else ():
                    self._held[scope] -= amount
                del self._leases[dispatch_id]
                self._rates.release(dispatch_id, None, now_ms)
                if self._scopes[dispatch_id]:
                    self._tombs[dispatch_id] = now_ms + TOMBSTONE_MS
                else:
                    del self._scopes[dispatch_id]
        gone = _ended(self._tombs, now_ms)
        for dispatch_id in gone:
            del self._scopes[dispatch_id]
            del self._tombs[dispatch_id]
        return left or len(gone) == SWEEP


def _ended(ends: dict[bytes, int], now_ms: int) -> list[bytes]:
    """The ids that end now or earlier, the earliest first, at most SWEEP."""
    ended = sorted((end, dispatch_id) for dispatch_id, end in ends.items() if end <= now_ms)
    return [dispatch_id for _, dispatch_id in ended[:SWEEP]]
