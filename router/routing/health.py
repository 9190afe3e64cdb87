"""Which deployments rest: one that failed is passed over for a while, if its group has another. Pure: time is given.

A deployment rests at once when it says that it will not answer (429), cannot be used (401, 404) or cannot be reached;
when most of its last calls have failed otherwise; or, with `allowed_fails`, after that many failures in a minute.
One that is alone in its group never rests: a slim chance is better than none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.errors import GatewayError, Reason

WINDOW_SECONDS = 60.0
# LiteLLM's: more than half of at least five.
ENOUGH_CALLS = 5
TOO_MANY_FAILURES = 0.5
# Calls remembered of one deployment; more of a minute tell nothing new.
MAX_REMEMBERED = 100
# A provider may ask for an hour; a deployment that answers again sooner should be found sooner.
LONGEST_REST_SECONDS = 300.0

_AT_ONCE = frozenset(
    (
        Reason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        Reason.ERROR_REASON_PROVIDER_AUTHENTICATION,
        Reason.ERROR_REASON_PROVIDER_NOT_FOUND,
    )
)
_COUNTED = frozenset(
    (
        Reason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        Reason.ERROR_REASON_PROVIDER_TIMEOUT,
        Reason.ERROR_REASON_PROVIDER_INVALID_RESPONSE,
    )
)


@dataclass(slots=True)
class _Record:
    """Of one deployment. calls: (when, whether it failed), the oldest first."""

    rests_until: float = 0.0
    calls: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=MAX_REMEMBERED))


class Health:
    """What is known of deployments by their ids; `now` is any clock in seconds that only goes forward."""

    def __init__(self, *, cooldown_seconds: float = 5.0, allowed_fails: int | None = None) -> None:
        self._cooldown_seconds = cooldown_seconds
        self._allowed_fails = allowed_fails
        self._records: dict[str, _Record] = {}

    def succeeded(self, deployment_id: str, now: float) -> bool:
        """A call was answered; whether the deployment has failed before. All others need no record."""
        record = self._records.get(deployment_id)
        if record is None:
            return False
        record.calls.append((now, False))
        return True

    def failed(self, deployment_id: str, error: GatewayError, now: float, *, alone: bool) -> bool:
        """A call failed; whether the deployment rests now, or would if it could. alone: its group has no other."""
        at_once = error.reason in _AT_ONCE or (
            error.reason == Reason.ERROR_REASON_PROVIDER_UNAVAILABLE and error.provider_status == 0
        )
        if not (at_once or error.reason in _COUNTED):
            return False
        record = self._records.setdefault(deployment_id, _Record())
        record.calls.append((now, True))
        rests = (
            self._too_many(record, now)
            if self._allowed_fails is not None
            else at_once or self._mostly_failing(record, now)
        )
        if rests and not alone and self._cooldown_seconds:
            asked = min(error.retry_after_seconds or 0.0, LONGEST_REST_SECONDS)
            record.rests_until = now + (asked or self._cooldown_seconds)
        return rests

    def rests_for(self, deployment_id: str, now: float) -> float:
        """Seconds until it is tried again; 0: it is awake."""
        record = self._records.get(deployment_id)
        return max(0.0, record.rests_until - now) if record is not None else 0.0

    def forget(self, known: Iterable[str]) -> None:
        """Drop what is known of deployments that are gone."""
        kept = set(known)
        self._records = {name: record for name, record in self._records.items() if name in kept}

    def _too_many(self, record: _Record, now: float) -> bool:
        failures = sum(failed for when, failed in record.calls if when > now - WINDOW_SECONDS)
        return self._allowed_fails is not None and failures > self._allowed_fails

    def _mostly_failing(self, record: _Record, now: float) -> bool:
        recent = [failed for when, failed in record.calls if when > now - WINDOW_SECONDS]
        return len(recent) >= ENOUGH_CALLS and sum(recent) > TOO_MANY_FAILURES * len(recent)
