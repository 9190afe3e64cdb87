"""The counters of all budgets, in Redis: what is spent and held, by scope, for every keystore replica together.

They are a cache: of the ledger (what was spent), and of what routers know (what is held). They carry an epoch; when
they were lost, a new one is begun and they are filled again (`rebuild.py`). All of them lie under one hash tag:

    state     hash    epoch; phase (`rebuilding` or `ready`); version of the keys; begun, seen, paused: times in ms
    spent     hash    scope -> nano-USD
    held      hash    scope -> nano-USD
    amounts   hash    dispatch id -> nano-USD, of live holds
    scopes    hash    dispatch id -> scopes, one a line, of live holds and tombstones; under limits after an empty line
    leases    zset    dispatch id by when its hold expires, in ms
    tombs     zset    dispatch id by when the tombstone of its expired hold may go, in ms
    reported  set     routers that have said what they have open, while rebuilding
    requests  hash    scope -> calls that were admitted under a limit, in this minute (`minute` in the state)
    tokens    hash    scope -> tokens of these: what they came to, or an estimate until they have ended
    slots     hash    scope -> calls under a limit that go on now
    limited   hash    dispatch id -> its minute, the estimate of its tokens, the scopes of its limits, one a line

`inspection.py` adds `corrected` to the state, and a lease beside all this.

The instance must not evict keys (`maxmemory-policy noeviction`).
"""

from __future__ import annotations

import asyncio
import importlib.resources
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keystore.policy.operations import (
    Admit,
    Balance,
    Exceeded,
    Extend,
    Held,
    Limited,
    Operation,
    Raise,
    Rate,
    Read,
    Renew,
    Result,
    Seed,
    Settle,
    Settled,
    Unknown,
    Use,
)
from services.redis import Argument, RedisServer, Script

KEYS = tuple(
    f"{{tollhouse}}:{name}"
    for name in (
        *("state", "spent", "held", "amounts", "scopes", "leases", "tombs", "reported"),
        *("requests", "tokens", "slots", "limited"),
    )
)

# One call of the script: some 128 x 10 us in the server, which serves all keystores in turn.
MAX_OPERATIONS = 128
# What callers wait for, twice at most, and then not again for a moment. A server that is away is known at once, by its
# socket; this is for one that hangs. With 50 ms a busy host, where it and we wait for one core, refused good calls.
DEADLINE_SECONDS = 0.5
# What nobody waits for at a call: holds by the thousand.
REBUILD_DEADLINE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class State:
    """Of the counters. An empty epoch: they were lost. version: of the newest change of a key; 0: unknown."""

    epoch: str
    ready: bool
    version: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of some operations; `results` is None when the counters are not ready, and nothing was done."""

    state: State
    results: Sequence[Result] | None


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold to put back: what a router has open."""

    dispatch_id: bytes
    amount_nano_usd: int
    scopes: tuple[str, ...]
    # Of its limits, in which it goes on.
    limited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild is: for how long it has been going on, and who has reported."""

    running_ms: int
    reported: frozenset[str]


class Counters:
    """GatewayError UNAVAILABLE when Redis does not answer."""

    def __init__(self, server: RedisServer, lease_seconds: float) -> None:
        self._server = server
        self._lease_ms = int(lease_seconds * 1000)
        self._admission = script("admission")
        self._announce = script("announce")
        self._begin = script("begin")
        self._reinstate = script("reinstate")
        self._finish = script("finish")
        self._epoch = ""
        # Set when a decision finds the counters not ready; whoever rebuilds them waits for it.
        self.not_ready = asyncio.Event()

    @property
    def epoch(self) -> str:
        """The epoch that the last decision found; empty before the first."""
        return self._epoch

    async def decide(self, operations: Sequence[Operation], *, epoch: str | None = None) -> Decision:
        """Carry operations out, at most MAX_OPERATIONS, in order, as one step. Every one of them may be repeated.

        A new epoch is taken up as it is found; with `epoch` given, nothing is done in another.
        """
        decision = await self._ask(operations, self._epoch if epoch is None else epoch)
        state = decision.state
        if state.ready and state.epoch != self._epoch:
            self._epoch = state.epoch
            if epoch is None:
                decision = await self._ask(operations, self._epoch)
        if not decision.state.ready:
            self.not_ready.set()
        return decision

    async def balance(self, scope: str) -> Balance | None:
        """What is spent and held in a scope; None when that is not known."""
        decision = await self.decide([Read(scope)])
        result = decision.results[0] if decision.results is not None else None
        return result if isinstance(result, Balance) else None

    async def announce(self, version: int) -> None:
        """Tell all keystores of a change of keys: their next decision says so."""
        await self._run(self._announce, [version], REBUILD_DEADLINE_SECONDS)

    async def begin(self, epoch: str, version: int) -> State:
        """Begin an epoch unless there is one; the state after it."""
        return _state(await self._run(self._begin, [epoch, version], REBUILD_DEADLINE_SECONDS))

    async def reinstate(self, epoch: str, holds: Iterable[OpenHold], reported: str) -> None:
        """Put holds back, while the epoch is being rebuilt; later, or in another epoch, nothing happens.

        reported: the router that has told all it has open, with these; empty when there are more to come.
        """
        arguments: list[Argument] = [epoch, self._lease_ms, reported]
        for hold in holds:
            arguments += (hold.dispatch_id, hold.amount_nano_usd, "\n".join(hold.scopes), "\n".join(hold.limited))
        await self._run(self._reinstate, arguments, REBUILD_DEADLINE_SECONDS)

    async def progress(self) -> Progress:
        """Of the rebuild that is going on."""
        begun = await self._command("HGET", KEYS[0], "begun")
        seconds, micros = await self._command("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        reported = await self._command("SMEMBERS", KEYS[7])
        return Progress(now_ms - int(begun or now_ms), frozenset(each.decode() for each in reported))

    async def open_holds(self) -> list[OpenHold]:
        """Every hold that was put back."""
        amounts = pairs(await self._command("HGETALL", KEYS[3]))
        scopes = pairs(await self._command("HGETALL", KEYS[4]))
        return [
            # The first line is empty where it has limits, and may be all there is.
            OpenHold(dispatch_id, int(amount), tuple(filter(None, scopes[dispatch_id].decode().split("\n"))))
            for dispatch_id, amount in amounts.items()
            if dispatch_id in scopes
        ]

    async def finish(self, epoch: str, holds: int, balances: Mapping[str, Balance]) -> bool:
        """Make the epoch ready, with these balances. False when there are other than so many holds by now."""
        arguments: list[Argument] = [epoch, holds, self._lease_ms]
        for scope, balance in balances.items():
            arguments += (scope, balance.spent_nano_usd, balance.held_nano_usd)
        return bool(await self._run(self._finish, arguments, REBUILD_DEADLINE_SECONDS))

    async def _ask(self, operations: Sequence[Operation], epoch: str) -> Decision:
        if len(operations) > MAX_OPERATIONS:
            raise ValueError(f"{len(operations)} operations are too many for one call")
        arguments: list[Argument] = [epoch, self._lease_ms, len(operations)]
        for operation in operations:
            arguments += encode(operation)
        answer = await self._run(self._admission, arguments, DEADLINE_SECONDS)
        state = _state(answer)
        if not state.ready or state.epoch != epoch:
            return Decision(state, None)
        return Decision(state, [decode(*each) for each in zip(operations, answer[3:], strict=True)])

    async def _run(self, script: Script, arguments: Sequence[Argument], timeout_seconds: float) -> Any:
        return await self._server.run(script, KEYS, arguments, timeout_seconds=timeout_seconds)

    async def _command(self, *words: Argument) -> Any:
        return await self._server.command(*words, timeout_seconds=REBUILD_DEADLINE_SECONDS)


def encode(operation: Operation) -> list[Argument]:
    """An operation as the script reads it."""
    match operation:
        case Admit(dispatch_id, full, smallest, budgets) | Extend(dispatch_id, full, smallest, budgets):
            rows = [
                word
                for budget in budgets
                for word in (budget.scope, -1 - budget.cap_nano_usd if budget.shadow else budget.cap_nano_usd)
            ]
            words = [dispatch_id, full, smallest, len(budgets), *rows]
            if isinstance(operation, Extend):
                return ["extend", *words]
            return [*_limited(operation), *words] if operation.limits else ["admit", *words]
        case Settle(dispatch_id, cost, tokens):
            return ["settle", dispatch_id, cost, tokens]
        case Renew(dispatch_id):
            return ["renew", dispatch_id]
        case Seed(scope, spent):
            return ["seed", scope, spent]
        case Raise(scope, spent):
            return ["raise", scope, spent]
        case Read(scope):
            return ["read", scope]


def decode(operation: Operation, answer: Sequence[Any]) -> Result:
    """What the script answered to an operation."""
    match operation, answer:
        case Extend(), [b"held", amount]:
            return Held(int(amount))
        case Admit(_, _, _, budgets), [b"held", amount, spent, shadow, *use]:
            return Held(
                int(amount),
                _use(use) if use else None,
                None if spent is None else int(spent),
                budgets[shadow - 1] if shadow else None,
            )
        case Admit(), [b"limited", row, rate, *use]:
            return Limited(operation.limits[row - 1], Rate(rate), _use(use))
        case Extend(), [b"gone"]:
            return False
        case ((Admit(_, _, _, budgets) | Extend(_, _, _, budgets)), [b"exceeded", row, spent, held]):
            return Exceeded(budgets[row - 1], int(spent), int(held))
        case Admit(_, _, _, budgets), [b"unknown", row]:
            return Unknown(budgets[row - 1].scope)
        case Settle(), [outcome]:
            return Settled(outcome.decode())
        case ((Renew() | Seed() | Raise()), [outcome]):
            return bool(outcome == b"changed")
        case Read(), [b"balance", spent, held]:
            return Balance(int(spent), int(held))
        case Read(scope), [b"unknown"]:
            return Unknown(scope)
    raise ValueError(f"the script answered {answer!r} to {operation!r}")


def _limited(admit: Admit) -> list[Argument]:
    words: list[Argument] = ["limited", admit.tokens, len(admit.limits)]
    for limit in admit.limits:
        words.append(limit.scope)
        words += (-1 if most is None else most for most in (limit.requests, limit.tokens, limit.parallel))
    return words


def _use(answer: Sequence[int]) -> Use:
    left_ms, requests, tokens, parallel = answer
    return Use(requests, tokens, parallel, left_ms)


def _state(answer: Sequence[Any]) -> State:
    epoch, phase, version = answer[:3]
    return State(epoch.decode(), phase == b"ready", int(version))


def pairs(flat: Any) -> Mapping[bytes, bytes]:
    """HGETALL's answer, whichever protocol the connection speaks."""
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


def script(name: str) -> Script:
    """One of `lua/`."""
    return Script(importlib.resources.files("keystore").joinpath("lua", f"{name}.lua").read_text())
