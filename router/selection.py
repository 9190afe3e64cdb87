"""Chooses the deployment for an attempt: one that is awake, by the configured strategy; remembers how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Protocol

from gateway.v1 import ledger_pb2

from router.catalog import Deployment
from router.routing.health import Health
from router.routing.least_busy import pick_least_busy
from router.routing.plan import Policy, pause_seconds
from router.routing.shuffle import Randomness, pick
from services.errors import GatewayError

LEAST_BUSY = "least-busy"
# What this version acts on; every other strategy shuffles, and the start says so.
STRATEGIES = ("simple-shuffle", LEAST_BUSY)


class Observer(Protocol):
    """Who wants to know how deployments do."""

    def failed(self, deployment: Deployment, error: GatewayError, awake: Sequence[str], *, alone: bool) -> None:
        """One has failed so that it rests, or would if it were not alone. awake: those of its group that do not."""

    def answered(self, deployment: Deployment) -> None:
        """One has answered that had failed before."""


class Selection:
    """Of one router process. clock: seconds that only go forward. observer: is told of what fails and answers again."""

    def __init__(
        self,
        policy: Policy,
        *,
        strategy: str,
        health: Health,
        randomness: Randomness,
        clock: Callable[[], float],
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer
        self.policy = policy
        self._by_load = strategy == LEAST_BUSY
        # The one that is acted on.
        self.strategy: ledger_pb2.RoutingStrategy = (
            ledger_pb2.ROUTING_STRATEGY_LEAST_BUSY if self._by_load else ledger_pb2.ROUTING_STRATEGY_SIMPLE_SHUFFLE
        )
        self._health = health
        self._randomness = randomness
        self._clock = clock
        self._under_way: dict[str, int] = {}

    def choose(self, group: Sequence[Deployment], tried: Set[str]) -> Deployment | None:
        """One that is awake and not in `tried`; None when there is none."""
        if len(group) > 1:
            now = self._clock()
            group = [each for each in group if not self._health.rests_for(each.id, now)]
        if self._by_load:
            return pick_least_busy(group, tried, self._under_way, self._randomness)
        return pick(group, tried, self._randomness)

    def resting_seconds(self, group: Sequence[Deployment]) -> Mapping[str, float]:
        """Those of a group that are passed over since they rest, by their ids, and for how long; alone none does."""
        if len(group) < 2:
            return {}
        now = self._clock()
        return {each.id: rests for each in group if (rests := self._health.rests_for(each.id, now))}

    def under_way(self, deployment: Deployment) -> int:
        """Calls at a deployment, where that decides; else 0."""
        return self._under_way.get(deployment.id, 0) if self._by_load else 0

    def wakes_in_seconds(self, group: Sequence[Deployment]) -> float:
        """Until the first of a group is awake."""
        now = self._clock()
        return min((self._health.rests_for(each.id, now) for each in group), default=0.0)

    def began(self, deployment: Deployment) -> None:
        """An attempt is under way."""
        self._under_way[deployment.id] = self._under_way.get(deployment.id, 0) + 1

    def ended(self, deployment: Deployment) -> None:
        """The attempt is over, however."""
        left = self._under_way.get(deployment.id, 0) - 1
        if left > 0:
            self._under_way[deployment.id] = left
        else:
            self._under_way.pop(deployment.id, None)

    def succeeded(self, deployment: Deployment) -> None:
        """It was answered."""
        if self._health.succeeded(deployment.id, self._clock()) and self._observer is not None:
            self._observer.answered(deployment)

    def failed(self, deployment: Deployment, error: GatewayError, group: Sequence[Deployment], *, alone: bool) -> None:
        """It failed. group: those that offer what was asked for; alone: no other of them could be chosen."""
        now = self._clock()
        if self._health.failed(deployment.id, error, now, alone=alone) and self._observer is not None:
            awake = [each.id for each in group if not self._health.rests_for(each.id, now)]
            self._observer.failed(deployment, error, awake, alone=len(group) == 1)

    def pause_seconds(self, error: GatewayError, repeats: int) -> float:
        """How long to wait before the group is tried again, for the n-th time (from 0)."""
        return pause_seconds(error, repeats, self.policy, self._randomness.random())
