"""What can be asked of the counters, and what they answer.

`lua/admission.lua` carries the operations out; `oracle.py` says the same in Python, and property tests hold the two to
each other. A scope is a text that names whose money is counted: `key:<key_id>` or `gateway`. Amounts are nano-USD.
"""

from __future__ import annotations

import enum

import msgspec


class Budget(msgspec.Struct, frozen=True, gc=False):
    """One scope, and how much may be spent in it."""

    scope: str
    cap_nano_usd: int


class Admit(msgspec.Struct, frozen=True, gc=False):
    """Hold money for a dispatch on every one of the budgets, or on none.

    What is held is `full`, or what all budgets have left if that is less, but never less than `smallest`. A dispatch
    that has a hold keeps it as it is. A dispatch that costs nothing (`full` 0) is never refused.
    """

    dispatch_id: bytes
    full_nano_usd: int
    smallest_nano_usd: int
    budgets: tuple[Budget, ...]


class Extend(msgspec.Struct, frozen=True, gc=False):
    """Raise the dispatch's hold to `wanted`, or as far as every budget allows, on every scope on which it is held.

    Less than `smallest` in all is refused, and then nothing changes; nor does it when as much is held already, or where
    it is held on a scope that no budget here is about: nobody knows what may be spent there.
    """

    dispatch_id: bytes
    wanted_nano_usd: int
    smallest_nano_usd: int
    budgets: tuple[Budget, ...]


class Settle(msgspec.Struct, frozen=True, gc=False):
    """Remove the dispatch's hold and add its cost to what was spent, wherever it was held."""

    dispatch_id: bytes
    cost_nano_usd: int


class Renew(msgspec.Struct, frozen=True, gc=False):
    """Let the dispatch's hold live for one lease more. An expired hold stays expired: its money may be held again."""

    dispatch_id: bytes


class Seed(msgspec.Struct, frozen=True, gc=False):
    """Say what was spent in a scope of which nothing is known; changes nothing when something is."""

    scope: str
    spent_nano_usd: int


class Read(msgspec.Struct, frozen=True, gc=False):
    """What is spent and held in a scope."""

    scope: str


Operation = Admit | Extend | Settle | Renew | Seed | Read


class Held(msgspec.Struct, frozen=True, gc=False):
    """The money is held. spent_nano_usd: on the first budget; of Admit only."""

    nano_usd: int
    spent_nano_usd: int | None = None


class Exceeded(msgspec.Struct, frozen=True, gc=False):
    """The first budget that has too little left."""

    budget: Budget
    spent_nano_usd: int
    held_nano_usd: int


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """Nothing is known of what was spent in this scope; that is never 0."""

    scope: str


class Settled(enum.Enum):
    """What a settlement found."""

    HELD = "held"
    EXPIRED = "expired"  # the hold had expired; the cost counts all the same
    DUPLICATE = "duplicate"  # nothing under this id: settled before, ignored


class Balance(msgspec.Struct, frozen=True, gc=False):
    """Of one scope."""

    spent_nano_usd: int
    held_nano_usd: int


# Of Admit, and of Extend (False: there is no such hold under these budgets); of Settle; of Renew and Seed, whether they
# changed anything; of Read.
Result = Held | Exceeded | Unknown | Settled | bool | Balance
