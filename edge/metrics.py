"""What the edge counts."""

from __future__ import annotations

from gateway.v1 import common_pb2
from prometheus_client import CollectorRegistry, Counter, Histogram


class EdgeMetrics:
    """HTTP calls by operation and status; children are looked up once, since `labels()` costs more than counting."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "tollhouse_http_calls",
            "Inference calls by operation and HTTP status",
            ["operation", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "tollhouse_http_call_seconds",
            "From the first byte of a call to the last of its answer",
            ["operation"],
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=registry,
        )
        self._children: dict[tuple[int, int], tuple[Counter, Histogram]] = {}

    def count(self, operation: common_pb2.Operation, status: int, seconds: float) -> None:
        """One call is over."""
        children = self._children.get((operation, status))
        if children is None:
            name = common_pb2.Operation.Name(operation).removeprefix("OPERATION_").lower()
            children = self._calls.labels(name, str(status)), self._seconds.labels(name)
            self._children[operation, status] = children
        children[0].inc()
        children[1].observe(seconds)
