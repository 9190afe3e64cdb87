"""LiteLLM's `simple-shuffle`: a deployment of the group at random, by weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Protocol

from router.catalog import Deployment


class Randomness(Protocol):
    """The part of `random.Random` that is used."""

    def random(self) -> float:
        """A number from 0 up to but not 1."""


# Tried in this order: the first that any candidate states decides for all of them.
_WEIGHTS: tuple[Callable[[Deployment], float | None], ...] = (
    lambda deployment: deployment.weight,
    lambda deployment: deployment.rpm,
    lambda deployment: deployment.tpm,
)


def pick(group: Sequence[Deployment], tried: Set[str], randomness: Randomness) -> Deployment | None:
    """One of a group whose id is not in `tried`; None when there is none left.

    The chance is in proportion to `weight`, else to `rpm`, else to `tpm`, else equal. A deployment without what the
    others are weighed by is not chosen, as in LiteLLM, until those are tried.
    """
    candidates = [deployment for deployment in group if deployment.id not in tried]
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    weights = _weights(candidates)
    point = randomness.random() * sum(weights)
    for deployment, weight in zip(candidates, weights, strict=True):
        point -= weight
        if point < 0:
            return deployment
    # Rounding has left a sliver beyond the last weight: it belongs to the last that has one.
    return next(deployment for deployment, weight in zip(candidates[::-1], weights[::-1], strict=True) if weight)


def _weights(candidates: Sequence[Deployment]) -> list[float]:
    for weight_of in _WEIGHTS:
        weights = [weight_of(deployment) or 0.0 for deployment in candidates]
        if any(weights):
            return weights
    return [1.0] * len(candidates)
