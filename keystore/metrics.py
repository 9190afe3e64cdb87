"""What the keystore counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class KeystoreMetrics:
    """Children are made once: `labels()` is slow."""

    def __init__(self, registry: CollectorRegistry) -> None:
        admissions = Counter(
            "tollhouse_admissions",
            "Admissions by outcome: admitted; refused; unchecked (admitted without a budget while the counters are "
            "away); unavailable (refused because of that, or because the keys are not known)",
            ["outcome"],
            registry=registry,
        )
        self.admitted = admissions.labels("admitted")
        self.refused = admissions.labels("refused")
        self.unchecked = admissions.labels("unchecked")
        self.unavailable = admissions.labels("unavailable")
        self.fallback = Counter(
            "tollhouse_limits_fallback",
            "Admissions whose limits this keystore decided by its own memory alone, while the counters were away",
            registry=registry,
        )
        self.would_refuse = Counter(
            "tollhouse_budget_would_refuse",
            "Calls that a shadow budget would have refused",
            registry=registry,
        )
        settlements = Counter(
            "tollhouse_settlements",
            "Settlements by what they found: held; expired (the lease had ended, the cost counts); duplicate",
            ["outcome"],
            registry=registry,
        )
        self.settlements = {outcome: settlements.labels(outcome) for outcome in ("held", "expired", "duplicate")}
        self.round_seconds = Histogram(
            "tollhouse_admission_round_seconds",
            "One round trip to the counters, with all that was decided in it",
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1),
            registry=registry,
        )
        self.ready = Gauge(
            "tollhouse_counters_ready",
            "1 while the counters of budgets can be relied on; 0 while they are away or being rebuilt",
            registry=registry,
        )
        extensions = Counter(
            "tollhouse_extensions",
            "Extensions of holds by outcome: granted (whole or in part); refused (no money); unavailable (the counters "
            "are away)",
            ["outcome"],
            registry=registry,
        )
        self.extensions = {outcome: extensions.labels(outcome) for outcome in ("granted", "refused", "unavailable")}
        self.ahead = Gauge(
            "tollhouse_budget_ahead_nano_usd",
            "What the counters of budgets say was spent and the ledger does not, in two comparisons in a row",
            registry=registry,
        )
        self.corrected = Counter(
            "tollhouse_budget_corrected_nano_usd",
            "What was added to counters of budgets because they were short of the ledger",
            registry=registry,
        )
