"""The hot path: everything that edges and routers ask within a tick is decided in one round trip to the counters.

While one round is under way the next gathers; rounds never overlap, so what arrives first is decided first. A round:

    frames of all links -> questions (key, size of the hold, budgets) -> one script -> catch up with keys -> answers

A key that is not in memory is looked up beside the rounds, and so is the sum of a budget that the counters do not
know; their questions come back into a later round. While the counters are away or being rebuilt, calls under a budget
are refused, those under limits only are decided by this keystore's own memory, others go on, and settlements wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import NoReturn

import msgspec
from gateway.v1 import keystore_pb2
from structlog.typing import FilteringBoundLogger

from keystore.budget_watch import BudgetWatch
from keystore.counters import MAX_OPERATIONS, Counters, Decision
from keystore.keys import Keys
from keystore.metrics import KeystoreMetrics
from keystore.peers import Peer, Peers, Reply
from keystore.policy.fallback import Fallback
from keystore.policy.limits import MAX_LIMIT
from keystore.policy.operations import (
    Budget,
    Exceeded,
    Held,
    Limited,
    Operation,
    Result,
    Settle,
    Settled,
    Unknown,
)
from keystore.policy.owners import Key
from keystore.policy.standing import Standings
from keystore.question import Question, ask, is_well_formed
from keystore.secrets import Tokens
from services.errors import GatewayError, Reason, internal, unavailable
from services.ids import to_text
from services.money import MAX_BUDGET_NANO_USD

# Half of a round is kept for settlements while both wait: they are what gives budgets their money back.
MAX_ADMISSIONS = MAX_OPERATIONS // 2

# Admissions that wait, for a round or beside it: seconds of work. More are refused.
MAX_WAITING = 10_000

# How long a settlement waits for a round that an admission makes; whoever is admitted in it may have the money that it
# gives back.
SETTLE_SECONDS = 0.005

# Between rounds that could not settle, unless something comes meanwhile.
PAUSE_SECONDS = 0.1


class Asked(msgspec.Struct, frozen=True, gc=False, eq=False):
    """An admission that waits for its answer. token: of its key; empty for the master key.

    looked_up: the store has been asked for the key.
    """

    peer: Peer
    sequence: int
    admit: keystore_pb2.Admit
    token: str
    looked_up: bool = False


class _Settling(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A settlement that waits; `peer` is None for a hold that is given back because its key was refused after all."""

    peer: Peer | None
    sequence: int
    operation: Settle


class Admission:
    """Decides. `seed(scope)` makes the counters know what was spent in a scope; `now_ms` is the wall clock. watch: is
    told whose budgets calls are counted to; None: nobody wants to know."""

    def __init__(
        self,
        *,
        keys: Keys,
        tokens: Tokens,
        peers: Peers,
        counters: Counters,
        seed: Callable[[str], Awaitable[None]],
        standings: Standings,
        now_ms: Callable[[], int],
        metrics: KeystoreMetrics,
        log: FilteringBoundLogger,
        watch: BudgetWatch | None = None,
    ) -> None:
        self._watch = watch
        self._keys = keys
        self._tokens = tokens
        self._peers = peers
        self._counters = counters
        self._seed = seed
        self._standings = standings
        self._fallback = Fallback()
        self._now_ms = now_ms
        self._metrics = metrics
        self._log = log
        self._asked: deque[Asked] = deque()
        self._settling: deque[_Settling] = deque()
        self._work = asyncio.Event()
        self._waiting = 0
        # Look-ups, and sums of scopes.
        self._beside: set[asyncio.Task[None]] = set()
        # Makes a round of their own for settlements that have waited.
        self._soon: asyncio.TimerHandle | None = None
        self._seeding: dict[str, list[Asked]] = {}

    def admit(self, peer: Peer, sequence: int, admit: keystore_pb2.Admit) -> None:
        """Ask for one call; the answer goes to the peer."""
        self._waiting += 1
        peer.link.open_calls += 1
        asked = Asked(peer, sequence, admit, self._tokens.token_of(admit.key_digest) if admit.key_digest else "")
        if not is_well_formed(admit):
            self._refuse(asked, internal())
        elif self._waiting > MAX_WAITING:
            self._refuse(asked, unavailable("Too many calls wait for admission; try again."))
        else:
            self._queue(asked)

    async def settle(self, peer: Peer, sequence: int, settle: keystore_pb2.Settle) -> None:
        """Settle one dispatch, in the order of the link; acknowledged once it is done. Waits while many wait."""
        await peer.room()
        peer.unsettled += 1
        # The epoch does not decide (rebuild.py says why): a hold that is there is settled, whenever it was placed.
        # No cost is larger than any budget; one that claims to be must not overflow the sum.
        cost_nano_usd = min(max(0, settle.cost_nano_usd), MAX_BUDGET_NANO_USD)
        tokens = min(max(0, settle.tokens), MAX_LIMIT)
        self._settling.append(_Settling(peer, sequence, Settle(settle.dispatch_id, cost_nano_usd, tokens)))
        self._settle_soon()

    async def run(self) -> NoReturn:
        """Round after round, while there is work."""
        while True:
            await self._work.wait()
            # What is ready in this turn of the event loop travels together.
            await asyncio.sleep(0)
            self._work.clear()
            if self._soon is not None:
                self._soon.cancel()
                self._soon = None
            try:
                decided = await self._round()
            except Exception:
                # The rim of a round: whatever it was, the next one goes on.
                self._log.exception("round_failed")
                decided = False
            if not decided and not self._asked:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE_SECONDS):
                        await self._work.wait()
            if self._asked:
                self._work.set()
            elif self._settling:
                self._settle_soon()

    async def stop(self) -> None:
        """End what runs beside the rounds."""
        if self._soon is not None:
            self._soon.cancel()
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    async def _round(self) -> bool:
        """Decide what fits into one round trip; whether the counters did."""
        # Settlements come first: what they give back may be held at once.
        settling = list(itertools.islice(self._settling, MAX_OPERATIONS - min(len(self._asked), MAX_ADMISSIONS)))
        asked = [self._asked.popleft() for _ in range(min(len(self._asked), MAX_OPERATIONS - len(settling)))]
        generation = self._keys.directory.generation
        questions = [(each, question) for each in asked if (question := self._question(each)) is not None]
        operations: list[Operation] = [each.operation for each in settling]
        operations += [question.operation for _, question in questions if question.operation is not None]
        decision = await self._decide(operations)
        if decision is not None:
            await self._keys.reach(decision.state.version)
        # Whoever has read the feed: it may have been another, while the counters were asked.
        changed = self._keys.directory.generation != generation
        results = decision.results if decision is not None else None
        epoch = decision.state.epoch if decision is not None else ""
        if results is not None:
            self._acknowledge(settling, results[: len(settling)])
        for_admissions = iter(results[len(settling) :] if results is not None else ())
        for each, question in questions:
            result = next(for_admissions, None) if question.operation is not None else None
            if not (changed and self._is_outdated(each, question, result)):
                self._answer(each, question, result, epoch, decided=results is not None)
        return results is not None

    def _settle_soon(self) -> None:
        """Nobody waits for a settlement: it lets an admission come, whose round trip has room for it."""
        if len(self._settling) >= MAX_ADMISSIONS:
            self._work.set()
        elif self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._work.set)

    def _question(self, asked: Asked) -> Question | None:
        """What is asked; None when that shows later, because the key must be looked up first."""
        key = self._key_of(asked)
        if asked.token and not self._keys.good:
            self._refuse(asked, unavailable("The keys cannot be read; try again."))
            return None
        if asked.token and key is None and not asked.looked_up and not self._keys.is_absent(asked.token):
            self._run_beside(self._look_up(asked))
            return None
        return self._ask(asked, key)

    def _ask(self, asked: Asked, key: Key | None) -> Question:
        return ask(asked.admit, key, self._keys.directory, self._standings, self._peers.prices, self._now_ms())

    def _key_of(self, asked: Asked) -> Key | None:
        return self._keys.directory.key_by_token(asked.token, self._now_ms())

    async def _decide(self, operations: Sequence[Operation]) -> Decision | None:
        begun = time.perf_counter()
        try:
            decision = await self._counters.decide(operations)
        except GatewayError:
            decision = None
        except Exception:
            # The rim of what is asked of the counters: the round's calls are answered all the same.
            self._log.exception("counters_failed")
            decision = None
        self._metrics.round_seconds.observe(time.perf_counter() - begun)
        self._metrics.ready.set(decision is not None and decision.results is not None)
        return decision

    def _is_outdated(self, asked: Asked, question: Question, result: Result | None) -> bool:
        """Something changed while the counters were asked: whether it was of this call, so that the answer is another.

        Then the call is refused, or asked for again; it counts as two in its minute if the first was admitted.
        """
        now = self._ask(asked, self._key_of(asked))
        if now.is_as(question):
            return False
        if isinstance(result, Held):
            # Before it is asked again: what waits is settled in its order, and first of all in a round.
            self._settling.appendleft(_Settling(None, 0, Settle(asked.admit.dispatch_id, 0)))
        if now.refused is None:
            self._queue(asked)
        else:
            self._refuse(asked, now.refused)
        return True

    def _answer(self, asked: Asked, question: Question, result: Result | None, epoch: str, *, decided: bool) -> None:
        """Answer, or let the question wait for what is spent in a scope."""
        if result is None and question.operation is not None and question.operation.limits and not question.is_hard:
            self._metrics.fallback.inc()
            result, epoch = self._fallback.decide(question.operation, self._now_ms()), ""
        if self._watch is not None:
            self._watch.touch(question.applied)
        match result:
            case Held():
                if result.would_refuse is not None:
                    self._report(asked, question, result.would_refuse)
                self._admit(asked, question.admitted(asked.sequence, result, epoch))
            case Exceeded() | Limited():
                if self._watch is not None and isinstance(result, Exceeded):
                    self._watch.refused(question, result)
                self._metrics.refused.inc()
                self._reply(asked, question.refused_by(result, asked.sequence, self._now_ms()))
            case Unknown(scope):
                self._wait_for_seed(asked, scope)
            case _ if question.refused is not None:
                self._refuse(asked, question.refused)
            case _ if question.is_hard:
                self._refuse(asked, unavailable("Budgets cannot be checked now; try again."))
            case _:
                if not decided:
                    self._metrics.unchecked.inc()
                self._admit(asked, question.admitted_unheld(asked.sequence))

    def _report(self, asked: Asked, question: Question, budget: Budget) -> None:
        """A budget that only reports would have refused this call."""
        account = question.applied.accounts[question.applied.budgets.index(budget)]
        self._metrics.would_refuse.inc()
        self._log.warning(
            "budget_would_refuse",
            whose=account.whose.value,
            name=account.name,
            model=asked.admit.model,
            dispatch_id=to_text(asked.admit.dispatch_id),
        )

    def _acknowledge(self, settling: Sequence[_Settling], results: Sequence[Result]) -> None:
        done: dict[Peer, tuple[int, int]] = {}
        for each, result in zip(settling, results, strict=True):
            self._settling.popleft()
            if isinstance(result, Settled):
                self._metrics.settlements[result.value].inc()
            if each.peer is not None:
                done[each.peer] = (done.get(each.peer, (0, 0))[0] + 1, each.sequence)
        for peer, (count, sequence) in done.items():
            peer.settled(count, sequence)

    def _wait_for_seed(self, asked: Asked, scope: str) -> None:
        waiting = self._seeding.get(scope)
        if waiting is None:
            waiting = self._seeding[scope] = []
            self._run_beside(self._seed_scope(scope))
        waiting.append(asked)

    async def _seed_scope(self, scope: str) -> None:
        error: GatewayError | None = None
        try:
            await self._seed(scope)
        except GatewayError as raised:
            error = raised
        except Exception:
            self._log.exception("seed_failed", scope=scope)
            error = internal()
        for asked in self._seeding.pop(scope):
            self._refuse(asked, error) if error else self._queue(asked)

    async def _look_up(self, asked: Asked) -> None:
        try:
            await self._keys.look_up(asked.token)
        except GatewayError as error:
            self._refuse(asked, error)
        except Exception:
            self._log.exception("look_up_failed")
            self._refuse(asked, internal())
        else:
            self._queue(msgspec.structs.replace(asked, looked_up=True))

    def _run_beside(self, what: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _queue(self, asked: Asked) -> None:
        self._asked.append(asked)
        self._work.set()

    def _admit(self, asked: Asked, reply: Reply) -> None:
        self._metrics.admitted.inc()
        self._reply(asked, reply)

    def _refuse(self, asked: Asked, error: GatewayError) -> None:
        away = error.reason == Reason.ERROR_REASON_UNAVAILABLE
        (self._metrics.unavailable if away else self._metrics.refused).inc()
        reply = Reply(sequence=asked.sequence, refused=error.to_proto())
        key = self._key_of(asked)
        if key is not None or not asked.token:
            self._ask(asked, key).name(reply.principal)
        self._reply(asked, reply)

    def _reply(self, asked: Asked, reply: Reply) -> None:
        self._waiting -= 1
        asked.peer.link.open_calls -= 1
        asked.peer.send(reply)
