"""How long the oldest entry has waited for the ledger, by looks at the outbox now and then. Pure: the time is given."""

from __future__ import annotations

from collections import deque

# Looks that are remembered: the oldest decides, so that the newest are left out when there are more.
MAX_LOOKS = 1_000


class Lag:
    """`now` is any clock in seconds that only goes forward."""

    def __init__(self) -> None:
        # (when, the sequence of the youngest entry then)
        self._looks: deque[tuple[float, int]] = deque()

    def seconds(self, youngest: int, acknowledged: int, now: float) -> float:
        """At least so long the oldest waits; 0: none did at the last look."""
        while self._looks and self._looks[0][1] <= acknowledged:
            self._looks.popleft()
        waited = now - self._looks[0][0] if self._looks else 0.0
        if youngest > acknowledged and len(self._looks) < MAX_LOOKS:
            self._looks.append((now, youngest))
        return waited
