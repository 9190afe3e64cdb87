"""Limits of requests and tokens a minute and of calls at once, as a plain program. Pure.

All limits have the same window: a minute of the clock. `lua/admission.lua` does the same for all keystores together;
here it is the oracle's part about limits, and what a keystore goes by alone while the counters are away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from keystore.policy.operations import Limit, Limited, Rate, Use

MINUTE_MS = 60_000


class _Call(msgspec.Struct, frozen=True, gc=False):
    """A dispatch under its limits: when it began, what it was estimated at, and where it counts."""

    minute: int
    tokens: int
    scopes: tuple[str, ...]


class Rates:
    """What goes on in each scope. Times are milliseconds since the epoch."""

    def __init__(self) -> None:
        self._minute = -1
        self._requests: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._slots: Counter[str] = Counter()
        self._calls: dict[bytes, _Call] = {}

    def check(self, limits: Sequence[Limit], tokens: int, now_ms: int) -> Limited | None:
        """The first limit that a call of so many tokens would pass; nothing changes."""
        for limit in limits:
            use = self.use(limit, now_ms)
            rows = (
                (Rate.REQUESTS, limit.requests, use.requests, 1),
                (Rate.TOKENS, limit.tokens, use.tokens, tokens),
                (Rate.PARALLEL, limit.parallel, use.parallel, 1),
            )
            for rate, most, used, wanted in rows:
                # A call that is larger than the limit gets all of a minute. A limit of 0 lets nothing pass.
                if most is not None and used + max(1, min(wanted, most)) > most:
                    return Limited(limit, rate, use)
        return None

    def enter(self, dispatch_id: bytes, limits: Sequence[Limit], tokens: int, now_ms: int) -> None:
        """Count a call of so many tokens, and let it begin."""
        self._open(now_ms)
        scopes = tuple(limit.scope for limit in limits)
        self._requests.update(scopes)
        self._slots.update(scopes)
        for scope in scopes:
            self._tokens[scope] += tokens
        self._calls[dispatch_id] = _Call(self._minute, tokens, scopes)

    def release(self, dispatch_id: bytes, tokens: int | None, now_ms: int) -> None:
        """A call has ended with so many tokens; None: nobody knows, and the estimate stays."""
        call = self._calls.pop(dispatch_id, None)
        if call is None:
            return
        more = 0
        if tokens is not None:
            self._open(now_ms)
            more = tokens - call.tokens
            if call.minute != self._minute:
                more = max(0, more)
        for scope in call.scopes:
            self._slots[scope] -= 1
            self._tokens[scope] += more

    def use(self, limit: Limit, now_ms: int) -> Use:
        """What goes on under a limit."""
        self._open(now_ms)
        scope = limit.scope
        left_ms = MINUTE_MS - now_ms % MINUTE_MS
        return Use(self._requests[scope], self._tokens[scope], self._slots[scope], left_ms)

    def _open(self, now_ms: int) -> None:
        """Drop what was counted in another minute than this."""
        if self._minute != now_ms // MINUTE_MS:
            self._minute = now_ms // MINUTE_MS
            self._requests.clear()
            self._tokens.clear()
