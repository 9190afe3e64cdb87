"""What the edge counts, as Prometheus sees it."""

from __future__ import annotations

from gateway.v1 import common_pb2
from prometheus_client import CollectorRegistry, generate_latest

from edge.metrics import EdgeMetrics

CHAT = common_pb2.OPERATION_CHAT_COMPLETIONS


def test_calls_are_counted_by_status_and_their_seconds_fall_into_cumulative_buckets() -> None:
    registry = CollectorRegistry()
    metrics = EdgeMetrics(registry)
    for status, seconds in ((200, 0.005), (200, 0.2), (499, 400.0)):
        metrics.count(CHAT, status, seconds)

    def sample(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"tollhouse_http_{name}", {"operation": "chat_completions", **labels})

    assert (sample("calls_total", status="200"), sample("calls_total", status="499")) == (2, 1)
    assert sample("calls_total", status="500") is None
    upto = {bound: sample("call_seconds_bucket", le=bound) for bound in ("0.005", "0.1", "0.25", "300.0", "+Inf")}
    assert upto == {"0.005": 1, "0.1": 1, "0.25": 2, "300.0": 2, "+Inf": 3}
    assert (sample("call_seconds_count"), sample("call_seconds_sum")) == (3, 400.205)
    assert b"# TYPE tollhouse_http_call_seconds histogram" in generate_latest(registry)


def test_before_the_first_call_there_is_nothing_to_tell_but_the_names() -> None:
    registry = CollectorRegistry()
    EdgeMetrics(registry)
    assert generate_latest(registry).count(b"# TYPE") == 3
