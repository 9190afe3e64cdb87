"""What can be asked of the counters, and what they answer.

`lua/admission.lua` carries the operations out; `oracle.py` says the same in Python, and property tests hold the two to
each other. A scope is a text that names whose money is counted: `key:<key_id>` or `gateway`. Amounts are nano-USD.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """One scope, and how much may be spent in it."""

    scope: str
    cap_nano_usd: int


@dataclass(frozen=True, slots=True)
class Admit:
    """Hold money for a dispatch on every one of the budgets, or on none.

    What is held is `full`, or what all budgets have left if that is less, but never less than `smallest`. A dispatch
    that has a hold keeps it as it is. A dispatch that costs nothing (`full` 0) is never refused.
    """

    dispatch_id: bytes
    full_nano_usd: int
    smallest_nano_usd: int
    budgets: tuple[Budget, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Remove the dispatch's hold and add its cost to what was spent, wherever it was held."""

    dispatch_id: bytes
    cost_nano_usd: int


@dataclass(frozen=True, slots=True)
class Renew:
    """Let the dispatch's hold live for one lease more. An expired hold stays expired: its money may be held again."""

    dispatch_id: bytes


@dataclass(frozen=True, slots=True)
class Seed:
    """Say what was spent in a scope of which nothing is known; changes nothing when something is."""

    scope: str
    spent_nano_usd: int


@dataclass(frozen=True, slots=True)
class Read:
    """What is spent and held in a scope."""

    scope: str


Operation = Admit | Settle | Renew | Seed | Read


@dataclass(frozen=True, slots=True)
class Held:
    """The money is held."""

    nano_usd: int


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The first budget that has too little left."""

    budget: Budget
    spent_nano_usd: int
    held_nano_usd: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known of what was spent in this scope; that is never 0."""

    scope: str


class Settled(enum.Enum):
    """What a settlement found."""

    HELD = "held"
    EXPIRED = "expired"  # the hold had expired; the cost counts all the same
    DUPLICATE = "duplicate"  # nothing under this id: settled before, ignored


@dataclass(frozen=True, slots=True)
class Balance:
    """Of one scope."""

    spent_nano_usd: int
    held_nano_usd: int


# Of Admit; of Settle; of Renew and Seed, whether they changed anything; of Read.
Result = Held | Exceeded | Unknown | Settled | bool | Balance
