"""What selection tells of why it chose: who rests, and how busy the chosen one is."""

from __future__ import annotations

import random

import pytest
from gateway.v1 import ledger_pb2

from router.catalog import Deployment
from router.routing.health import Health
from router.routing.plan import Policy
from router.selection import Selection
from services.errors import GatewayError, Reason

GROUP = [Deployment(name, "gpt", "openai", "gpt-4o", "https://api.example") for name in ("a", "b")]


def selection_by(strategy: str) -> Selection:
    health = Health(cooldown_seconds=60)
    return Selection(Policy(), strategy=strategy, health=health, randomness=random.Random(1), clock=lambda: 100.0)


def test_those_who_rest_are_the_ones_that_are_not_chosen() -> None:
    selection = selection_by("simple-shuffle")
    assert selection.resting_seconds(GROUP) == {}
    limited = GatewayError(Reason.ERROR_REASON_PROVIDER_RATE_LIMITED, "Slow down.")
    selection.failed(GROUP[0], limited, GROUP, alone=False)
    assert selection.resting_seconds(GROUP) == {"a": 60.0}
    assert all(selection.choose(GROUP, set()) is GROUP[1] for _ in range(20))
    # Alone it does not rest, and is chosen.
    assert selection.resting_seconds(GROUP[:1]) == {}
    assert selection.choose(GROUP[:1], set()) is GROUP[0]


@pytest.mark.parametrize(
    ("strategy", "acted_on", "told"),
    [
        ("least-busy", ledger_pb2.ROUTING_STRATEGY_LEAST_BUSY, 2),
        ("simple-shuffle", ledger_pb2.ROUTING_STRATEGY_SIMPLE_SHUFFLE, 0),
        # What this version does in its place.
        ("latency-based-routing", ledger_pb2.ROUTING_STRATEGY_SIMPLE_SHUFFLE, 0),
    ],
)
def test_calls_under_way_are_told_where_they_decide(strategy: str, acted_on: int, told: int) -> None:
    selection = selection_by(strategy)
    for _ in range(2):
        selection.began(GROUP[0])
    assert selection.strategy == acted_on
    assert (selection.under_way(GROUP[0]), selection.under_way(GROUP[1])) == (told, 0)
