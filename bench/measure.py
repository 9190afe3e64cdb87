"""What processes cost: CPU time and memory, by the part they belong to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import psutil

# By the beginning of a process's name; what is neither belongs to the gateway.
_SERVERS = {"postgres": "postgres", "valkey": "valkey"}


def parts(roots: Mapping[str, int]) -> dict[str, list[psutil.Process]]:
    """The processes under `roots` (name -> pid), by part: the name of their root, `postgres` or `valkey`."""
    found: dict[str, list[psutil.Process]] = {}
    for name, pid in roots.items():
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                server = next((part for start, part in _SERVERS.items() if process.name().startswith(start)), name)
                found.setdefault(server, []).append(process)
    return found


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """User and system time so far, by part. Steps of 10 ms: a run must be long enough for that not to matter."""
    return _summed(roots, _cpu_seconds)


def pss_megabytes(roots: Mapping[str, int]) -> dict[str, float]:
    """Memory by part, what is shared counted in proportion."""
    return _summed(roots, _pss_megabytes)


def _summed(roots: Mapping[str, int], figure: Callable[[psutil.Process], float]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, processes in parts(roots).items():
        for process in processes:
            # PostgreSQL's workers come and go, also while they are being looked at.
            with contextlib.suppress(psutil.NoSuchProcess):
                sums[name] = sums.get(name, 0.0) + figure(process)
    return sums


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    # The postmaster keeps the time of those of its workers that have ended.
    ended = times.children_user + times.children_system if process.name().startswith("postgres") else 0.0
    return float(times.user + times.system + ended)


def _pss_megabytes(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss / 1e6)
