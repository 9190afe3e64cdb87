"""What the ledger counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


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
