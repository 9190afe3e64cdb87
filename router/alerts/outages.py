"""When a deployment, or all of a model group, is out, and when it is back. Pure: the time is given.

A deployment is out when it begins to rest for the third time in five minutes: once is a hiccup, and retries cover it. A
group is out when all of its deployments rest; one that is alone never rests, so its group is out when it is. What is
out is back when it answers, twice the time that it rests after it last failed.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

RESTS = 3
WINDOW_SECONDS = 300.0
# As long as something is out it is told of again, for the ledger to decide.
AGAIN_SECONDS = 60.0


class News(enum.Enum):
    """What is to be told."""

    DEPLOYMENT_OUT = "deployment out"
    GROUP_OUT = "group out"
    DEPLOYMENT_BACK = "deployment back"
    GROUP_BACK = "group back"


@dataclass(slots=True)
class _Record:
    """Of one deployment. rests: when it began to, the last few. failed_at: when it last failed so that it rests."""

    rests: deque[float] = field(default_factory=lambda: deque(maxlen=RESTS))
    failed_at: float = 0.0


class Outages:
    """Of one router. `now` is any clock in seconds that only goes forward."""

    def __init__(self, cooldown_seconds: float) -> None:
        # Calls that were under way when it began to rest fail, too, and are no rests of their own.
        self._gap_seconds = max(cooldown_seconds, 0.1)
        self._records: dict[str, _Record] = {}
        # By what is out: when that was told.
        self._deployments: dict[str, float] = {}
        self._groups: dict[str, float] = {}

    def failed(self, deployment: str, group: str, awake: Collection[str], now: float, *, alone: bool) -> list[News]:
        """A deployment has failed so that it rests, or would if it were not alone. awake: those of its group."""
        record = self._records.setdefault(deployment, _Record())
        record.failed_at = now
        if not record.rests or now - record.rests[-1] >= self._gap_seconds:
            record.rests.append(now)
        is_out = len(record.rests) == RESTS and now - record.rests[0] <= WINDOW_SECONDS
        news: list[News] = []
        if is_out and not alone and self._is_due(self._deployments, deployment, now):
            news.append(News.DEPLOYMENT_OUT)
        if (is_out if alone else not awake) and self._is_due(self._groups, group, now):
            news.append(News.GROUP_OUT)
        return news

    def answered(self, deployment: str, group: str, now: float) -> list[News]:
        """A deployment has answered that had failed before."""
        if deployment not in self._deployments and group not in self._groups:
            return []
        record = self._records.get(deployment)
        if record is not None and now - record.failed_at < 2 * self._gap_seconds:
            return []
        news: list[News] = []
        if self._deployments.pop(deployment, None) is not None:
            news.append(News.DEPLOYMENT_BACK)
            self._records.pop(deployment, None)
        if self._groups.pop(group, None) is not None:
            news.append(News.GROUP_BACK)
        return news

    @staticmethod
    def _is_due(out: dict[str, float], name: str, now: float) -> bool:
        told_at = out.get(name)
        if told_at is not None and now - told_at < AGAIN_SECONDS:
            return False
        out[name] = now
        return True
