"""Limits while the counters are away: each keystore goes by its own memory. Pure.

Only what counts in a minute is limited so, by estimates: a call that ends is told to whichever keystore its router has
a link with, so calls at once cannot be counted here. With several keystores as many times the limit may pass.
"""

from __future__ import annotations

from keystore.policy.operations import Admit, Held, Limited
from keystore.policy.rates import Rates


class Fallback:
    """Of one keystore."""

    def __init__(self) -> None:
        self._rates = Rates()

    def decide(self, asked: Admit, now_ms: int) -> Held | Limited:
        """Let a call in that has limits and no budget, or say which limit is reached."""
        limited = self._rates.check(asked.limits, asked.tokens, now_ms)
        if limited is not None:
            return limited
        self._rates.enter(asked.dispatch_id, asked.limits, asked.tokens, now_ms)
        self._rates.release(asked.dispatch_id, None, now_ms)
        return Held(0, self._rates.use(asked.limits[0], now_ms))
