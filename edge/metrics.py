"""What the edge counts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from gateway.v1 import common_pb2
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BOUNDS = (*map(str, map(float, _BUCKETS)), "+Inf")


class EdgeMetrics(Collector):
    """HTTP calls by operation and status.

    Plain numbers, made into metrics when somebody asks: prometheus_client's own cost a call 5 us.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls: dict[tuple[common_pb2.Operation, int], int] = {}
        # By operation: how many calls fell into each bucket, and the sum of their seconds.
        self._buckets: dict[common_pb2.Operation, list[int]] = {}
        self._seconds: dict[common_pb2.Operation, float] = {}
        # Refused calls of which the ledger was not told.
        self.unrecorded = 0
        registry.register(self)

    def count(self, operation: common_pb2.Operation, status: int, seconds: float) -> None:
        """One call is over."""
        self._calls[operation, status] = self._calls.get((operation, status), 0) + 1
        buckets = self._buckets.get(operation)
        if buckets is None:
            buckets = self._buckets[operation] = [0] * len(_BOUNDS)
        buckets[bisect_left(_BUCKETS, seconds)] += 1
        self._seconds[operation] = self._seconds.get(operation, 0.0) + seconds

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks for at a scrape."""
        calls = CounterMetricFamily(
            "tollhouse_http_calls", "Inference calls by operation and HTTP status", labels=["operation", "status"]
        )
        for (operation, status), count in self._calls.items():
            calls.add_metric([_name(operation), str(status)], count)
        yield calls
        seconds = HistogramMetricFamily(
            "tollhouse_http_call_seconds",
            "From the first byte of a call to the last of its answer",
            labels=["operation"],
        )
        for operation, buckets in self._buckets.items():
            upto = [(bound, float(sum(buckets[: at + 1]))) for at, bound in enumerate(_BOUNDS)]
            seconds.add_metric([_name(operation)], upto, self._seconds[operation])
        yield seconds
        yield CounterMetricFamily(
            "tollhouse_http_calls_unrecorded",
            "Refused calls that have no entry, since the ledger did not take them in time",
            value=self.unrecorded,
        )


def _name(operation: common_pb2.Operation) -> str:
    return common_pb2.Operation.Name(operation).removeprefix("OPERATION_").lower()
