"""What the ledger counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class LedgerMetrics:
    """Entries by what became of them, and how long a batch takes. Children are made once: `labels()` is slow."""

    def __init__(self, registry: CollectorRegistry) -> None:
        entries = Counter(
            "tollhouse_ledger_entries",
            "Entries by outcome: stored; late (no partition for their time); duplicate; rejected (see ledger.rejected)",
            ["outcome"],
            registry=registry,
        )
        self.stored = entries.labels("stored")
        self.late = entries.labels("late")
        self.duplicate = entries.labels("duplicate")
        self.rejected = entries.labels("rejected")
        self.retries = Counter(
            "tollhouse_ledger_write_retries",
            "Batches that could not be written and are tried again",
            registry=registry,
        )
        self.write_seconds = Histogram(
            "tollhouse_ledger_write_seconds",
            "One batch, from its entries to its commit",
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )


class DeliveryMetrics:
    """What became of entries that others get delivered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._entries = Counter(
            "tollhouse_delivery_entries",
            "Entries by outcome: delivered; set_aside (their receiver refuses them); given_up (not there any more, or "
            "in vain for a week)",
            ["sink", "outcome"],
            registry=registry,
        )
        self._failures = Counter(
            "tollhouse_delivery_failures", "Deliveries that were not taken, and come again", ["sink"], registry=registry
        )
        self._lag_seconds = Gauge(
            "tollhouse_delivery_lag_seconds",
            "How long the oldest entries wait that are to be delivered; 0 where another ledger delivers",
            ["sink"],
            registry=registry,
        )

    def delivered(self, sink: str, entries: int) -> None:
        """They were taken."""
        self._entries.labels(sink, "delivered").inc(entries)

    def set_aside(self, sink: str, entries: int) -> None:
        """Their receiver refuses them as such."""
        self._entries.labels(sink, "set_aside").inc(entries)

    def given_up(self, sink: str, entries: int) -> None:
        """They have waited for a week."""
        self._entries.labels(sink, "given_up").inc(entries)

    def failed(self, sink: str) -> None:
        """One delivery was not taken."""
        self._failures.labels(sink).inc()

    def lag_seconds(self, sink: str, seconds: float) -> None:
        """So long the oldest waits."""
        self._lag_seconds.labels(sink).set(seconds)
