"""What the router counts. Labels are model groups and fixed words, so their number is bounded by the configuration."""

from __future__ import annotations

from collections.abc import Callable

from gateway.v1 import ledger_pb2
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class CallMetrics:
    """Calls by how they ended, and what they came to. Children are looked up once: `labels()` is slow."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "tollhouse_calls", "Dispatches by status and model group", ["status", "group"], registry=registry
        )
        self._seconds = Histogram(
            "tollhouse_call_seconds",
            "From admission at the router to the end of a dispatch",
            ["group"],
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600),
            registry=registry,
        )
        self._tokens = Counter("tollhouse_tokens", "Tokens by direction", ["direction", "group"], registry=registry)
        self._cost = Counter("tollhouse_cost_nano_usd", "Money spent, in nano-USD", ["group"], registry=registry)
        self._unpriced = Counter("tollhouse_unpriced_calls", "Dispatches without a price", ["group"], registry=registry)
        self.refused = Counter(
            "tollhouse_entries_refused",
            "Entries of dispatches that reached no provider, refused by a full outbox",
            registry=registry,
        )
        self._groups: dict[str, _Group] = {}
        self._statuses: dict[tuple[int, str], Counter] = {}

    def count(self, entry: ledger_pb2.Entry) -> None:
        """One dispatch has ended."""
        # Without a deployment the name is what the caller wrote, and could be anything.
        name = entry.model_group if entry.deployment_id else ""
        status = self._statuses.get((entry.status, name))
        if status is None:
            word = ledger_pb2.EntryStatus.Name(entry.status).removeprefix("ENTRY_STATUS_").lower()
            status = self._statuses[entry.status, name] = self._calls.labels(word, name)
        status.inc()
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(self, name)
        group.count(entry)


class _Group:
    """The children of one model group."""

    __slots__ = ("_cost", "_input", "_output", "_seconds", "_unpriced")

    def __init__(self, metrics: CallMetrics, name: str) -> None:
        self._seconds = metrics._seconds.labels(name)
        self._input = metrics._tokens.labels("input", name)
        self._output = metrics._tokens.labels("output", name)
        self._cost = metrics._cost.labels(name)
        self._unpriced = metrics._unpriced.labels(name)

    def count(self, entry: ledger_pb2.Entry) -> None:
        self._seconds.observe(entry.duration_ms / 1000)
        if not entry.HasField("usage"):
            return
        self._input.inc(entry.usage.input_tokens)
        self._output.inc(entry.usage.output_tokens)
        self._cost.inc(entry.cost_nano_usd)
        if entry.unpriced:
            self._unpriced.inc()


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
