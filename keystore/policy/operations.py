"""What can be asked of the counters, and what they answer.

`lua/admission.lua` carries the operations out; `oracle.py` says the same in Python, and property tests hold the two to
each other. A scope is a text that names whose money is counted (`scopes.py`). Amounts are nano-USD.
"""

from __future__ import annotations

import enum

import msgspec


class Budget(msgspec.Struct, frozen=True, gc=False):
    """One scope, and how much may be spent in it. shadow: it counts, and refuses nothing."""

    scope: str
    cap_nano_usd: int
    shadow: bool = False


class Limit(msgspec.Struct, frozen=True, gc=False):
    """How much may go on in one scope: requests and tokens in a minute of the clock, calls at once. None: no limit."""

    scope: str
    requests: int | None = None
    tokens: int | None = None
    parallel: int | None = None


class Rate(enum.Enum):
    """What a limit is about. The values are its place in the script's answers."""

    REQUESTS = 1
    TOKENS = 2
    PARALLEL = 3


class Admit(msgspec.Struct, frozen=True, gc=False):
    """Hold money for a dispatch on every one of the budgets and count it under every one of the limits, or none at all.
    No scope is there twice.

    What is held is `full`, or what all budgets have left if that is less, but never less than `smallest`. A dispatch
    that has a hold keeps it as it is, and is counted once. A dispatch that costs nothing (`full` 0) is never refused by
    a budget. tokens: an estimate; what is larger than a limit needs a minute in which nothing else has come.
    """

    dispatch_id: bytes
    full_nano_usd: int
    smallest_nano_usd: int
    budgets: tuple[Budget, ...]
    limits: tuple[Limit, ...] = ()
    tokens: int = 0


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
    """Remove the dispatch's hold and add its cost to what was spent, wherever it was held; end it under its limits.

    tokens: what it came to. They take the place of the estimate while its minute lasts; later, what they are more than
    the estimate counts in the minute that is now.
    """

    dispatch_id: bytes
    cost_nano_usd: int
    tokens: int = 0


class Renew(msgspec.Struct, frozen=True, gc=False):
    """Let the dispatch's hold live for one lease more. An expired hold stays expired: its money may be held again."""

    dispatch_id: bytes


class Seed(msgspec.Struct, frozen=True, gc=False):
    """Say what was spent in a scope of which nothing is known; changes nothing when something is."""

    scope: str
    spent_nano_usd: int


class Raise(msgspec.Struct, frozen=True, gc=False):
    """Say that at least so much was spent in a scope; of one of which nothing is known, nothing is known after it."""

    scope: str
    spent_nano_usd: int


class Read(msgspec.Struct, frozen=True, gc=False):
    """What is spent and held in a scope."""

    scope: str


Operation = Admit | Extend | Settle | Renew | Seed | Raise | Read


class Use(msgspec.Struct, frozen=True, gc=False):
    """What goes on in the scope of a limit, and for how long its minute still lasts."""

    requests: int
    tokens: int
    parallel: int
    left_ms: int


class Held(msgspec.Struct, frozen=True, gc=False):
    """The money is held.

    use: under the first limit, this dispatch included; None: there is no limit. spent_nano_usd: on the first budget;
    None: there is no budget, or it was not an Admit. would_refuse: the first shadow budget that has too little left.
    """

    nano_usd: int
    use: Use | None = None
    spent_nano_usd: int | None = None
    would_refuse: Budget | None = None


class Exceeded(msgspec.Struct, frozen=True, gc=False):
    """The first budget that has too little left."""

    budget: Budget
    spent_nano_usd: int
    held_nano_usd: int


class Limited(msgspec.Struct, frozen=True, gc=False):
    """The first limit that is reached, and what is used under it."""

    limit: Limit
    rate: Rate
    use: Use


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


# Of Admit, and of Extend (False: there is no such hold under these budgets); of Settle; of Renew, Seed and Raise,
# whether they changed anything; of Read.
Result = Held | Exceeded | Limited | Unknown | Settled | bool | Balance
