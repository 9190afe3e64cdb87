"""A run is void unless everyone counted the same calls and the money fits them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.load import Outcome, percentile
from bench.report import Counts, Result, row

WHOLE = Counts(
    finished=100, seen=100, entries=100, spent_nano_usd=5_000, expected_nano_usd=5_000, failed=0, failures=[]
)


def result(counts: Counts) -> Result:
    direct = Outcome(finished=500, seconds=1, p50_ms=0.5, p99_ms=1)
    gateway = Outcome(finished=100, seconds=1, p50_ms=2.5, p99_ms=9)
    return Result("unary-1", direct, gateway, {"edge": 0.01, "router": 0.02, "postgres": 0.004}, counts)


def test_a_run_in_which_all_counts_agree_is_verified() -> None:
    assert result(WHOLE).faults == []
    assert "verified: 100 calls" in row(result(WHOLE))


@pytest.mark.parametrize(
    "counts",
    [
        replace(WHOLE, finished=0, seen=0, entries=0),
        replace(WHOLE, seen=101),
        replace(WHOLE, entries=99),
        replace(WHOLE, spent_nano_usd=4_999),
        replace(WHOLE, failed=1, failures=["status 503"]),
    ],
    ids=["nothing happened", "a call too many", "an entry lost", "money missing", "a call failed"],
)
def test_a_run_in_which_anything_disagrees_is_void(counts: Counts) -> None:
    assert len(result(counts).faults) == 1
    assert "VOID: " in row(result(counts))


def test_servers_stand_beside_the_gateways_own_cpu() -> None:
    line = row(result(WHOLE)).split()
    assert line[:9] == ["unary-1", "100", "2.50", "9.00", "2.00", "8.00", "300", "40", "0"]


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([1, 2, 3, 4], 0.5) == 3
    assert percentile([1, 2, 3, 4], 0.99) == 4
    assert percentile([], 0.99) == 0
