"""What is measured."""

from __future__ import annotations

from dataclasses import dataclass

from bench.fake_provider import INPUT_TOKENS

# What the bench's models cost; the runner writes it into the gateway's configuration, in dollars a token.
INPUT_NANO_USD_PER_TOKEN = 1_000
OUTPUT_NANO_USD_PER_TOKEN = 2_000
TOKENS = 20


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load. model: the fake provider's; rate: calls a second in an open loop, 0 for a closed one."""

    name: str
    model: str
    connections: int
    streamed: bool = False
    rate: float = 0

    @property
    def group(self) -> str:
        """The model group under which the gateway offers the model."""
        return f"bench-{self.model.removeprefix('fake-')}"


SCENARIOS = (
    Scenario("unary-1", "fake-20x0", connections=1),
    Scenario("unary-64", "fake-20x0", connections=64),
    Scenario("burst-16", "fake-20x0", connections=16, streamed=True),
    Scenario("paced-64", "fake-20x5", connections=64, streamed=True),
    # Connections enough that a call never waits for one while answers take up to a quarter of a second.
    Scenario("open-1000", "fake-20x0-after50", connections=256, rate=1000),
)

# Every call of every scenario costs the same.
COST_NANO_USD = INPUT_TOKENS * INPUT_NANO_USD_PER_TOKEN + TOKENS * OUTPUT_NANO_USD_PER_TOKEN
