"""What the router counts. Labels are model groups and fixed words, so their number is bounded by the configuration."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator

from gateway.v1 import ledger_pb2
from prometheus_client import CollectorRegistry, Counter, Gauge, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

# Upper bounds of the histogram of durations.
_BUCKETS_MS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000)
_BUCKET_NAMES = (*(str(bound / 1000) for bound in _BUCKETS_MS), "+Inf")


class CallMetrics(Collector):
    """Calls by how they ended, and what they came to.

    Counted in plain integers, and shown when somebody asks: prometheus_client's own children took 6 us of every call.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._groups: dict[str, _Group] = {}
        self.refused = Counter(
            "tollhouse_entries_refused",
            "Entries of dispatches that reached no provider, refused by a full outbox",
            registry=registry,
        )
        registry.register(self)

    def count(self, entry: ledger_pb2.Entry) -> None:
        """One dispatch has ended."""
        # Without a deployment the name is what the caller wrote, and could be anything.
        name = entry.model_group if entry.deployment_id else ""
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group()
        group.count(entry)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        calls = CounterMetricFamily(
            "tollhouse_calls", "Dispatches by status and model group", labels=["status", "group"]
        )
        seconds = HistogramMetricFamily(
            "tollhouse_call_seconds", "From admission at the router to the end of a dispatch", labels=["group"]
        )
        tokens = CounterMetricFamily("tollhouse_tokens", "Tokens by direction", labels=["direction", "group"])
        cost = CounterMetricFamily("tollhouse_cost_nano_usd", "Money spent, in nano-USD", labels=["group"])
        unpriced = CounterMetricFamily("tollhouse_unpriced_calls", "Dispatches without a price", labels=["group"])
        for name, group in self._groups.items():
            for status, count in group.calls.items():
                word = ledger_pb2.EntryStatus.Name(status).removeprefix("ENTRY_STATUS_").lower()
                calls.add_metric([word, name], count)
            buckets = list(zip(_BUCKET_NAMES, itertools.accumulate(group.durations), strict=True))
            seconds.add_metric([name], buckets, group.milliseconds / 1000)
            tokens.add_metric(["input", name], group.input_tokens)
            tokens.add_metric(["output", name], group.output_tokens)
            cost.add_metric([name], group.cost_nano_usd)
            unpriced.add_metric([name], group.unpriced)
        return iter((calls, seconds, tokens, cost, unpriced))


class _Group:
    """What the dispatches of one model group came to. durations: how many ended within each bound, and after."""

    __slots__ = ("calls", "cost_nano_usd", "durations", "input_tokens", "milliseconds", "output_tokens", "unpriced")

    def __init__(self) -> None:
        self.calls: dict[ledger_pb2.EntryStatus, int] = {}
        self.durations = [0] * len(_BUCKET_NAMES)
        self.milliseconds = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_nano_usd = 0
        self.unpriced = 0

    def count(self, entry: ledger_pb2.Entry) -> None:
        status, duration_ms = entry.status, entry.duration_ms
        self.calls[status] = self.calls.get(status, 0) + 1
        self.durations[bisect_left(_BUCKETS_MS, duration_ms)] += 1
        self.milliseconds += duration_ms
        usage = entry.usage
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cost_nano_usd += entry.cost_nano_usd
        self.unpriced += entry.unpriced


class OutboxMetrics:
    """The state of the outbox, and what went wrong with it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._bytes = Gauge("tollhouse_outbox_bytes", "Size of the outbox on disk", registry=registry)
        self._waiting = Gauge(
            "tollhouse_outbox_waiting",
            "Records that a consumer has not acknowledged",
            ["consumer"],
            registry=registry,
        )
        self.write_errors = Counter("tollhouse_outbox_write_errors", "Writes that the disk refused", registry=registry)
        self.damaged = Counter(
            "tollhouse_outbox_damaged", "Segments that could not be read to their end", registry=registry
        )
        self.adopted = Counter(
            "tollhouse_outbox_adopted", "Folders of lost processes whose entries were taken over", registry=registry
        )
        self.interrupted = Counter(
            "tollhouse_outbox_interrupted", "Dispatches that were in flight in a lost process", registry=registry
        )

    def observe_bytes(self, size: Callable[[], float]) -> None:
        """Where the size is read when somebody asks."""
        self._bytes.set_function(size)

    def observe_waiting(self, consumer: str, waiting: Callable[[], float]) -> None:
        """Where a consumer's backlog is read when somebody asks."""
        self._waiting.labels(consumer).set_function(waiting)
