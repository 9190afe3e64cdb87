"""Looks, beside the rounds, at the budgets that calls were counted to; has operators told of those that near their end.

Admission only remembers what applied to a call. Every few seconds the counters are asked what is spent in these
budgets, until nothing is held in them any more. Which keystore looks does not matter: the ledger keeps each alert once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import NoReturn

import msgspec
from gateway.v1.ledger_pb2 import Alert
from structlog.typing import FilteringBoundLogger

from keystore.counters import Counters
from keystore.policy.operations import Balance, Exceeded, Read
from keystore.policy.standing import Account, Applied
from keystore.policy.thresholds import Crossed, alert_of, crossed
from keystore.question import Question
from services.errors import GatewayError

LOOK_SECONDS = 5.0
# What the script does in a millisecond, between two rounds.
MAX_READS = 64
# Remembered between two looks, and looked at; more come again with their next call.
MAX_TOUCHED = 10_000
MAX_WATCHED = 10_000
# Budgets that no counter counts: each is a question to the ledger.
MAX_SUMS = 100
# How long after its last call a budget is looked at, whatever is held.
LINGER_SECONDS = 60.0
# Of budgets, what has been told: the ledger would know, too.
MAX_TOLD = 50_000


class _Watched(msgspec.Struct, eq=False):
    account: Account
    until: float
    refuses: bool = False


class BudgetWatch:
    """sum_spent: what the ledger says was spent in a scope. tell: has an alert told. clock: seconds, forward only."""

    def __init__(
        self,
        *,
        counters: Counters,
        sum_spent: Callable[[str], Awaitable[int]],
        tell: Callable[[Alert], None],
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._counters = counters
        self._sum_spent = sum_spent
        self._tell = tell
        self._clock = clock
        self._log = log
        self._look_seconds = look_seconds
        # By identity: what applies to the calls of one key is one object.
        self._touched: dict[int, Applied] = {}
        self._refusing: dict[str, Account] = {}
        self._watched: dict[str, _Watched] = {}
        self._summed: dict[str, _Watched] = {}
        self._told: set[tuple[str, Crossed]] = set()

    def touch(self, applied: Applied) -> None:
        """A call is counted to this. On the path of every call."""
        if (applied.accounts or applied.soft) and len(self._touched) < MAX_TOUCHED:
            self._touched[id(applied)] = applied

    def refused(self, question: Question, result: Exceeded) -> None:
        """A budget had too little left for a call: whether that is because of what is spent, not of what is held."""
        account = question.applied.accounts[question.applied.budgets.index(result.budget)]
        least = question.operation.smallest_nano_usd if question.operation is not None else 0
        if result.spent_nano_usd + least > result.budget.cap_nano_usd and len(self._refusing) < MAX_TOUCHED:
            self._refusing[account.budget.scope] = account

    async def run(self) -> NoReturn:
        """Look after look."""
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                await self.look()
            except GatewayError:
                pass  # Redis or the ledger is away: the next look finds the same
            except Exception:
                self._log.exception("budgets_not_looked_at")

    async def look(self) -> None:
        """Look once. UNAVAILABLE when Redis or the ledger does not answer."""
        self._gather()
        now = self._clock()
        every = list(self._watched)
        for first in range(0, len(every), MAX_READS):
            await self._look_at(every[first : first + MAX_READS], now)
        for scope in list(islice(self._summed, MAX_SUMS)):
            # Those that are left come first in the next look.
            watched = self._summed.pop(scope)
            if now < watched.until:
                self._summed[scope] = watched
            self._judge(watched, await self._sum_spent(scope))

    def _gather(self) -> None:
        touched, self._touched = self._touched, {}
        refusing, self._refusing = self._refusing, {}
        until = self._clock() + LINGER_SECONDS
        for applied in touched.values():
            for account in applied.accounts:
                self._watch(self._watched, account, until)
            for account in applied.soft:
                self._watch(self._summed, account, until)
        for scope in refusing.keys() & self._watched.keys():
            self._watched[scope].refuses = True

    def _watch(self, among: dict[str, _Watched], account: Account, until: float) -> None:
        scope = account.budget.scope
        if scope in among:
            among[scope].account, among[scope].until = account, until
        elif len(among) < MAX_WATCHED:
            among[scope] = _Watched(account, until)

    async def _look_at(self, scopes: Sequence[str], now: float) -> None:
        decision = await self._counters.decide([Read(scope) for scope in scopes])
        for scope, result in zip(scopes, decision.results or (), strict=False):
            watched = self._watched[scope]
            if isinstance(result, Balance):
                self._judge(watched, result.spent_nano_usd)
            if now >= watched.until and not (isinstance(result, Balance) and result.held_nano_usd):
                del self._watched[scope]

    def _judge(self, watched: _Watched, spent_nano_usd: int) -> None:
        account = watched.account
        spent = account.before_nano_usd + spent_nano_usd
        for threshold in crossed(account, spent, refuses=watched.refuses):
            told = (account.budget.scope, threshold)
            if told in self._told:
                continue
            if len(self._told) >= MAX_TOLD:
                self._told.clear()
            self._told.add(told)
            self._tell(alert_of(account, threshold, spent))
