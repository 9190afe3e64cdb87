"""What the bench prints, and when it calls a run void."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from bench.load import Outcome

_SERVERS = ("postgres", "valkey")
_HEADINGS = (
    "scenario",
    "calls/s",
    "p50 ms",
    "p99 ms",
    "+p50",
    "+p99",
    "CPU us/call",
    "postgres",
    "valkey",
    "by process",
)
_ROW = "{:<10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>12} {:>9} {:>7}  {}"


@dataclass(frozen=True, slots=True)
class Counts:
    """The same calls, counted by everyone who should know of them."""

    finished: int
    seen: int
    entries: int
    spent_nano_usd: int
    expected_nano_usd: int
    failed: int
    failures: list[str]


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario. cpu_seconds: by part, over the measured run."""

    name: str
    direct: Outcome
    gateway: Outcome
    cpu_seconds: Mapping[str, float]
    counts: Counts

    @property
    def faults(self) -> list[str]:
        """Why its figures mean nothing; empty when everything adds up."""
        counts = self.counts
        failed, words = counts.failed + self.direct.failed, dict.fromkeys(counts.failures + self.direct.failures)
        faults = [f"{failed} calls failed: " + ", ".join(words)] if failed else []
        if not counts.finished:
            faults.append("no call was finished")
        if counts.seen != counts.finished:
            faults.append(f"the provider saw {counts.seen} calls, {counts.finished} were finished")
        if counts.entries != counts.finished:
            faults.append(f"the ledger has {counts.entries} entries, {counts.finished} calls were finished")
        if counts.spent_nano_usd != counts.expected_nano_usd:
            faults.append(f"the key spent {counts.spent_nano_usd} nano-USD, not {counts.expected_nano_usd}")
        return faults


def machine(*, pinned: bool) -> str:
    """Where this was measured."""
    cores = f"{os.cpu_count()} cores"
    how = "gateway on core 0, load and provider on core 1" if pinned else "not pinned: two cores are needed for that"
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {cores}; {how}"


def opening(shape: str, cold_start_ms: float, megabytes: Mapping[str, float]) -> str:
    """The head of a shape's table."""
    memory = _memory(megabytes)
    return f"\nshape {shape}: first answer {cold_start_ms:.0f} ms after the start, {memory} idle\n" + _ROW.format(
        *_HEADINGS
    )


def row(result: Result) -> str:
    """One line of figures, and one that says whether they count."""
    outcome, direct = result.gateway, result.direct
    per_call = {part: seconds * 1e6 / max(1, outcome.finished) for part, seconds in sorted(result.cpu_seconds.items())}
    own = {part: cost for part, cost in per_call.items() if part not in _SERVERS}
    line = _ROW.format(
        result.name,
        f"{outcome.finished / max(outcome.seconds, 1e-9):.0f}",
        f"{outcome.p50_ms:.2f}",
        f"{outcome.p99_ms:.2f}",
        f"{outcome.p50_ms - direct.p50_ms:.2f}",
        f"{outcome.p99_ms - direct.p99_ms:.2f}",
        f"{sum(own.values()):.0f}",
        f"{per_call.get('postgres', 0):.0f}",
        f"{per_call.get('valkey', 0):.0f}",
        " ".join(f"{part} {cost:.0f}" for part, cost in own.items()) if len(own) > 1 else "",
    )
    return f"{line}\n           {_verdict(result)}"


def closing(megabytes: Mapping[str, float]) -> str:
    """The foot of a shape's table."""
    return f"{_memory(megabytes)} after"


def _verdict(result: Result) -> str:
    if faults := result.faults:
        return "VOID: " + "; ".join(faults)
    counts = result.counts
    return (
        f"verified: {counts.finished} calls finished = seen by the provider = entries; "
        f"spend moved by {counts.spent_nano_usd} nano-USD"
    )


def _memory(megabytes: Mapping[str, float]) -> str:
    own = sum(size for part, size in megabytes.items() if part not in _SERVERS)
    servers = ", ".join(f"{part} {megabytes[part]:.0f}" for part in _SERVERS if part in megabytes)
    return f"{own:.0f} MB ({servers} beside)"
