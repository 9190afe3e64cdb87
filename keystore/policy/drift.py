"""How far the counters of a scope are from the ledger, and how much of that is sure. Pure.

One comparison looks at the counters, asks the ledger for its sum without the dispatches that are not settled, and looks
at the counters again. A dispatch in that sum was recorded before the second look. By then it was settled, and is in
what was spent; or it was admitted after the first look and is not settled yet, and is counted here by what it holds; or
the counters do not know it. So what they seem to be short by, they are short by, however many calls come and go
meanwhile. What they seem to be ahead by may be on its way to the ledger, in the outbox of a router that is down too.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Look(msgspec.Struct, frozen=True, gc=False):
    """One scope at one moment. unsettled: what each dispatch holds that may yet be settled; None: its hold expired."""

    spent_nano_usd: int
    unsettled: Mapping[bytes, int | None]


def drift(before: Look, ledger_nano_usd: int, after: Look) -> int | None:
    """What the counters are ahead of the ledger by; negative: short. None when it cannot be told.

    ledger_nano_usd: its sum, taken between the two looks, without the unsettled dispatches of the first.
    """
    came = [amount for dispatch_id, amount in after.unsettled.items() if dispatch_id not in before.unsettled]
    amounts = [amount for amount in came if amount is not None]
    if len(amounts) < len(came):
        return None  # it came and expired in between: nobody knows what it may have cost
    return after.spent_nano_usd + sum(amounts) - ledger_nano_usd


def confirmed(one: int, other: int) -> int:
    """The drift that two comparisons agree on."""
    if one < 0 and other < 0:
        return max(one, other)
    return min(one, other) if one > 0 and other > 0 else 0
