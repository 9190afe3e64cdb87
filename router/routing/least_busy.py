"""LiteLLM's `least-busy`: the deployment with the fewest calls under way in this process; of equals, one by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from router.catalog import Deployment
from router.routing.shuffle import Randomness, pick


def pick_least_busy(
    group: Sequence[Deployment], tried: Set[str], under_way: Mapping[str, int], randomness: Randomness
) -> Deployment | None:
    """One of a group whose id is not in `tried`; None when there is none left. under_way: calls by deployment id."""
    candidates = [deployment for deployment in group if deployment.id not in tried]
    if not candidates:
        return None
    fewest = min(under_way.get(deployment.id, 0) for deployment in candidates)
    return pick(
        [deployment for deployment in candidates if under_way.get(deployment.id, 0) == fewest], frozenset(), randomness
    )
